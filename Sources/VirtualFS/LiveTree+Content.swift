import CLinux
import Glibc
import LinuxIO

// Reading and writing for connections without passthrough, and what the kernel leaves to us with it.
extension LiveTree {
    public func read(
        _ node: NodeID, handle: UInt64, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer
    ) throws(FSError) -> Answer<Int> {
        let file = try contentFile(node, writing: false)
        defer { extendLifetime(file) }
        do throws(SystemError) {
            return .ready(try file.descriptor.read(into: buffer, at: offset))
        } catch { throw .system(error.code) }
    }

    /// What the disk takes of it: fewer bytes than given mean that it is full, or the file at its limit.
    public func write(
        _ node: NodeID, handle: UInt64, at offset: UInt64, _ bytes: UnsafeRawBufferPointer, killsPrivileges: Bool
    ) throws(FSError) -> Int {
        let file = try contentFile(node, writing: true)
        defer { extendLifetime(file) }
        guard let start = off_t(exactly: offset) else { throw .system(EFBIG) }
        if killsPrivileges { try clearSetID(file) }
        var done = 0
        while done < bytes.count {
            // An open file's O_APPEND is the kernel's business above; ours never has it, or it would outvote the offset.
            let count = pwrite(file.raw, bytes.baseAddress! + done, bytes.count - done, start + off_t(done))
            if count < 0 && errno == EINTR { continue }
            if count < 0 && done == 0 { throw .system(errno) }
            if count <= 0 { break }
            done += count
        }
        return done
    }

    public func allocate(_ node: NodeID, handle: UInt64, mode: Int32, offset: UInt64, length: UInt64) throws(FSError) {
        let file = try contentFile(node, writing: true)
        defer { extendLifetime(file) }
        guard let offset = Int64(exactly: offset), let length = Int64(exactly: length) else { throw .system(EFBIG) }
        var result: Int32
        repeat { result = larder_allocate(file.raw, mode, offset, length) } while result == -EINTR
        try Self.check(result)
    }

    public func copyRange(
        from source: NodeID, handle: UInt64, at sourceOffset: UInt64, to target: NodeID, handle targetHandle: UInt64,
        at targetOffset: UInt64, length: UInt64, flags: UInt32
    ) throws(FSError) -> UInt64 {
        try requireOwn(source)
        try requireOwn(target)
        let input = try contentFile(source, writing: false)
        defer { extendLifetime(input) }
        let output = try contentFile(target, writing: true)
        defer { extendLifetime(output) }
        guard let from = Int64(exactly: sourceOffset), let to = Int64(exactly: targetOffset) else { throw .system(EFBIG) }
        return UInt64(try Self.check(larder_copy_range(input.raw, from, output.raw, to, Int(clamping: length), flags)))
    }

    public func seek(_ node: NodeID, handle: UInt64, from offset: UInt64, whence: Int32) throws(FSError) -> UInt64 {
        let file = try contentFile(node, writing: false)
        defer { extendLifetime(file) }
        guard let start = Int64(exactly: offset) else { throw .system(EOVERFLOW) }
        // The descriptor's own position is used by nobody.
        let found = larder_seek(file.raw, start, whence)
        guard found >= 0 else { throw .system(Int32(truncatingIfNeeded: -found)) }
        return UInt64(found)
    }

    public func synchronize(_ node: NodeID, handle: UInt64, dataOnly: Bool) throws(FSError) {
        // Any descriptor of the file will do, but not an O_PATH one.
        let file: LiveFile
        if let present = files[node] { file = present } else { file = LiveFile(try open(node, O_RDONLY | O_NONBLOCK)) }
        defer { extendLifetime(file) }
        guard (dataOnly ? fdatasync(file.raw) : fsync(file.raw)) == 0 else { throw .system(errno) }
    }
}
