import CLinux
import Glibc

/// A file descriptor that is closed exactly once, when its owner ends.
public struct OwnedDescriptor: ~Copyable, Sendable {
    /// The number, valid as long as this value lives.
    public let raw: Int32

    /// Takes over `raw`, which must be open and owned by nobody else.
    public init(owning raw: Int32) { self.raw = raw }

    deinit { close(raw) }

    /// Gives the descriptor away without closing it.
    public consuming func release() -> Int32 {
        let raw = raw
        discard self
        return raw
    }

    /// Another descriptor for the same open file.
    public borrowing func duplicate() throws(SystemError) -> OwnedDescriptor {
        let copy = fcntl(raw, F_DUPFD_CLOEXEC, 0)
        guard copy >= 0 else { throw SystemError("dup") }
        return OwnedDescriptor(owning: copy)
    }
}

extension OwnedDescriptor {
    /// Opens an absolute or current-directory-relative path that the *user* chose, following links as usual.
    public static func open(_ path: String, _ flags: Int32, mode: mode_t = 0) throws(SystemError) -> OwnedDescriptor {
        let raw = Glibc.open(path, flags | O_CLOEXEC, mode)
        guard raw >= 0 else { throw SystemError("open", path: path) }
        return OwnedDescriptor(owning: raw)
    }

    public borrowing func status() throws(SystemError) -> stat {
        var status = stat()
        guard fstat(raw, &status) == 0 else { throw SystemError("fstat") }
        return status
    }

    /// Size in bytes.
    public borrowing func size() throws(SystemError) -> UInt64 { UInt64(try status().st_size) }

    /// Reads at `offset` (bytes; above 2^63 the kernel answers EINVAL) until `buffer` is full or the file ends. Returns the count read.
    public borrowing func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(SystemError) -> Int {
        var done = 0
        while done < buffer.count {
            let count = pread(raw, buffer.baseAddress! + done, buffer.count - done, off_t(truncatingIfNeeded: offset) &+ off_t(done))
            if count == 0 { break }
            if count < 0 {
                if errno == EINTR { continue }
                throw SystemError("read")
            }
            done += count
        }
        return done
    }

    /// Writes all of `bytes` at the descriptor's own position.
    public borrowing func write(_ bytes: UnsafeRawBufferPointer) throws(SystemError) {
        var done = 0
        while done < bytes.count {
            let count = Glibc.write(raw, bytes.baseAddress! + done, bytes.count - done)
            if count < 0 {
                if errno == EINTR { continue }
                throw SystemError("write")
            }
            done += count
        }
    }

    /// Writes all of `bytes` at `offset`.
    public borrowing func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(SystemError) {
        var done = 0
        while done < bytes.count {
            let count = pwrite(raw, bytes.baseAddress! + done, bytes.count - done, off_t(truncatingIfNeeded: offset) &+ off_t(done))
            if count < 0 {
                if errno == EINTR { continue }
                throw SystemError("write")
            }
            done += count
        }
    }

    public borrowing func write(_ bytes: [UInt8]) throws(SystemError) {
        try bytes.span.withUnsafeBytes { bytes throws(SystemError) in try write(bytes) }
    }

    public borrowing func write(_ bytes: [UInt8], at offset: UInt64) throws(SystemError) {
        try bytes.span.withUnsafeBytes { bytes throws(SystemError) in try write(bytes, at: offset) }
    }

    /// Up to `count` bytes from `offset`; fewer where the file ends.
    public borrowing func read(_ count: Int, at offset: UInt64) throws(SystemError) -> [UInt8] {
        var failure: SystemError?
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, read in
            do throws(SystemError) {
                read = try self.read(into: UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[..<count]), at: offset)
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return bytes
    }

    /// The whole content, of which at most `limit` bytes are taken; nil where there is more.
    public borrowing func readAll(limit: Int) throws(SystemError) -> [UInt8]? {
        let size = try size()
        guard size <= UInt64(limit) else { return nil }
        // One byte more than the size tells a file that has grown meanwhile from one that has not.
        let bytes = try read(Int(size) + 1, at: 0)
        return bytes.count <= limit ? bytes : nil
    }

    /// What comes from the descriptor's own position until its end, which may be a pipe's, or until it is `limit` bytes.
    public borrowing func readToEnd(limit: Int) throws(SystemError) -> [UInt8] {
        var bytes: [UInt8] = []
        var block = [UInt8](repeating: 0, count: min(limit, 1 << 16))
        while bytes.count < limit {
            let count = Glibc.read(raw, &block, min(block.count, limit - bytes.count))
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw SystemError("read") }
            if count == 0 { break }
            bytes += block.prefix(count)
        }
        return bytes
    }

    /// Waits until content and all metadata are on disk.
    public borrowing func sync() throws(SystemError) {
        guard fsync(raw) == 0 else { throw SystemError("fsync") }
    }

    /// Has the content written to disk without waiting for it. A hint to the disk: `syncData` is the promise.
    /// - Returns: whether the filesystem took it; everything is as right without it.
    @discardableResult
    public borrowing func startWriteback() -> Bool { larder_start_writeback(raw) == 0 }

    /// Waits until the content, and what is needed to read it back, is on disk.
    public borrowing func syncData() throws(SystemError) {
        guard fdatasync(raw) == 0 else { throw SystemError("fdatasync") }
    }
}
