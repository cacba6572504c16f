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
        let header = buffer.loadUnaligned(as: larder_fuse_in_header.self)
        let connection = FuseConnection.of(userData: userData)
        connection.pointee.counters.count(opcode: header.opcode)
        if header.opcode == UInt32(LARDER_FUSE_INIT) {
            connection.pointee.handshake.received(UnsafeRawBufferPointer(start: buffer, count: count), header)
        }
        return count
    }

    private static func write(
        _ device: Int32, _ parts: UnsafeMutablePointer<iovec>?, _ count: Int32, _ userData: UnsafeMutableRawPointer?
    ) -> Int {
        let connection = FuseConnection.of(userData: userData)
        if !connection.pointee.handshake.isDone, count == 2, let parts, let header = parts[0].iov_base {
            connection.pointee.handshake.answering(
                header.loadUnaligned(as: larder_fuse_out_header.self),
                UnsafeMutableRawBufferPointer(start: parts[1].iov_base, count: parts[1].iov_len))
        }
        return Glibc.writev(device, parts, count)
    }
}
