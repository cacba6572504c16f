import LinuxIO
import OCI

extension Store {
    public func hasBlob(_ digest: Digest) -> Bool { has(.blob(digest)) }

    public func openBlob(_ digest: Digest) throws(StoreError) -> OwnedDescriptor? { try open(.blob(digest)) }

    /// A blob that has just been read whole and hashed, whatever its size; a damaged one is moved to quarantine and counts
    /// as absent. For whoever makes other objects of its bytes: those would outlive the damage.
    public func openProvenBlob(_ digest: Digest) throws(StoreError) -> OwnedDescriptor? {
        guard let file = try openBlob(digest) else { return nil }
        let found = try inStore(root) { () throws(SystemError) in
            var hasher = DigestHasher()
            var position: UInt64 = 0
            let block = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)
            defer { block.deallocate() }
            while true {
                let count = try file.read(into: block, at: position)
                if count == 0 { return hasher.finish() }
                hasher.update(UnsafeRawBufferPointer(rebasing: block[..<count]))
                position += UInt64(count)
            }
        }
        if found == digest { return file }
        _ = try quarantine(StoreKey.blob(digest).path, reason: "its content has \(found)")
        return nil
    }

    /// Bytes of the blob; nil where the store does not have it.
    public func blobSize(_ digest: Digest) throws(StoreError) -> UInt64? { try size(.blob(digest)) }

    /// The whole blob, its digest proven; nil where the store does not have it. For manifests and configs.
    /// - Throws: `tooLarge` above `limit` bytes, `wrongDigest` where the file is damaged.
    public func blobBytes(_ digest: Digest, limit: Int) throws(StoreError) -> [UInt8]? {
        guard let file = try openBlob(digest) else { return nil }
        let path = "\(self.path)/\(StoreKey.blob(digest).path)"
        let (bytes, size) = try inStore(root) { () throws(SystemError) in (try file.readAll(limit: limit), try file.size()) }
        guard let bytes else { throw .tooLarge(path: path, bytes: size, limit: UInt64(limit)) }
        let found = Digest(of: bytes)
        guard found == digest else { throw .wrongDigest(path: path, expected: digest, found: found) }
        return bytes
    }

    /// Keeps `bytes` as a blob.
    @discardableResult
    public func putBlob(_ bytes: [UInt8]) throws(StoreError) -> Digest {
        let digest = Digest(of: bytes)
        if hasBlob(digest) {
            // Who prunes shall see that it is wanted again.
            markUse(.blob(digest))
        } else {
            let file = try temporary("blob")
            try file.write(bytes)
            try publishBlob(file, digest)
        }
        return digest
    }

    /// Publishes a blob whose digest the caller has computed from the very bytes it wrote.
    @discardableResult
    public func publishBlob(_ file: TemporaryFile, _ digest: Digest) throws(StoreError) -> Bool {
        try publish(file, as: .blob(digest))
    }
}
