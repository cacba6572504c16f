import Glibc

/// Signals that have been sent to a thread, that it neither blocks nor ignores, and that it has not taken yet (proc(5), `status`).
public struct PendingSignals: Sendable {
    /// Signal N is bit N - 1.
    private let mask: UInt64
    /// The thread is in a system call that no signal but SIGKILL ends.
    public let isHeldUp: Bool

    /// - Parameter thread: a process, or a thread of one, as Linux numbers them.
    /// - Returns: nil where the system does not say, as of a process that has ended.
    public init?(thread: pid_t) {
        guard thread > 0, let file = try? OwnedDescriptor.open("/proc/\(thread)/status", O_RDONLY),
            let text = try? file.readToEnd(limit: 1 << 16)
        else { return nil }
        self.init(status: String(decoding: text, as: UTF8.self))
    }

    init?(status: String) {
        var state: Character?
        var (pending, passed) = (UInt64(0), UInt64(0))
        for line in status.split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2 else { continue }
            let value = parts[1].drop { $0 == "\t" || $0 == " " }
            switch parts[0] {
            case "State": state = value.first
            case "SigPnd", "ShdPnd": pending |= UInt64(value, radix: 16) ?? 0
            case "SigBlk", "SigIgn": passed |= UInt64(value, radix: 16) ?? 0
            default: break
            }
        }
        guard let state else { return nil }
        mask = pending & ~passed
        isHeldUp = state == "D"
    }

    /// Somebody wants the thread to end, or to stop what it does: Ctrl-C, `kill`, a terminal that has gone. (What ends a
    /// process that does not handle it is SIGKILL for each of its threads.)
    public var wantItsEnd: Bool {
        [SIGHUP, SIGINT, SIGQUIT, SIGABRT, SIGKILL, SIGTERM].contains { mask & 1 << UInt64($0 - 1) != 0 }
    }
}
