import LinuxIO
import OCI

/// Whole large files, named by the digest of their content.
extension Store {
    public func hasObject(_ digest: Digest) -> Bool { has(.object(digest)) }

    public func openObject(_ digest: Digest) throws(StoreError) -> OwnedDescriptor? { try open(.object(digest)) }

    /// Publishes a file whose digest the caller has computed from the very bytes it wrote.
    @discardableResult
    public func publishObject(_ file: TemporaryFile, _ digest: Digest) throws(StoreError) -> Bool {
        try publish(file, as: .object(digest))
    }
}
