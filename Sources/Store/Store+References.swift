import Glibc
import LinuxIO
import OCI

extension Store {
    /// What the store's `index.json` names by a full reference. Entries of other tools are not shown, and are kept.
    /// - Throws: `damaged` where the file is missing or is no image index. It is never replaced by an empty one then.
    public func references() throws(StoreError) -> [(Reference, Descriptor)] { try referenceIndex().references }

    /// Makes `reference` name the manifest or index `descriptor`, and nothing else any more.
    public func setReference(_ reference: Reference, _ descriptor: Descriptor) throws(StoreError) {
        try changeIndex { index throws(StoreError) in
            do {
                return try index.set(reference, descriptor)
            } catch {
                throw .damaged(path: indexPath, reason: "\(error)")
            }
        }
    }

    /// - Returns: false where nothing had that name.
    @discardableResult
    public func removeReference(_ reference: Reference) throws(StoreError) -> Bool {
        try changeIndex { index throws(StoreError) in index.remove(reference) }
    }

    private var indexPath: String { "\(path)/\(StoreLayout.index)" }

    /// Reads, changes and replaces the file while no other process of Larder does.
    @discardableResult
    func changeIndex(_ change: (inout ReferenceIndex) throws(StoreError) -> Bool) throws(StoreError) -> Bool {
        try requireWritable()
        return try withLock(StoreLayout.indexLock, in: root) { () throws(StoreError) in
            var index = try referenceIndex()
            guard try change(&index) else { return false }
            // Other tools write into this file, not beside it.
            let file = try temporary("index", mode: 0o644)
            guard let bytes = try? index.encoded() else { throw .damaged(path: indexPath, reason: "it cannot be written again") }
            guard bytes.count <= StoreLayout.indexLimit else {
                throw .tooLarge(path: indexPath, bytes: UInt64(bytes.count), limit: UInt64(StoreLayout.indexLimit))
            }
            try file.write(bytes)
            try inStore(root) { () throws(SystemError) in try root.replace(StoreLayout.index, by: file.name) }
            file.becamePublished()
            return true
        }
    }

    func referenceIndex() throws(StoreError) -> ReferenceIndex {
        let bytes = try inStore(root) { () throws(SystemError) in
            // Over NFS a file that is replaced while it is read goes stale; the next one is whole.
            for _ in 0..<3 {
                do throws(SystemError) {
                    return try root.openIfPresent(StoreLayout.index, O_RDONLY | O_NOFOLLOW)?.readAll(limit: StoreLayout.indexLimit)
                } catch {
                    guard error.code == ESTALE else { throw error }
                }
            }
            throw SystemError("read", path: indexPath, code: ESTALE)
        }
        guard let bytes else { throw .damaged(path: indexPath, reason: "it is missing, or larger than \(StoreLayout.indexLimit) bytes") }
        guard let index = ReferenceIndex(decoding: bytes) else {
            throw .damaged(path: indexPath, reason: "it is not an image index; repair it, or remove it to start with an empty one (blobs stay)")
        }
        return index
    }
}
