import Glibc
import LinuxIO

/// What /proc says about a process.
enum ProcessStatus {
    /// Field 22 of /proc/PID/stat (proc(5)): clock ticks after boot. nil where there is no such process.
    static func startTime(of pid: Int32) -> UInt64? {
        guard let file = try? OwnedDescriptor.open("/proc/\(pid)/stat", O_RDONLY), let bytes = try? file.read(4096, at: 0) else { return nil }
        // The name may hold anything, also parentheses; the last one ends it.
        guard let end = bytes.lastIndex(of: UInt8(ascii: ")")) else { return nil }
        let fields = bytes[(end + 1)...].split(separator: UInt8(ascii: " "))
        return fields.count > 19 ? UInt64(String(decoding: fields[19], as: UTF8.self)) : nil
    }
}
