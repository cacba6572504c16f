import CLinux
import Glibc

// What stat shows and chmod, chown, truncate and utimens change; extended attributes.
extension LiveTree {
    public func attributes(_ node: NodeID) throws(FSError) -> Answer<Entry> {
        let lifetime = gate.lifetime
        let file = try anyFile(node)
        defer { extendLifetime(file) }
        return .ready(Self.entry(node, try status(of: file.raw), lifetime: lifetime))
    }

    /// In the order in which the kernel applies them. The first that fails ends it; a single system call changes one kind only.
    public func setAttributes(_ node: NodeID, handle: UInt64?, _ change: AttributeChange, for caller: Caller) throws(FSError) -> Entry {
        let file = change.size == nil ? try anyFile(node) : try contentFile(node, writing: true)
        defer { extendLifetime(file) }
        if change.uid != nil || change.gid != nil || change == AttributeChange() {
            // The all-ones id leaves what is there. A change of nothing is the kernel's way of saying that set-id bits have to
            // go and ctime to move: for a chown to nobody, and before a write of whoever may not leave the bits standing.
            try Self.check(larder_chown(file.raw, change.uid ?? .max, change.gid ?? .max))
        }
        if let mode = change.mode { try Self.check(larder_chmod(file.raw, mode & 0o7777)) }
        if let size = change.size {
            guard let size = off_t(exactly: size) else { throw .system(EFBIG) }
            guard ftruncate(file.raw, size) == 0 else { throw .system(errno) }
        }
        if change.killsPrivileges { try clearSetID(file) }
        if change.accessed != nil || change.modified != nil {
            let accessed = Self.time(change.accessed)
            let modified = Self.time(change.modified)
            try Self.check(larder_set_times(file.raw, accessed.seconds, accessed.nanoseconds, modified.seconds, modified.nanoseconds))
        }
        return Self.entry(node, try status(of: file.raw), lifetime: gate.lifetime)
    }

    private static func time(_ time: AttributeChange.Time?) -> (seconds: Int64, nanoseconds: Int) {
        switch time {
        // UTIME_OMIT and UTIME_NOW of linux/stat.h.
        case nil: (0, (1 << 30) - 2)
        case .now: (0, (1 << 30) - 1)
        case .at(let seconds, let nanoseconds): (seconds, Int(nanoseconds))
        }
    }

    /// The disk spares the bits for a writer with CAP_FSETID, and that is who we are. The group's goes only where the group may
    /// execute, as everywhere (linux/fuse.h on FUSE_HANDLE_KILLPRIV_V2).
    func clearSetID(_ file: LiveFile) throws(FSError) {
        let mode = try status(of: file.raw).mode
        guard mode & S_IFMT == S_IFREG else { return }
        var kept = mode & ~S_ISUID
        if mode & S_IXGRP != 0 { kept &= ~S_ISGID }
        if kept != mode { try Self.check(larder_chmod(file.raw, kept & 0o7777)) }
    }

    public func readLink(_ node: NodeID, into buffer: UnsafeMutableRawBufferPointer) throws(FSError) -> Answer<Int> {
        let file = try anyFile(node)
        defer { extendLifetime(file) }
        let count = larder_read_link(file.raw, buffer.baseAddress, buffer.count)
        // What readlinkat(2) says for "" and something else than a link, opened O_PATH or not.
        if count == -ENOENT || count == -EBADF { throw .invalid }
        return .ready(Int(try Self.check(count)))
    }

    // MARK: - Extended attributes

    public func attribute(_ node: NodeID, _ name: UnsafeRawBufferPointer, into buffer: UnsafeMutableRawBufferPointer) throws(FSError) -> Int {
        let file = try anyFile(node)
        defer { extendLifetime(file) }
        return try Self.withAttributeName(name) { name throws(FSError) in
            try Self.check(larder_get_attribute(file.raw, name, buffer.baseAddress, buffer.count))
        }
    }

    public func attributeNames(_ node: NodeID, into buffer: UnsafeMutableRawBufferPointer) throws(FSError) -> Int {
        let file = try anyFile(node)
        defer { extendLifetime(file) }
        return try Self.check(larder_list_attributes(file.raw, buffer.baseAddress, buffer.count))
    }

    public func setAttribute(
        _ node: NodeID, _ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, flags: Int32, for caller: Caller
    ) throws(FSError) {
        let file = try anyFile(node)
        defer { extendLifetime(file) }
        try Self.withAttributeName(name) { name throws(FSError) in
            _ = try Self.check(larder_set_attribute(file.raw, name, value.baseAddress, value.count, flags))
        }
    }

    public func removeAttribute(_ node: NodeID, _ name: UnsafeRawBufferPointer, for caller: Caller) throws(FSError) {
        let file = try anyFile(node)
        defer { extendLifetime(file) }
        try Self.withAttributeName(name) { name throws(FSError) in _ = try Self.check(larder_remove_attribute(file.raw, name)) }
    }

    /// At most XATTR_NAME_MAX bytes, with any of them but NUL.
    private static func withAttributeName<Value>(
        _ name: UnsafeRawBufferPointer, _ body: (UnsafePointer<CChar>) throws(FSError) -> Value
    ) throws(FSError) -> Value {
        guard 1...255 ~= name.count, !name.contains(0) else { throw .range }
        var bytes = InlineArray<256, CChar>(repeating: 0)
        for index in 0..<name.count { bytes[index] = CChar(bitPattern: name[index]) }
        return try bytes.span.withUnsafeBufferPointer { buffer throws(FSError) in try body(buffer.baseAddress!) }
    }
}
