import Images
import OCI
import Remote

/// What Larder itself makes: the half that asks the library, and through it a registry.
extension LarderFileSystem {
    func coldLookupSynthetic(_ parent: NodeID, _ name: [UInt8]) async throws -> Entry {
        let text = String(decoding: name, as: UTF8.self)
        switch try synthetic.node(parent) {
        case .repositories(let path):
            return try await lookupImage("\(path)/\(text)")
        case .image(let path, let manifest) where text == "rootfs":
            return rootEntry(try mounted(.rootfs(path: path, manifest: manifest)))
        case .algorithm(let collection):
            guard let digest = Digest(hexBytes: name) else { return .absent(lifetime: .infinity) }
            return try await lookup(digest, in: collection)
        case .caches:
            return try lookupCache(name)
        case .leases:
            guard let lease = try caches?.lease(text) else { return .absent(lifetime: 0) }
            return entry(of: .lease(token: lease.token), nameLifetime: 0)
        case .lease(let token):
            guard let caches, let lease = try caches.lease(token) else { throw FSError.stale }
            switch text {
            case "holder.json": return entry(of: .leaseHolder(token: token), nameLifetime: .infinity)
            case "root": return try rootEntry(try caches.tree(of: lease))
            default: return .absent(lifetime: .infinity)
            }
        default:
            throw FSError.stale
        }
    }

    private func lookupImage(_ path: String) async throws -> Entry {
        guard let reference = Reference(path) else { return .absent(lifetime: 60) }
        do {
            let image = try await library.image(reference)
            // A tag may move; then the same path must lead to another node.
            let lifetime: Double = if case .tag = reference.selector { library.options.tagLifetime.inSeconds } else { .infinity }
            return entry(of: .image(path: path, manifest: image.manifestDescriptor.digest), nameLifetime: lifetime)
        } catch let error as RemoteError where error.kind == .notFound {
            return .absent(lifetime: library.options.absenceLifetime.inSeconds)
        }
    }

    private func lookup(_ digest: Digest, in collection: SyntheticNode.Collection) async throws -> Entry {
        switch collection {
        case .layers:
            guard try await !library.layers(digest).isEmpty else { return .absent(lifetime: 1) }
            return rootEntry(try mounted(.layer(digest)))
        case .snapshots:
            guard try await !library.snapshotOwners(digest).isEmpty else { return .absent(lifetime: 1) }
            return rootEntry(try mounted(.snapshot(digest)))
        case .blobs:
            guard let size = try await library.blobSize(digest) else { return .absent(lifetime: 1) }
            return entry(of: .blob(digest, size: size), nameLifetime: 60)
        }
    }

    func coldOpenSynthetic(_ id: NodeID) async throws -> OpenedFile {
        switch try synthetic.node(id) {
        case .status:
            return OpenedFile(handle: documents.insert(Array(await status().utf8)), caching: .direct)
        case .metrics:
            return OpenedFile(handle: documents.insert(Array(metrics().prometheusText.utf8)), caching: .direct)
        case .imageDocument(_, let manifest, .status):
            guard let image = library.image(manifest: manifest) else { throw FSError.stale }
            return OpenedFile(handle: documents.insert(try library.status(of: image).json), caching: .direct)
        case .leaseHolder(let token):
            guard let lease = try caches?.lease(token) else { throw FSError.stale }
            return OpenedFile(handle: documents.insert(lease.json), caching: .direct)
        default:
            throw FSError.stale
        }
    }

    /// A blob is verified as a whole or not at all, so its first read fetches all of it.
    func coldReadSynthetic(_ id: NodeID, _ offset: UInt64, _ count: Int) async throws -> [UInt8] {
        guard case .blob(let digest, _) = try synthetic.node(id) else { throw FSError.stale }
        try await library.fetchBlob(digest)
        guard let blob = try library.store.openBlob(digest) else { throw FSError.io }
        var bytes = [UInt8](repeating: 0, count: count)
        let read = try bytes.withUnsafeMutableBytes { try blob.read(into: $0, at: offset) }
        return Array(bytes.prefix(read))
    }

    // MARK: - Listings

    /// Made anew for every part. The names come in the order of their offsets, each its own, so that a part goes on where another
    /// ended whatever has come and gone meanwhile.
    func coldReadSyntheticDirectory(_ id: NodeID, _ offset: UInt64, _ wantsEntries: Bool, _ limit: Int) async throws -> ListingPart {
        let node = try synthetic.node(id)
        guard node.shape == .directory else { throw FSError.notDirectory }
        let rest = try await listing(of: node).map { (offset: Self.offset(of: $0.name), item: $0) }
            .filter { $0.offset > offset }.sorted { $0.offset < $1.offset }
        var part = ListingPart(items: [], use: .once)
        for (next, item) in rest where part.items.count < limit {
            guard let entry = entry(of: item.node, counting: wantsEntries) else { continue }
            part.items.append(ListingPart.Item(name: item.name, entry: entry, next: next))
        }
        return part
    }

