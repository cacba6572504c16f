import Glibc
import LinuxIO

extension Store {
    /// Opens an object for reading; nil where the store does not have it. Takes no lock.
    public func open(_ key: StoreKey) throws(StoreError) -> OwnedDescriptor? {
        try inStore(root) { () throws(SystemError) in try root.openIfPresent(key.path, O_RDONLY | O_NOFOLLOW) }
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
        return try inStore(root) { () throws(SystemError) in try root.remove(key.path) }
    }
}
