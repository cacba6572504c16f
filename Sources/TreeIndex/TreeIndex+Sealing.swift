import OCI

extension TreeIndex {
    /// The same index saying that the layer has been read whole and has this DiffID. Ordinals and content stay.
    public func sealed(_ diffID: Digest) -> [UInt8] {
        var header = header
        header.diffID = RawDigest(diffID)
        return bytes(with: header)
    }

    /// The same index under another content key: how one from outside is adopted, so that what it claims is kept apart
    /// from what is proven, and from other claims.
    /// - Parameter diffID: nil says that the layer is not proven, whatever the index said of itself.
    public func rekeyed(contentKey: Digest, diffID: Digest?) -> [UInt8] {
        var header = header
        header.contentKey = RawDigest(contentKey)
        header.diffID = RawDigest(diffID)
        return bytes(with: header)
    }

    private func bytes(with changed: IndexHeader) -> [UInt8] {
        var header = changed
        var bytes = Array(self.bytes)
        func store() { bytes.withUnsafeMutableBytes { target in withUnsafeBytes(of: header) { target.copyMemory(from: $0) } } }
        store()
        var hasher = DigestHasher()
        bytes.withUnsafeBytes { hasher.update(UnsafeRawBufferPointer(rebasing: $0[IndexFormat.checkedFrom...])) }
        header.checksum = RawDigest(hasher.finish())
        store()
        return bytes
    }
}
