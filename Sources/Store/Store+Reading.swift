import Glibc
import LinuxIO

extension Store {
    /// Opens an object for reading; nil where the store does not have it. Takes no lock. Counts as a use of it.
    public func open(_ key: StoreKey) throws(StoreError) -> OwnedDescriptor? {
        let file = try inStore(root) { () throws(SystemError) in try root.openIfPresent(key.path, O_RDONLY | O_NOFOLLOW) }
        guard let file else { return nil }
        markUse(file)
        return file
    }

    /// Whether the store has the object: a moment later it may be gone or have come.
    public func has(_ key: StoreKey) -> Bool { root.exists(key.path) }

    /// Bytes of the object; nil where the store does not have it.
    public func size(_ key: StoreKey) throws(StoreError) -> UInt64? {
        try inStore(root) { () throws(SystemError) in try root.statusIfPresent(key.path).map { UInt64($0.st_size) } }
    }

    /// Removes an object. Who has it open goes on reading it.
    /// - Returns: false where the store did not have it.
    @discardableResult
    public func remove(_ key: StoreKey) throws(StoreError) -> Bool {
        try requireWritable()
        return try inStore(root) { () throws(SystemError) in
            let status = try root.statusIfPresent(key.path)
            guard try root.remove(key.path) else { return false }
            if let status, status.st_nlink == 1 { account.add(-Int64(clamping: status.allocatedByteCount), of: key.kind) }
            return true
        }
    }
}
