import CLinux
import Glibc
import Synchronization

/// Memory for one request at a time that comes through a ring, and for its answer, shared with the kernel (`struct
/// fuse_uring_req_header` of linux/fuse.h, ABI 7.42, and the payload).
///
///     | head, arguments, lengths |        unused        | copies of head and arguments | payload: names, data |
///     | page 0                                                                         | page 1 ...           |
///
/// libfuse takes a request as one message, as it is read from the device; so the few bytes of head and arguments are copied in
/// front of the payload, which stays where it is.
final class RingEntry: @unchecked Sendable {
    private static let pageSize = 4096
    private static let headSize = MemoryLayout<larder_fuse_in_header>.size
    private static let argumentsOffset = MemoryLayout<larder_fuse_ring_header>.offset(of: \.op_in).unsafelyUnwrapped
    private static let argumentsLimit = 128

    /// The kernel's number of the queue that it belongs to, which is that of a processor.
    let queue: UInt16
    /// The request that is in it; 0 when that has its answer. Known to all threads, for those that answer later.
    let unique = Atomic<UInt64>(0)
    private let memory: UnsafeMutableRawPointer
    private let payloadSize: Int

    /// - Parameter payloadSize: bytes, a multiple of the page size. Nothing of it is used before the kernel or we write to it.
    /// - Returns: nil where the process may have no more memory.
    init?(queue: UInt16, payloadSize: Int) {
        let memory = mmap(
            nil, Self.pageSize + payloadSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
        guard let memory, memory != MAP_FAILED else { return nil }
        self.memory = memory
        self.queue = queue
        self.payloadSize = payloadSize
        let buffers = buffers
        buffers[0] = iovec(iov_base: memory, iov_len: MemoryLayout<larder_fuse_ring_header>.size)
        buffers[1] = iovec(iov_base: payload, iov_len: payloadSize)
    }

    deinit { munmap(memory, Self.pageSize + payloadSize) }

    /// How the kernel and libfuse's callbacks name it. Its ring keeps it alive.
    var tag: UnsafeMutableRawPointer { Unmanaged.passUnretained(self).toOpaque() }

    /// Runs `body` on the entry of a `tag`, without retaining it.
    static func with<Value>(_ tag: UnsafeMutableRawPointer, _ body: (RingEntry) -> Value) -> Value {
        Unmanaged<RingEntry>.fromOpaque(tag)._withUnsafeGuaranteedRef(body)
    }

    /// Where it is, as the kernel is told once.
    var buffers: UnsafeMutablePointer<iovec> {
        (memory + MemoryLayout<larder_fuse_ring_header>.size).assumingMemoryBound(to: iovec.self)
    }

    /// The kernel's name for the request, which goes back with the answer.
    var commitID: UInt64 { header.pointee.commit_id }

    private var header: UnsafeMutablePointer<larder_fuse_ring_header> { memory.assumingMemoryBound(to: larder_fuse_ring_header.self) }
    private var payload: UnsafeMutableRawPointer { memory + Self.pageSize }

    /// The request that has just come, as if read from the device. Valid until it is answered.
    func receive() -> UnsafeMutableRawBufferPointer {
        let head = memory.loadUnaligned(as: larder_fuse_in_header.self)
        let names = min(Int(header.pointee.payload_size), payloadSize)
        let arguments = min(max(0, Int(head.len) - Self.headSize - names), Self.argumentsLimit)
        let start = payload - arguments - Self.headSize
        start.copyMemory(from: memory, byteCount: Self.headSize)
        (payload - arguments).copyMemory(from: memory + Self.argumentsOffset, byteCount: arguments)
        unique.store(head.unique, ordering: .releasing)
        return UnsafeMutableRawBufferPointer(start: start, count: Self.headSize + arguments + names)
    }

    /// Puts an answer here that is otherwise written to the device: a head and any number of parts. Returns its size.
    func answer(_ parts: UnsafeBufferPointer<iovec>) -> Int {
        var head = parts[0].iov_base.loadUnaligned(as: larder_fuse_out_header.self)
        var size = 0
        for part in parts.dropFirst() {
            // The kernel asked for no more than this holds.
            guard size + part.iov_len <= payloadSize else {
                (head.error, size) = (-EIO, 0)
                break
            }
            if let bytes = part.iov_base { (payload + size).copyMemory(from: bytes, byteCount: part.iov_len) }
            size += part.iov_len
        }
        head.len = UInt32(MemoryLayout<larder_fuse_out_header>.size + size)
        memory.storeBytes(of: head, as: larder_fuse_out_header.self)
        header.pointee.payload_size = UInt32(size)
        unique.store(0, ordering: .releasing)
        return Int(head.len)
    }
}
