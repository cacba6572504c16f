import OCI

extension TreeIndex {
    /// The same index saying that the layer has been read whole and has this DiffID. Ordinals and content stay.
    public func sealed(_ diffID: Digest) -> [UInt8] {
        var header = header
        header.diffID = RawDigest(diffID)
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
