import Glibc

/// Tells how many threads of the whole system run or wait for a processor: the fourth word of `/proc/loadavg` (proc(5)).
public struct RunnableTasks: ~Copyable {
    private let file: OwnedDescriptor

    public init() throws(SystemError) { file = try OwnedDescriptor.open("/proc/loadavg", O_RDONLY) }

    /// The count at this moment, the calling thread included.
    public func count() throws(SystemError) -> Int {
        var bytes = [UInt8](repeating: 0, count: 64)
        var room = bytes.mutableSpan
        let length = try room.withUnsafeMutableBytes { room throws(SystemError) in try file.read(into: room, at: 0) }
        guard let count = Self.count(String(decoding: bytes.prefix(length), as: UTF8.self)) else {
            throw SystemError("read", path: "/proc/loadavg", code: EINVAL)
        }
        return count
    }

    /// "0.20 0.18 0.12 1/80 11206". nil for anything else.
    static func count(_ text: String) -> Int? {
        let words = text.split(separator: " ")
        guard words.count >= 4, let slash = words[3].firstIndex(of: "/"), let count = Int(words[3][..<slash]), count >= 0 else { return nil }
        return count
    }
}
