import CLinux
import Glibc

/// The processors of this system, as Linux numbers them.
public enum Processors {
    /// Those that are on.
    public static func online() throws(SystemError) -> [Int] { try list("online") }

    /// Those that are on or may come to be.
    public static func possible() throws(SystemError) -> [Int] { try list("possible") }

    /// How many of those that are on a thread may run on (sched_setaffinity(2), cpuset(7)); nil where that cannot be told.
    public static func count(for thread: pid_t) -> Int? {
        let count = larder_processors_for(thread)
        return count > 0 ? Int(count) : nil
    }

    private static func list(_ name: String) throws(SystemError) -> [Int] {
        let path = "/sys/devices/system/cpu/" + name
        let file = try OwnedDescriptor.open(path, O_RDONLY)
        let text = String(decoding: try file.readToEnd(limit: 4096), as: UTF8.self)
        guard let numbers = numbers(text) else { throw SystemError("read", path: path, code: EINVAL) }
        return numbers
    }

    /// "0-2,5" (cpuset(7), list format). nil for anything else.
    static func numbers(_ text: String) -> [Int]? {
        var numbers: [Int] = []
        for range in text.split(whereSeparator: { $0 == "," || $0 == "\n" }) {
            let ends = range.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
            guard ends.count <= 2, let first = ends[0], let last = ends[ends.count - 1], 0...last ~= first, last <= 1 << 13 else { return nil }
            numbers += first...last
        }
        return numbers.isEmpty ? nil : numbers
    }
}
