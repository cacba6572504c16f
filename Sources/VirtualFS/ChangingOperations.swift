/// The operations that change a tree. Whoever only reads implements none of them: every default answers `.readOnly`.
///
/// **Admission.** A tree may be changed only while this process holds the right to (a lease on a cache). So every change
/// is preceded by `admitChange` on a node of it: `.ready` answers at once, `.cold` means that the right must first be
/// waited for with `coldAdmitChange`. The operations themselves then work on the local disk. They may wait for it, never
/// for a network or another process; `allocate`, `copyRange` and `synchronize` can wait so long for it that the caller gives
/// them a thread of their own.
public protocol ChangingOperations: AnyObject, Sendable {
    func admitChange(_ node: NodeID) throws(FSError) -> Answer<Void>
    /// Honours cancellation by throwing `.interrupted`.
    func coldAdmitChange(_ node: NodeID) async throws(FSError)

    /// chmod, chown, truncate, utimens: what is nil stays as it is. `handle` is that of an open file, where the caller has one.
    func setAttributes(_ node: NodeID, handle: UInt64?, _ change: AttributeChange, for caller: Caller) throws(FSError) -> Entry

    /// open(2) with O_CREAT for a name that the caller believes absent. Without O_EXCL in `flags` an existing file is opened.
    func create(
        _ parent: NodeID, _ name: UnsafeRawBufferPointer, mode: UInt32, flags: Int32, for caller: Caller
    ) throws(FSError) -> (Entry, OpenedFile)
    /// O_TMPFILE: a file without a name, in the directory's filesystem, which `link` can give one.
    func createUnnamed(_ parent: NodeID, mode: UInt32, flags: Int32, for caller: Caller) throws(FSError) -> (Entry, OpenedFile)
    /// mknod(2): fifo, socket, device, or a regular file that is not opened.
    func makeNode(
        _ parent: NodeID, _ name: UnsafeRawBufferPointer, mode: UInt32, deviceMajor: UInt32, deviceMinor: UInt32, for caller: Caller
    ) throws(FSError) -> Entry
    func makeDirectory(_ parent: NodeID, _ name: UnsafeRawBufferPointer, mode: UInt32, for caller: Caller) throws(FSError) -> Entry
    func makeSymlink(
        _ parent: NodeID, _ name: UnsafeRawBufferPointer, target: UnsafeRawBufferPointer, for caller: Caller
    ) throws(FSError) -> Entry
    func link(_ node: NodeID, to parent: NodeID, _ name: UnsafeRawBufferPointer, for caller: Caller) throws(FSError) -> Entry
    func unlink(_ parent: NodeID, _ name: UnsafeRawBufferPointer, for caller: Caller) throws(FSError)
    func removeDirectory(_ parent: NodeID, _ name: UnsafeRawBufferPointer, for caller: Caller) throws(FSError)
    /// `flags` are renameat2(2)'s: RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT.
    func rename(
        _ parent: NodeID, _ name: UnsafeRawBufferPointer, to newParent: NodeID, _ newName: UnsafeRawBufferPointer, flags: UInt32,
        for caller: Caller
    ) throws(FSError)

    /// Returns the bytes written. `killsPrivileges`: the writer may not keep set-id bits (FUSE_WRITE_KILL_SUIDGID).
    func write(
        _ node: NodeID, handle: UInt64, at offset: UInt64, _ bytes: UnsafeRawBufferPointer, killsPrivileges: Bool
    ) throws(FSError) -> Int
    /// fallocate(2).
    func allocate(_ node: NodeID, handle: UInt64, mode: Int32, offset: UInt64, length: UInt64) throws(FSError)
    /// copy_file_range(2); may copy less than asked.
    func copyRange(
        from source: NodeID, handle: UInt64, at sourceOffset: UInt64, to target: NodeID, handle targetHandle: UInt64,
        at targetOffset: UInt64, length: UInt64, flags: UInt32
    ) throws(FSError) -> UInt64
    /// lseek(2) with SEEK_DATA or SEEK_HOLE.
    func seek(_ node: NodeID, handle: UInt64, from offset: UInt64, whence: Int32) throws(FSError) -> UInt64
    /// fsync(2), or fdatasync(2) with `dataOnly`. Also of a directory, whose handle may be 0.
    func synchronize(_ node: NodeID, handle: UInt64, dataOnly: Bool) throws(FSError)

    /// setxattr(2); `flags` are XATTR_CREATE and XATTR_REPLACE.
    func setAttribute(
        _ node: NodeID, _ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, flags: Int32, for caller: Caller
    ) throws(FSError)
    func removeAttribute(_ node: NodeID, _ name: UnsafeRawBufferPointer, for caller: Caller) throws(FSError)
}

