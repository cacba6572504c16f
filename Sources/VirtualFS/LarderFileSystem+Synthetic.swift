import Images
import LinuxIO
import OCI
import TreeIndex

/// What Larder itself makes: the hot half. Names that are always there answer at once; a name that only the library
/// can judge is cold.
extension LarderFileSystem {
    func lookupSynthetic(_ parent: NodeID, _ name: UnsafeRawBufferPointer) throws(FSError) -> Answer<Entry> {
        let text = String(decoding: name, as: UTF8.self)
        switch try synthetic.node(parent) {
        case .root:
            switch text {
            case "README.txt": return found(.readme, .infinity)
            case "status.json": return found(.status, .infinity)
            case "metrics": return found(.metrics, .infinity)
            case "images": return found(.images, .infinity)
            case "caches": return found(.caches, .infinity)
            case "leases": return found(.leases, .infinity)
            default: return SyntheticNode.Collection(rawValue: text).map { found(.collection($0), .infinity) } ?? absent(.infinity)
            }
        case .collection(let collection):
            return text == "sha256" ? found(.algorithm(collection), .infinity) : absent(.infinity)
        case .algorithm:
            return Digest(hexBytes: Array(name)) == nil ? absent(.infinity) : .cold
        case .images:
            return isPlausibleHost(text) ? found(.repositories(path: text), 60) : absent(5)
        case .repositories(let path):
            if text.contains(":") || text.contains("@") { return Reference("\(path)/\(text)") == nil ? absent(60) : .cold }
            return Repository.isComponent(Array(name)) ? found(.repositories(path: "\(path)/\(text)"), 60) : absent(60)
        case .image(let path, let manifest):
            guard let image = library.image(manifest: manifest) else { throw .stale }
            switch text {
            case "rootfs":
                guard let tree = mountedIfKnown(.rootfs(path: path, manifest: manifest)) else { return .cold }
                return .ready(rootEntry(tree))
            case "layers": return found(.imageLayers(path: path, manifest: manifest), .infinity)
            default:
                guard let document = SyntheticNode.ImageDocument(rawValue: text), document != .index || image.indexBytes != nil else { return absent(.infinity) }
                return found(.imageDocument(path: path, manifest: manifest, document), .infinity)
            }
        case .imageLayers(let path, let manifest):
            guard let image = library.image(manifest: manifest) else { throw .stale }
            guard let position = Int(text), position >= 0, position < image.layers.count, "\(position)" == text else { return absent(.infinity) }
            return found(.imageLayer(path: path, manifest: manifest, position: position), .infinity)
        case .caches:
            return try lookupKnownCache(name).map { .ready($0) } ?? .cold
        case .leases, .lease:
            return .cold
        case .readme, .status, .metrics, .imageDocument, .imageLayer, .leaseHolder, .blob:
            throw .notDirectory
        }
    }

    /// Whether a first component can be a registry: a domain, an address with a port, localhost, or a configured name.
    /// Anything else is a typing error that no lookup should turn into a directory.
    private func isPlausibleHost(_ text: String) -> Bool {
        Repository.isHost(text) && (text.contains(".") || text.contains(":") || text == "localhost" || library.knowsHost(text))
    }

    /// The root of a tree: as the tree says once it is open, like any directory before.
    func rootEntry(_ tree: MountedTree) -> Entry {
        guard let content = tree.content else { return tree.closedRoot }
        var entry = tree.entry(0, in: content)
        if content.canBeOutlived { entry.nameLifetime = tree.closedRoot.nameLifetime }
        return entry
    }

    private func absent(_ lifetime: Double) -> Answer<Entry> { .ready(.absent(lifetime: lifetime)) }

    private func found(_ node: SyntheticNode, _ lifetime: Double) -> Answer<Entry> { .ready(entry(of: node, nameLifetime: lifetime)) }

    /// The entry of a synthetic node, counting one lookup of it.
    func entry(of node: SyntheticNode, nameLifetime: Double) -> Entry {
        entry(of: node, id: synthetic.id(of: node, counting: 1), nameLifetime: nameLifetime)
    }

