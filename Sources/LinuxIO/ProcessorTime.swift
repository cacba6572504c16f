import Glibc

/// What all processors together have done since the system started, in ticks of 10 ms: `/proc/stat` (proc(5)).
public struct ProcessorTime: Sendable {
    /// Time with nothing to run, whether or not somebody waited for a disk: Linux says that too of whoever waits on an io_uring.
    public let idle: UInt64
    public let total: UInt64

    public static func now() throws(SystemError) -> ProcessorTime {
        let path = "/proc/stat"
        let file = try OwnedDescriptor.open(path, O_RDONLY)
        // The first line is all that is wanted, and a machine with thousands of processors has long ones behind it.
        var head = [UInt8](repeating: 0, count: 512)
        var room = head.mutableSpan
        let count = try room.withUnsafeMutableBytes { room throws(SystemError) in try file.read(into: room, at: 0) }
        guard let time = ProcessorTime(String(decoding: head.prefix(count), as: UTF8.self)) else { throw SystemError("read", path: path, code: EINVAL) }
        return time
    }

    /// "cpu  user nice system idle iowait irq softirq steal guest guest_nice", of which the last two are in the first two already.
    /// nil for anything else.
    init?(_ text: String) {
        guard let line = text.split(separator: "\n").first else { return nil }
        let words = line.split(separator: " ")
        let numbers = words.dropFirst().prefix(8).map { UInt64($0) }
        guard words.first == "cpu", numbers.count >= 5, !numbers.contains(nil) else { return nil }
        idle = numbers[3]! &+ numbers[4]!
        total = numbers.reduce(0) { $0 &+ $1! }
    }

    /// The part of the time since `earlier` in which processors had nothing to do, 0 to 1. 1 where no time has passed.
    public func idleShare(since earlier: ProcessorTime) -> Double {
        guard total > earlier.total else { return 1 }
        // A count can go backwards when a processor is taken off.
        guard idle > earlier.idle else { return 0 }
        return min(1, Double(idle - earlier.idle) / Double(total - earlier.total))
    }
}
