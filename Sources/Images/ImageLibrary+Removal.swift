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
        guard let top = try store.references().first(where: { $0.0 == reference })?.1 else { throw ImageError.unknownReference(reference) }
        let image = try? await load(reference, top: top, offline: true)
        try store.removeReference(reference)
        var report = RemovalReport(reference: reference.description)
        guard let image else { return report }
        let others = try await knownImages()
        let blobsKept = Set(others.flatMap { $0.blobs.map(\.digest) })
        let layersKept = Set(others.flatMap { $0.layers.map(\.descriptor.digest) })
        var objectsKept: Set<Digest>?
        for layer in Set(image.layers) where !layersKept.contains(layer.descriptor.digest) {
            for key in [layer.descriptor.digest, LayerTable(layer.descriptor)?.key].compactMap({ $0 }) {
                guard let index = try store.openTree(key) else { continue }
                if index.view.objectCount > 0 {
                    if objectsKept == nil { objectsKept = try objects(of: others) }
                    for number in 0..<index.view.objectCount {
                        if let digest = index.view.object(number).digest, objectsKept?.contains(digest) != true { try drop(.object(digest), &report) }
                    }
                }
                if let contentKey = index.identity?.contentKey {
                    for number in try store.presentSpans(contentKey) { try drop(.span(contentKey, number), &report) }
                    try store.removeSpans(contentKey)
                }
                try drop(.tree(key), &report)
            }
        }
        for blob in image.blobs where !blobsKept.contains(blob.digest) { try drop(.blob(blob.digest), &report) }
        resolved.withLock { $0[reference] = nil }
        return report
    }

    /// Large files that known images need.
    private func objects(of images: [Image]) throws -> Set<Digest> {
        var digests: Set<Digest> = []
        for layer in Set(images.flatMap(\.layers)) {
            for key in [layer.descriptor.digest, LayerTable(layer.descriptor)?.key].compactMap({ $0 }) {
                guard let view = try store.openTree(key)?.view else { continue }
                for number in 0..<view.objectCount { view.object(number).digest.map { _ = digests.insert($0) } }
            }
        }
        return digests
    }

    private func drop(_ key: StoreKey, _ report: inout RemovalReport) throws {
        guard let size = try store.size(key), try store.remove(key) else { return }
        report.objects += 1
        report.bytes += size
    }
}
