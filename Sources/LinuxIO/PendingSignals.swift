import Glibc

/// Signals that have been sent to a thread and not taken by it.
public enum PendingSignals {
    /// Whether `thread` (a process, or a thread of one, as Linux numbers them) is in a system call that no signal but SIGKILL ends, while
    /// one waits for it that it neither blocks nor ignores. false also where the system does not say (proc(5), `status`).
    public static func areHeldUp(thread: pid_t) -> Bool {
        guard thread > 0, let file = try? OwnedDescriptor.open("/proc/\(thread)/status", O_RDONLY),
            let text = try? file.readToEnd(limit: 1 << 16)
        else { return false }
        return areHeldUp(status: String(decoding: text, as: UTF8.self))
    }

    static func areHeldUp(status: String) -> Bool {
        var isWaiting = false
        var (pending, passed) = (UInt64(0), UInt64(0))
        for line in status.split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2 else { continue }
            let value = parts[1].drop { $0 == "\t" || $0 == " " }
            switch parts[0] {
            case "State": isWaiting = value.first == "D"
            case "SigPnd", "ShdPnd": pending |= UInt64(value, radix: 16) ?? 0
            case "SigBlk", "SigIgn": passed |= UInt64(value, radix: 16) ?? 0
            default: break
            }
        }
        return isWaiting && pending & ~passed != 0
    }
}
