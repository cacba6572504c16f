import Glibc

/// Tells how many threads of the whole system run or wait for a processor: the fourth word of `/proc/loadavg` (proc(5)).
public struct RunnableTasks: ~Copyable {
    private let file: OwnedDescriptor

    public init() throws(SystemError) { file = try OwnedDescriptor.open("/proc/loadavg", O_RDONLY) }

    /// The count at this moment, the calling thread included. One system call and nothing on the heap: it is asked often, while
    /// others work.
    public func count() throws(SystemError) -> Int {
        let count = withUnsafeTemporaryAllocation(byteCount: 64, alignment: 1) { bytes in
            Self.count(UnsafeRawBufferPointer(rebasing: bytes[..<max(0, pread(file.raw, bytes.baseAddress, bytes.count, 0))]))
        }
        guard let count else { throw SystemError("read", path: "/proc/loadavg", code: EINVAL) }
        return count
    }

    /// "0.20 0.18 0.12 1/80 11206". nil for anything else.
    static func count(_ text: UnsafeRawBufferPointer) -> Int? {
        var (word, count, digits) = (0, 0, 0)
        for byte in text {
            switch byte {
            case UInt8(ascii: " "): word += 1
            case _ where word < 3: continue
            case UInt8(ascii: "0")...UInt8(ascii: "9") where word == 3 && digits < 9:
                count = 10 * count + Int(byte - UInt8(ascii: "0"))
                digits += 1
            case UInt8(ascii: "/") where word == 3 && digits > 0: return count
            default: return nil
            }
        }
        return nil
    }
}
