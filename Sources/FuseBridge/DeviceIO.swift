import CFuse
import CLinux
import Glibc

/// Our own reads and writes of the FUSE device, which libfuse calls in place of its own. Here requests are counted
/// and the INIT answer is patched; both must leave `errno` as the system call set it.
enum DeviceIO {
    static var callbacks: fuse_custom_io {
        fuse_custom_io(
            writev: { DeviceIO.write($0, $1, $2, $3) }, read: { DeviceIO.read($0, $1, $2, $3) }, splice_receive: nil, splice_send: nil)
    }

    private static func read(
        _ device: Int32, _ buffer: UnsafeMutableRawPointer?, _ size: Int, _ userData: UnsafeMutableRawPointer?
    ) -> Int {
        let count = Glibc.read(device, buffer, size)
        guard count >= MemoryLayout<larder_fuse_in_header>.size, let buffer else { return count }
        let message = UnsafeMutableRawBufferPointer(start: buffer, count: count)
        let connection = FuseConnection.of(userData: userData)
        received(message, on: connection.pointee)
        guard let interrupted = interruptedRequest(message) else { return count }
        connection.pointee.cold.interrupt(interrupted)
        // It has no answer, and libfuse need not hear of it: to libfuse, nothing could be read this time.
        errno = EINTR
        return -1
    }

    private static func write(
        _ device: Int32, _ parts: UnsafeMutablePointer<iovec>?, _ count: Int32, _ userData: UnsafeMutableRawPointer?
    ) -> Int {
        if let parts, count > 0, let header = parts[0].iov_base {
            let connection = FuseConnection.of(userData: userData)
            if count == 2 { answering(parts, on: connection.pointee) }
            let unique = header.loadUnaligned(as: larder_fuse_out_header.self).unique
            if let size = answer(unique, UnsafeBufferPointer(start: parts, count: Int(count)), on: connection.pointee) { return size }
        }
        return Glibc.writev(device, parts, count)
    }

    /// Where the request came through a ring, the answer goes there.
    private static func answer(_ unique: UInt64, _ parts: UnsafeBufferPointer<iovec>, on mount: borrowing FuseConnection) -> Int? {
        guard mount.handshake.hasRings else { return nil }
        if let tag = larder_request_entry() {
            let size: Int? = RingEntry.with(tag) { entry in
                guard entry.unique.load(ordering: .relaxed) == unique else { return nil }
                larder_request_set_entry(nil)
                return entry.answer(parts)
            }
            if let size { return size }
        }
        return mount.rings.answer(unique, parts)
    }

    /// INTERRUPT names the request whose caller had a signal.
    private static func interruptedRequest(_ message: UnsafeMutableRawBufferPointer) -> UInt64? {
        let size = MemoryLayout<larder_fuse_in_header>.size
        guard message.loadUnaligned(as: larder_fuse_in_header.self).opcode == UInt32(LARDER_FUSE_INTERRUPT),
            message.count >= size + MemoryLayout<UInt64>.size
        else { return nil }
        return message.loadUnaligned(fromByteOffset: size, as: UInt64.self)
    }

    /// A request has come, from the device or through a ring.
    static func received(_ message: UnsafeMutableRawBufferPointer, on mount: borrowing FuseConnection) {
        var header = message.loadUnaligned(as: larder_fuse_in_header.self)
        mount.counters.count(opcode: header.opcode)
        larder_request_begin(message.baseAddress, message.count, header.opcode)
        switch header.opcode {
        case UInt32(LARDER_FUSE_INIT): mount.handshake.received(UnsafeRawBufferPointer(message), header)
        case UInt32(LARDER_FUSE_TMPFILE):
            // libfuse 3.14 does not know it. Request and answer have the shape of CREATE, whose operation tells them apart.
            header.opcode = UInt32(LARDER_FUSE_CREATE)
            message.storeBytes(of: header, as: larder_fuse_in_header.self)
        default: break
        }
    }

    private static func answering(_ parts: UnsafeMutablePointer<iovec>, on mount: borrowing FuseConnection) {
        guard !mount.handshake.isDone, let header = parts[0].iov_base else { return }
        mount.handshake.answering(
            header.loadUnaligned(as: larder_fuse_out_header.self),
            UnsafeMutableRawBufferPointer(start: parts[1].iov_base, count: parts[1].iov_len))
    }
}
