import CLinux
import Glibc
import LinuxIO
import Synchronization
import VirtualFS

/// The requests that wait for something: each is a task, cancelled when its caller is interrupted.
///
/// Their number needs no limit of its own: the kernel has at most `requestLimit` background requests outstanding, and
/// one for every thread that is in a system call.
final class ColdRequests: Sendable {
    private enum Stage {
        case starting
        case interrupted
        case running(Task<Void, Never>)
    }

    private struct State {
        /// By the number that the kernel gave the request, which it gives no other.
        var stages: [UInt64: Stage] = [:]
        /// Who asks, by the same number, where that is to be watched.
        var callers: [UInt64: pid_t] = [:]
        var isWatching = false
        /// The last interrupts of requests that were not here: they had their answers, or are about to come, for an interrupt may
        /// overtake what it is about.
        var strays: [UInt64] = []
        var isClosing = false
    }

    private static let strayLimit = 64

    /// How often callers are looked at.
    private static let watchInterval = Duration.milliseconds(200)

    private let state = Mutex(State())
    private let drained = Semaphore()

    /// Answers the request that this thread has read, with what `compute` gives, or with EINTR where it was cancelled meanwhile.
    ///
    /// - Parameter isWatched: Linux (seen in 6.18) sends no INTERRUPT for a request through a ring if the signal came before the request
    ///   was handed over: nothing but the answer would end the caller's wait. So it is looked whether a signal waits for the caller.
    func answer(
        _ request: consuming FuseRequest, on fileSystem: any FileSystem, isWatched: Bool,
        with compute: @escaping @Sendable (any FileSystem) async throws(FSError) -> FuseReply
    ) {
        let (unique, caller) = (larder_request_unique(), request.caller.process)
        let isInterrupted = state.withLock { state in
            if let stray = state.strays.firstIndex(of: unique) {
                state.strays.remove(at: stray)
                return true
            }
            state.stages[unique] = .starting
            if isWatched { state.callers[unique] = caller }
            return false
        }
        if isInterrupted { return request.reply(.interrupted) }
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
        running(unique, task)
        if isWatched { watch() }
    }

    /// Looks after the callers for as long as there are any.
    private func watch() {
        let isFirst = state.withLock { state in
            defer { state.isWatching = true }
            return !state.isWatching
        }
        guard isFirst else { return }
        Task.detached {
            while true {
                try? await Task.sleep(for: Self.watchInterval)
                let callers = self.state.withLock { state in
                    if state.callers.isEmpty { state.isWatching = false }
                    return state.callers
                }
                if callers.isEmpty { return }
                for (unique, caller) in callers where PendingSignals.areHeldUp(thread: caller) { self.interrupt(unique) }
            }
        }
    }

    /// The caller of the request `unique` had a signal.
    ///
    /// The task is cancelled outside the lock: its cancellation handlers are foreign code.
    func interrupt(_ unique: UInt64) {
        let task: Task<Void, Never>? = state.withLock { state in
            switch state.stages[unique] {
            case .starting: state.stages[unique] = .interrupted
            case .running(let task): return task
            case .interrupted: break
            case nil:
                state.strays.append(unique)
                if state.strays.count > Self.strayLimit { state.strays.removeFirst() }
            }
            return nil
        }
        task?.cancel()
    }

    /// Cancels everything and waits until the last request has its answer. Called when no more requests can come.
    func drain() {
        let (tasks, isIdle) = state.withLock { state in
            state.isClosing = true
            let tasks = state.stages.values.compactMap { if case .running(let task) = $0 { task } else { nil } }
            return (tasks, state.stages.isEmpty)
        }
        for task in tasks { task.cancel() }
        if !isIdle { drained.wait() }
    }

    private func running(_ unique: UInt64, _ task: Task<Void, Never>) {
        let isInterrupted = state.withLock { state in
            switch state.stages[unique] {
            case .starting: state.stages[unique] = .running(task)
            case .interrupted: return true
            case .running, nil: break
            }
            return false
        }
        if isInterrupted { task.cancel() }
    }

    private func finish(_ unique: UInt64) {
        let isLast = state.withLock { state in
            state.stages[unique] = nil
            state.callers[unique] = nil
            return state.isClosing && state.stages.isEmpty
        }
        if isLast { drained.signal() }
    }
}