/// Who asks: what the kernel says in every request. It has checked permissions already (`default_permissions`); ids
/// are needed for the owner of what is made.
public struct Caller: Sendable, Hashable {
    public var uid: UInt32
    public var gid: UInt32
    public var process: Int32

    public init(uid: UInt32, gid: UInt32, process: Int32) {
        self.uid = uid
        self.gid = gid
        self.process = process
    }
}

/// What `setAttributes` is to change.
public struct AttributeChange: Sendable, Hashable {
    public enum Time: Sendable, Hashable {
        case now
        case at(seconds: Int64, nanoseconds: UInt32)
    }

    /// Permission bits, without the type.
    public var mode: UInt32?
    public var uid: UInt32?
    public var gid: UInt32?
    /// Bytes.
    public var size: UInt64?
    public var accessed: Time?
    public var modified: Time?
    /// The change also takes set-id bits away (FATTR_KILL_SUIDGID).
    public var killsPrivileges = false

    public init() {}
}

extension ChangingOperations {
    public func admitChange(_ node: NodeID) throws(FSError) -> Answer<Void> { throw .readOnly }
    public func coldAdmitChange(_ node: NodeID) async throws(FSError) { throw .readOnly }
    public func setAttributes(_ node: NodeID, handle: UInt64?, _ change: AttributeChange, for caller: Caller) throws(FSError) -> Entry { throw .readOnly }
    public func create(
        _ parent: NodeID, _ name: UnsafeRawBufferPointer, mode: UInt32, flags: Int32, for caller: Caller
    ) throws(FSError) -> (Entry, OpenedFile) { throw .readOnly }
    public func createUnnamed(_ parent: NodeID, mode: UInt32, flags: Int32, for caller: Caller) throws(FSError) -> (Entry, OpenedFile) { throw .readOnly }
    public func makeNode(
        _ parent: NodeID, _ name: UnsafeRawBufferPointer, mode: UInt32, deviceMajor: UInt32, deviceMinor: UInt32, for caller: Caller
    ) throws(FSError) -> Entry { throw .readOnly }
    public func makeDirectory(_ parent: NodeID, _ name: UnsafeRawBufferPointer, mode: UInt32, for caller: Caller) throws(FSError) -> Entry { throw .readOnly }
    public func makeSymlink(
        _ parent: NodeID, _ name: UnsafeRawBufferPointer, target: UnsafeRawBufferPointer, for caller: Caller
    ) throws(FSError) -> Entry { throw .readOnly }
    public func link(_ node: NodeID, to parent: NodeID, _ name: UnsafeRawBufferPointer, for caller: Caller) throws(FSError) -> Entry { throw .readOnly }
    public func unlink(_ parent: NodeID, _ name: UnsafeRawBufferPointer, for caller: Caller) throws(FSError) { throw .readOnly }
    public func removeDirectory(_ parent: NodeID, _ name: UnsafeRawBufferPointer, for caller: Caller) throws(FSError) { throw .readOnly }
    public func rename(
        _ parent: NodeID, _ name: UnsafeRawBufferPointer, to newParent: NodeID, _ newName: UnsafeRawBufferPointer, flags: UInt32,
        for caller: Caller
    ) throws(FSError) { throw .readOnly }
    public func write(
        _ node: NodeID, handle: UInt64, at offset: UInt64, _ bytes: UnsafeRawBufferPointer, killsPrivileges: Bool
    ) throws(FSError) -> Int { throw .readOnly }
    public func allocate(_ node: NodeID, handle: UInt64, mode: Int32, offset: UInt64, length: UInt64) throws(FSError) { throw .readOnly }
    public func copyRange(
        from source: NodeID, handle: UInt64, at sourceOffset: UInt64, to target: NodeID, handle targetHandle: UInt64,
        at targetOffset: UInt64, length: UInt64, flags: UInt32
    ) throws(FSError) -> UInt64 { throw .readOnly }
    /// `.unsupported` makes the kernel treat the whole file as data.
    public func seek(_ node: NodeID, handle: UInt64, from offset: UInt64, whence: Int32) throws(FSError) -> UInt64 { throw .unsupported }
    /// What cannot change has nothing to write.
    public func synchronize(_ node: NodeID, handle: UInt64, dataOnly: Bool) throws(FSError) {}
    public func setAttribute(
        _ node: NodeID, _ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, flags: Int32, for caller: Caller
    ) throws(FSError) { throw .readOnly }
    public func removeAttribute(_ node: NodeID, _ name: UnsafeRawBufferPointer, for caller: Caller) throws(FSError) { throw .readOnly }
}
