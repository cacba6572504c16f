import Glibc
import LinuxIO

/// Memory for one span or one answer, given back to the system as soon as nobody needs it: malloc would keep it.
///
/// Unchecked: each byte is written once, before anybody who may read it is told of it.
final class SpanBuffer: @unchecked Sendable {
    let bytes: UnsafeMutableRawBufferPointer

    /// - Throws: ENOMEM.
    init(_ count: Int) throws(SystemError) {
        guard count > 0 else {
            bytes = UnsafeMutableRawBufferPointer(start: nil, count: 0)
            return
        }
        let address = mmap(nil, count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let address, address != MAP_FAILED else { throw SystemError("mmap") }
        bytes = UnsafeMutableRawBufferPointer(start: address, count: count)
    }

    deinit { if let address = bytes.baseAddress { munmap(address, bytes.count) } }

    func part(_ offset: Int, _ count: Int) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + count]) }
}
