import CLinux
import Glibc
import LinuxIO

/// What /proc says about processes. It may be mounted for another pid namespace than ours: `self` is right all the same, numbers are not.
enum ProcessStatus {
    /// Field 22 of /proc/PID/stat (proc(5)): clock ticks after boot. nil where there is no such process, or /proc does not mean our numbers.
    static func startTime(of pid: Int32) -> UInt64? { isOfOwnNamespace ? startTime("\(pid)") : nil }

    /// 0 where it cannot be told.
    static var ownStartTime: UInt64 { startTime("self") ?? 0 }

    /// The inode of the pid namespace; 0 where it cannot be told.
    static var ownNamespace: UInt64 {
        var status = stat()
        return stat("/proc/self/ns/pid", &status) == 0 ? UInt64(status.st_ino) : 0
    }

    /// The kernel's name for this run of it; empty where it cannot be told.
    static var boot: String {
        guard let file = try? OwnedDescriptor.open("/proc/sys/kernel/random/boot_id", O_RDONLY), let bytes = try? file.read(100, at: 0) else { return "" }
        return String(decoding: bytes.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
    }

    /// The one process that `record` names: where its number means the same to us, and it is still that process.
    static func find(_ record: LeaseRecord) -> OwnedDescriptor? {
        guard !record.boot.isEmpty, record.boot == boot, record.pidNamespace != 0, record.pidNamespace == ownNamespace else { return nil }
        guard record.pid > 1, record.started != 0 else { return nil }
        let raw = larder_process_open(record.pid)
        guard raw >= 0 else { return nil }
        let process = OwnedDescriptor(owning: raw)
        // With the descriptor in hand the number cannot pass to another process any more: so this comparison stays true.
        guard startTime(of: record.pid) == record.started else { return nil }
        return process
    }

    private static var isOfOwnNamespace: Bool {
        var buffer = [UInt8](repeating: 0, count: 20)
        let count = buffer.withUnsafeMutableBytes { readlink("/proc/self", $0.bindMemory(to: CChar.self).baseAddress!, $0.count) }
        return count > 0 && String(decoding: buffer.prefix(count), as: UTF8.self) == String(getpid())
    }

    private static func startTime(_ process: String) -> UInt64? {
        guard let file = try? OwnedDescriptor.open("/proc/\(process)/stat", O_RDONLY), let bytes = try? file.read(4096, at: 0) else { return nil }
        // The name may hold anything, also parentheses; the last one ends it.
        guard let end = bytes.lastIndex(of: UInt8(ascii: ")")) else { return nil }
        let fields = bytes[(end + 1)...].split(separator: UInt8(ascii: " "))
        return fields.count > 19 ? UInt64(String(decoding: fields[19], as: UTF8.self)) : nil
    }
}
