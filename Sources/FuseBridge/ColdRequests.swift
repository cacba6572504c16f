import CFuse
import Glibc
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
        var lastToken: UInt = 0
        var stages: [UInt: Stage] = [:]
        var isClosing = false
    }

    private let state = Mutex(State())
    private let drained = Semaphore()

    /// Answers `request` with what `compute` gives, or with EINTR where it was cancelled meanwhile.
    func answer(
        _ request: consuming FuseRequest, on fileSystem: any FileSystem,
        with compute: @escaping @Sendable (any FileSystem) async throws(FSError) -> FuseReply
    ) {
        let moved = request.move()
        let token = state.withLock { state in
            state.lastToken += 1
            state.stages[state.lastToken] = .starting
            return state.lastToken
        }
        moved.onInterrupt(token: token) { request, data in
            guard let request else { return }
            FuseConnection.of(request).pointee.cold.interrupt(UInt(bitPattern: data))
        }
        let task = Task.detached {
            let request = FuseRequest(moved)
            do throws(FSError) {
                let reply = try await compute(fileSystem)
                request.reply(reply)
            } catch {
                request.reply(Task.isCancelled ? .interrupted : error)
            }
            self.finish(token)
        }
        running(token, task)
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

    private func running(_ token: UInt, _ task: Task<Void, Never>) {
        let isInterrupted = state.withLock { state in
            switch state.stages[token] {
            case .starting: state.stages[token] = .running(task)
            case .interrupted: return true
            case .running, nil: break
            }
            return false
        }
        if isInterrupted { task.cancel() }
    }

    /// The task is cancelled outside the lock: its cancellation handlers are foreign code.
    private func interrupt(_ token: UInt) {
        let task: Task<Void, Never>? = state.withLock { state in
            switch state.stages[token] {
            case .starting: state.stages[token] = .interrupted
            case .running(let task): return task
            case .interrupted, nil: break
            }
            return nil
        }
        task?.cancel()
    }

    private func finish(_ token: UInt) {
        let isLast = state.withLock { state in
            state.stages[token] = nil
            return state.isClosing && state.stages.isEmpty
        }
        if isLast { drained.signal() }
    }
}