    /// FNV-1a, a few bits short, so that it stays positive with what `FuseBridge` adds, and never the 0 that a listing begins with. Two
    /// names with one hash would have to be sought, and the end of a part fall between them, for one of them to be missing.
    private static func offset(of name: [UInt8]) -> UInt64 {
        let hash = name.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
        return hash >> 2 | 1
    }

    /// nil for what has gone meanwhile.
    private func entry(of node: ListedNode, counting: Bool) -> Entry? {
        switch node {
        case .tree(let key): shown(key).map { rootEntry($0) }
        case .live(let tree): try? rootEntry(tree)
        case .synthetic(let node): entry(of: node, id: synthetic.id(of: node, counting: counting ? 1 : 0), nameLifetime: 1)
        }
    }

    private func listing(of node: SyntheticNode) async throws -> [Listing] {
        switch node {
        case .root:
            return [item("README.txt", .readme), item("caches", .caches), item("images", .images), item("leases", .leases)]
                + SyntheticNode.Collection.allCases.map { item($0.rawValue, .collection($0)) }
                + [item("metrics", .metrics), item("status.json", .status)]
        case .collection(let collection):
            return [item("sha256", .algorithm(collection))]
        case .algorithm(.layers):
            return try await library.knownLayers().map { try tree($0.hex, .layer($0)) }
        case .algorithm(.snapshots):
            return try await library.knownSnapshots().map { try tree($0.hex, .snapshot($0)) }
        case .algorithm(.blobs):
            return try await library.knownBlobs().map { item($0.digest.hex, .blob($0.digest, size: $0.size)) }
        case .images:
            return try await names(below: "")
        case .repositories(let path):
            return try await names(below: path + "/")
        case .image(let path, let manifest):
            guard let image = library.image(manifest: manifest) else { throw FSError.stale }
            let documents = SyntheticNode.ImageDocument.allCases.filter { $0 != .index || image.indexBytes != nil }
            return documents.map { item($0.rawValue, .imageDocument(path: path, manifest: manifest, $0)) }
                + [item("layers", .imageLayers(path: path, manifest: manifest)), try tree("rootfs", .rootfs(path: path, manifest: manifest))]
        case .imageLayers(let path, let manifest):
            guard let image = library.image(manifest: manifest) else { throw FSError.stale }
            return image.layers.indices.map { item("\($0)", .imageLayer(path: path, manifest: manifest, position: $0)) }
        case .caches:
            guard let caches else { return [] }
            // A cache that cannot be opened is not hidden from those beside it.
            return try caches.names().compactMap { name in
                (try? caches.tree(name)).map { Listing(name: Array(name.encoded.utf8), node: .live($0)) }
            }
        case .leases:
            return try (caches?.leases() ?? []).map { item($0.token, .lease(token: $0.token)) }
        case .lease(let token):
            guard let caches, let lease = try caches.lease(token) else { throw FSError.stale }
            return [item("holder.json", .leaseHolder(token: token)), Listing(name: Array("root".utf8), node: .live(try caches.tree(of: lease)))]
        case .readme, .status, .metrics, .imageDocument, .imageLayer, .leaseHolder, .blob:
            throw FSError.notDirectory
        }
    }

    /// The next components of all known references that begin with `prefix`.
    private func names(below prefix: String) async throws -> [Listing] {
        var items: [String: SyntheticNode] = [:]
        for image in try await library.knownImages() {
            let path = image.reference.description
            guard path.hasPrefix(prefix) else { continue }
            let rest = path.dropFirst(prefix.count)
            if let slash = rest.firstIndex(of: "/") {
                items[String(rest[..<slash])] = .repositories(path: prefix + rest[..<slash])
            } else {
                items[String(rest)] = .image(path: path, manifest: image.manifestDescriptor.digest)
            }
        }
        return items.sorted { $0.key < $1.key }.map { item($0.key, $0.value) }
    }

    private func item(_ name: String, _ node: SyntheticNode) -> Listing { Listing(name: Array(name.utf8), node: .synthetic(node)) }

    private func tree(_ name: String, _ key: TreeKey) throws -> Listing {
        _ = try mounted(key)
        return Listing(name: Array(name.utf8), node: .tree(key))
    }
}

/// One name of a synthetic directory.
private struct Listing: Sendable {
    let name: [UInt8]
    let node: ListedNode
}

/// What a synthetic directory lists.
private enum ListedNode: Sendable {
    case synthetic(SyntheticNode)
    /// The root of an image tree, by the key of its serial.
    case tree(TreeKey)
    /// The root of a live tree, whose lookups nobody counts.
    case live(LiveTree)
}

extension Duration {
    var inSeconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }
}
