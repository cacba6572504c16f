import OCI
import Store
import TreeIndex

/// What a removal freed.
public struct RemovalReport: Sendable, Encodable {
    public var reference: String
    /// Objects of the store that no other known image needs.
    public var objects = 0
    /// Bytes they held.
    public var bytes: UInt64 = 0
}

extension ImageLibrary {
    /// Forgets a reference and removes what only it needed: documents, blobs, indexes, spans and large files.
    ///
    /// The reference goes first. A process that adds an image meanwhile writes its reference *before* it fetches, so
    /// what it needs is seen here; and what goes all the same is fetched again.
    /// - Throws: `ImageError.unknownReference` where the store does not know the reference.
    public func remove(_ reference: Reference) async throws -> RemovalReport {
        let report = try await blocking { try self.removeNow(reference) }
        resolved.withLock { $0[reference] = nil }
        return report
    }

    private func removeNow(_ reference: Reference) throws -> RemovalReport {
        guard let top = try store.references().first(where: { $0.0 == reference })?.1 else { throw ImageError.unknownReference(reference) }
        let unneeded = try StoredNeeds(of: [top], in: store)
        try store.removeReference(reference)
        let kept = try StoredNeeds(of: try store.references().map(\.1), in: store)
        catalog.withLock { $0.remove(reference) }

        var report = RemovalReport(reference: reference.description)
        for object in unneeded.objects.subtracting(kept.objects) { try drop(.object(object), &report) }
        for contentKey in unneeded.contentKeys.subtracting(kept.contentKeys) {
            for number in try store.presentSpans(contentKey) { try drop(.span(contentKey, number), &report) }
            try store.removeSpans(contentKey)
        }
        for tree in unneeded.trees.subtracting(kept.trees) { try drop(.tree(tree), &report) }
        for blob in unneeded.blobs.subtracting(kept.blobs) { try drop(.blob(blob), &report) }
        // Named by a manifest, or by the index of a layer with a table of contents.
        for key in unneeded.blobs.subtracting(kept.blobs).union(unneeded.trees.subtracting(kept.trees)) { try store.removeProfile(key) }
        return report
    }

    private func drop(_ key: StoreKey, _ report: inout RemovalReport) throws {
        guard let size = try store.size(key), try store.remove(key) else { return }
        report.objects += 1
        report.bytes += size
    }
}

/// Everything of the store that images need, as far as the documents in it tell: for every platform, because an index may
/// have been pulled for several.
private struct StoredNeeds {
    private(set) var blobs: Set<Digest> = []
    /// Keys of the indexes of layers and snapshots.
    private(set) var trees: Set<Digest> = []
    /// Names of span folders.
    private(set) var contentKeys: Set<Digest> = []
    private(set) var objects: Set<Digest> = []
    private let store: Store

    init(of tops: [Descriptor], in store: Store) throws {
        self.store = store
        for top in tops { try add(document: top, depth: 0) }
    }

    private mutating func add(document: Descriptor, depth: Int) throws {
        guard depth <= 4, blobs.insert(document.digest).inserted else { return }
        guard let bytes = try store.blobBytes(document.digest, limit: ManifestDocument.sizeLimit),
            let document = try? ManifestDocument(decoding: bytes, mediaType: document.mediaType)
        else { return }
        switch document {
        case .index(let index):
            for manifest in index.manifests { try add(document: manifest, depth: depth + 1) }
        case .manifest(let manifest):
            blobs.insert(manifest.config.digest)
            var stack: [Digest] = []
            for layer in manifest.layers {
                blobs.insert(layer.digest)
                let contentKey = try add(layer)
                // Snapshots are named by the content keys of their layers; of a layer without an index there is none.
                if let contentKey, stack.count < manifest.layers.count { stack.append(contentKey) }
            }
            guard stack.count == manifest.layers.count else { return }
            for count in 0...stack.count { trees.insert(ImageLibrary.snapshotKey(stack.prefix(count))) }
        }
    }

    /// Adds a layer's indexes and what they speak of. Returns the content key of the index that counts.
    private mutating func add(_ layer: Descriptor) throws -> Digest? {
        var first: Digest?
        for key in [layer.digest, LayerTable(layer)?.key].compactMap({ $0 }) {
            trees.insert(key)
            guard let index = try store.openTree(key), let contentKey = index.identity?.contentKey else { continue }
            first = first ?? contentKey
            guard contentKeys.insert(contentKey).inserted else { continue }
            for number in 0..<index.view.objectCount { index.view.object(number).digest.map { _ = objects.insert($0) } }
        }
        return first
    }
}
