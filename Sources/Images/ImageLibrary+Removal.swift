import OCI
import Store

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
        guard let image = try store.storedImage(reference) else { throw ImageError.unknownReference(reference) }
        try store.removeReference(reference)
        let kept = try store.contents()
        catalog.withLock { $0.remove(reference) }

        var report = RemovalReport(reference: reference.description)
        let keys = kept.belongings(of: image)
        for key in keys { try drop(key, &report) }
        // An emptied folder goes too.
        for contentKey in Set(keys.compactMap { if case .span(let key, _) = $0 { key } else { nil } }) { try store.removeSpans(contentKey) }
        // Named by a manifest, or by the index of a layer with a table of contents.
        for key in keys {
            switch key {
            case .blob(let digest), .tree(let digest): try store.removeProfile(digest)
            case .span, .object: break
            }
        }
        return report
    }

    private func drop(_ key: StoreKey, _ report: inout RemovalReport) throws {
        guard let size = try store.size(key), try store.remove(key) else { return }
        report.objects += 1
        report.bytes += size
    }
}
