import CLinux
import Glibc
import LinuxIO
import Synchronization

/// A wait for locks on one thread that blocks in the kernel, and that any thread can end.
final class LockWaiter: Sendable {
    /// Used under the lock only, and by the thread that made it.
    private struct Alarm: @unchecked Sendable {
        let raw: OpaquePointer
    }

    private struct State: ~Copyable {
        var alarm: Alarm?
        var isCancelled = false
    }

    private let state = Mutex(State())
    /// Nanoseconds of CLOCK_MONOTONIC; nil waits for ever.
    private let deadline: Int64?

    /// - Parameter limit: from now.
    init(limit: Duration? = nil) {
        deadline = limit.map { Self.now() &+ max(0, $0.nanoseconds) }
    }

    /// Ends the wait, now or as soon as it begins.
    func cancel() {
        state.withLock { state in
            state.isCancelled = true
            if let alarm = state.alarm { larder_alarm_set(alarm.raw, 1) }
        }
    }

    /// Runs `body` on the thread that is to wait.
    func onThisThread<Value>(_ body: () throws(CacheError) -> Value) throws(CacheError) -> Value {
        guard let alarm = larder_alarm_create().map({ Alarm(raw: $0) }) else { throw .system(SystemError("timer_create")) }
        state.withLock { state in
            state.alarm = alarm
            if state.isCancelled {
                larder_alarm_set(alarm.raw, 1)
            } else if let deadline {
                larder_alarm_set(alarm.raw, max(1, deadline &- Self.now()))
            }
        }
        defer {
            state.withLock { $0.alarm = nil }
            larder_alarm_free(alarm.raw)
        }
        return try body()
    }

    enum End: Error { case cancelled, timedOut, system(SystemError) }

    /// Blocks until the lock is had.
    /// - Parameter isBrief: whoever has the lock has it for microseconds, so the deadline does not count.
    func lock(
        _ descriptor: borrowing OwnedDescriptor, _ kind: larder_lock_kind, from start: Int64 = 0, length: Int64 = 0, isBrief: Bool = false
    ) throws(End) {
        while true {
            if state.withLock({ $0.isCancelled }) { throw .cancelled }
            if let deadline, !isBrief, Self.now() >= deadline { throw .timedOut }
            if larder_range_lock(descriptor.raw, kind, start, length, 1) == 0 { return }
            guard errno == EINTR else { throw .system(SystemError("lock")) }
        }
    }

    private static func now() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}

extension Duration {
    var nanoseconds: Int64 {
        let (seconds, overflow) = components.seconds.multipliedReportingOverflow(by: 1_000_000_000)
        return overflow || seconds > .max / 4 ? .max / 4 : seconds &+ components.attoseconds / 1_000_000_000
    }
}

/// A file that is locked as a whole, or not at all.
final class LockFile: Sendable {
    let descriptor: OwnedDescriptor
    let path: String

    /// Opens it, and makes it where there is none.
    init(_ name: String, in directory: Directory) throws(CacheError) {
        descriptor = try inCache { () throws(SystemError) in try directory.open(name, O_RDWR | O_CREAT | O_NOFOLLOW, mode: 0o600) }
        path = directory.path + "/" + name
    }

    enum Kind {
        case shared, exclusive

        var raw: larder_lock_kind { self == .shared ? LARDER_LOCK_SHARED : LARDER_LOCK_EXCLUSIVE }
    }

    /// Takes the lock, or changes the one that is had, without waiting. False, and nothing changed, where somebody is in the way.
    func take(_ kind: Kind) throws(CacheError) -> Bool {
        if larder_range_lock(descriptor.raw, kind.raw, 0, 0, 0) == 0 { return true }
        guard errno == EAGAIN || errno == EACCES else { throw .system(SystemError("lock", path: path)) }
        return false
    }

    func wait(for kind: Kind, _ waiter: LockWaiter, isBrief: Bool = false) throws(LockWaiter.End) {
        try waiter.lock(descriptor, kind.raw, isBrief: isBrief)
    }

    /// Also where a child has inherited the descriptor: to close this one would not drop the lock then.
    func drop() { _ = larder_range_lock(descriptor.raw, LARDER_LOCK_NONE, 0, 0, 0) }

    /// Whether another open file holds any lock on it. Takes none.
    var isLockedByOther: Bool { larder_range_conflict(descriptor.raw, LARDER_LOCK_EXCLUSIVE, 0, 0) != 0 }
}
