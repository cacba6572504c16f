import CLinux
import Glibc
import LinuxIO
import Synchronization
import VirtualFS

/// The requests that wait for something: each is a task, cancelled when its caller is told to end.
///
/// Other signals disturb no wait. The kernel reports (INTERRUPT) whatever is sent to a caller, and on a disk none of it ends a
/// `read` or a page fault: programs that have SIGCHLD or SIGALRM, or the Go runtime's SIGURG, expect neither EINTR nor SIGBUS there. It
/// reports once, and forgets what came before the request was handed to a ring (seen in Linux 6.18). So callers are looked at.
///
/// Their number needs no limit of its own: the kernel has at most `requestLimit` background requests outstanding, and
/// one for every thread that is in a system call.
final class ColdRequests: Sendable {
    private struct Waiting {
        let caller: pid_t
        /// nil while it is being started.
        var task: Task<Void, Never>?
        var isCancelled = false
        /// The caller may have a signal of which the kernel says nothing more.
        var isWatched: Bool

        init(caller: pid_t, isWatched: Bool) { (self.caller, self.isWatched) = (caller, isWatched) }
    }

    private struct State {
        /// By the number that the kernel gave the request, which it gives no other.
        var waiting: [UInt64: Waiting] = [:]
        /// The last interrupts of requests that were not here: they had their answers, or are about to come, for an interrupt may
        /// overtake what it is about.
        var strays: [UInt64] = []
        var isWatching = false
        var isClosing = false
    }

    private static let strayLimit = 64
    /// How often callers are looked at.
    private static let watchInterval = Duration.milliseconds(200)

    private let state = Mutex(State())
    private let drained = Semaphore()

    /// Answers the request that this thread has read, with what `compute` gives, or with EINTR where it was cancelled meanwhile.
    ///
    /// - Parameter isWatched: the kernel may not say what signals the caller has.
    func answer(
        _ request: consuming FuseRequest, on fileSystem: any FileSystem, isWatched: Bool,
        with compute: @escaping @Sendable (any FileSystem) async throws(FSError) -> FuseReply
    ) {
        let (unique, caller) = (larder_request_unique(), request.caller.process)
        state.withLock { state in
            let stray = state.strays.firstIndex(of: unique)
            if let stray { state.strays.remove(at: stray) }
            state.waiting[unique] = Waiting(caller: caller, isWatched: isWatched || stray != nil)
        }
        let moved = request.move()
        let task = Task.detached {
            let request = FuseRequest(moved)
            do throws(FSError) {
                let reply = try await compute(fileSystem)
                request.reply(reply)
            } catch {
                request.reply(Task.isCancelled ? .interrupted : error)
            }
            self.finish(unique)
        }
        let isCancelled = state.withLock { state in
            state.waiting[unique]?.task = task
            return state.waiting[unique]?.isCancelled ?? false
        }
        if isCancelled { task.cancel() }
        watch()
    }

    /// The caller of the request `unique` had a signal.
    func interrupt(_ unique: UInt64) {
        let caller = state.withLock { state -> pid_t? in
            if let waiting = state.waiting[unique] { return waiting.caller }
            state.strays.append(unique)
            if state.strays.count > Self.strayLimit { state.strays.removeFirst() }
            return nil
        }
        guard let caller else { return }
        // Of a caller in another PID namespace nothing is known but that it had a signal.
        if PendingSignals(thread: caller)?.wantItsEnd ?? true { return cancel(unique) }
        state.withLock { $0.waiting[unique]?.isWatched = true }
        watch()
    }

    /// Looks after the watched callers for as long as there are any.
    private func watch() {
        let isFirst = state.withLock { state in
            guard !state.isWatching, state.waiting.values.contains(where: \.isWatched) else { return false }
            state.isWatching = true
            return true
        }
        guard isFirst else { return }
        Task.detached {
            while true {
                try? await Task.sleep(for: Self.watchInterval)
                let watched = self.state.withLock { state in
                    let watched = state.waiting.filter(\.value.isWatched)
                    state.isWatching = !watched.isEmpty
                    return watched
                }
                if watched.isEmpty { return }
                for (unique, waiting) in watched {
                    if let signals = PendingSignals(thread: waiting.caller), signals.isHeldUp, signals.wantItsEnd { self.cancel(unique) }
                }
            }
        }
    }

    /// The task is cancelled outside the lock: its cancellation handlers are foreign code.
    private func cancel(_ unique: UInt64) {
        let task = state.withLock { state in
            state.waiting[unique]?.isCancelled = true
            return state.waiting[unique]?.task
        }
        task?.cancel()
    }

    /// Cancels everything and waits until the last request has its answer. Called when no more requests can come.
    func drain() {
        let (tasks, isIdle) = state.withLock { state in
            state.isClosing = true
            return (state.waiting.values.compactMap(\.task), state.waiting.isEmpty)
        }
        for task in tasks { task.cancel() }
        if !isIdle { drained.wait() }
    }

    private func finish(_ unique: UInt64) {
        let isLast = state.withLock { state in
            state.waiting[unique] = nil
            return state.isClosing && state.waiting.isEmpty
        }
        if isLast { drained.signal() }
    }
}