    func entry(of node: SyntheticNode, id: NodeID, nameLifetime: Double) -> Entry {
        var attributes = Attributes(node: id, mode: 0, modifiedSeconds: startTime)
        switch node.shape {
        case .directory:
            // Root makes caches by mkdir; nothing else of these can be changed.
            attributes.mode = node == .caches ? 0o040755 : 0o040555
            attributes.linkCount = 2
            attributes.size = 4096
        case .symlink:
            attributes.mode = 0o120777
            attributes.size = UInt64((try? target(of: node).count) ?? 0)
        case .file:
            attributes.mode = 0o100444
            attributes.size = size(of: node)
            attributes.blocks = (attributes.size + 511) / 512
        }
        if case .blob(let digest, _) = node, !library.store.hasBlob(digest) {
            attributes.blocks = 0
            return Entry(attributes, nameLifetime: nameLifetime, attributeLifetime: 1)
        }
        return Entry(attributes, nameLifetime: nameLifetime, attributeLifetime: node.isLive ? 0 : .infinity)
    }

    private func size(of node: SyntheticNode) -> UInt64 {
        switch node {
        case .readme: UInt64(Readme.text.utf8.count)
        case .imageDocument: UInt64(fixedDocument(node)?.count ?? 0)
        case .blob(_, let size): size
        default: 0
        }
    }

    /// The bytes of a document that never changes; nil for a live one.
    func fixedDocument(_ node: SyntheticNode) -> [UInt8]? {
        switch node {
        case .readme: Array(Readme.text.utf8)
        case .imageDocument(_, let manifest, let document):
            switch document {
            case .manifest: library.image(manifest: manifest)?.manifestBytes
            case .config: library.image(manifest: manifest)?.configBytes
            case .index: library.image(manifest: manifest)?.indexBytes
            case .status: nil
            }
        default: nil
        }
    }

    func attributesOfSynthetic(_ node: NodeID) throws(FSError) -> Answer<Entry> {
        .ready(entry(of: try synthetic.node(node), id: node, nameLifetime: 0))
    }

    func targetOfSynthetic(_ node: NodeID) throws(FSError) -> [UInt8] { try target(of: try synthetic.node(node)) }

    /// Links lead up to the mount point and down again, so that they hold wherever the mount is seen.
    private func target(of node: SyntheticNode) throws(FSError) -> [UInt8] {
        guard case .imageLayer(let path, let manifest, let position) = node else { throw .invalid }
        guard let image = library.image(manifest: manifest), position < image.layers.count else { throw .stale }
        // images, each component of the path, layers.
        let depth = path.utf8.count { $0 == UInt8(ascii: "/") } + 3
        return Array((String(repeating: "../", count: depth) + "layers/sha256/" + image.layers[position].descriptor.digest.hex).utf8)
    }

    func openSynthetic(_ id: NodeID) throws(FSError) -> Answer<OpenedFile> {
        let node = try synthetic.node(id)
        if node.isLive { return .cold }
        guard node.shape == .file else { throw .isDirectory }
        if case .blob(let digest, _) = node { return .ready(OpenedFile(caching: .keep, complete: library.store.hasBlob(digest))) }
        return .ready(OpenedFile(caching: .keep))
    }

    func withSyntheticBacking(_ id: NodeID, _ body: (Int32) -> Int32) throws(FSError) -> Int32? {
        guard case .blob(let digest, _) = try synthetic.node(id) else { return nil }
        do {
            guard let blob = try library.store.openBlob(digest) else { return nil }
            defer { extendLifetime(blob) }
            // As for a file of an image: not evicted while the kernel reads it.
            blob.holdInUse()
            return body(blob.raw)
        } catch {
            throw report(error, "open")
        }
    }

    func readSynthetic(_ id: NodeID, _ handle: UInt64, _ offset: UInt64, _ buffer: UnsafeMutableRawBufferPointer) throws(FSError) -> Answer<Int> {
        let node = try synthetic.node(id)
        if case .blob(let digest, _) = node {
            do {
                guard let blob = try library.store.openBlob(digest) else { return .cold }
                return .ready(try blob.read(into: buffer, at: offset))
            } catch {
                throw report(error, "read")
            }
        }
        guard let bytes = documents[handle] ?? fixedDocument(node) else { throw .stale }
        guard offset < UInt64(bytes.count) else { return .ready(0) }
        let part = bytes[Int(offset)...].prefix(buffer.count)
        buffer.copyBytes(from: part)
        return .ready(part.count)
    }
}
