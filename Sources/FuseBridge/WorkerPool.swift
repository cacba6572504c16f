import LinuxIO
import VirtualFS

/// Threads for operations that may wait long for the disk (fsync, fallocate, copying). Neither the threads that read
/// requests may wait so long, nor those of Swift's pool: a small machine has two of either.
///
/// Threads start as they are needed, up to a limit, and end with the mount.
final class WorkerPool: Sendable {
    typealias Work = @Sendable () -> Void

    private struct State {
        var queue: [Work] = []
        var threads: [DedicatedThread] = []
        var busy = 0
        var isEnding = false
    }

    private let state = Monitor(State())
    private let limit: Int

    init(limit: Int) { self.limit = limit }

    /// Has `work` done by a worker, or by the caller where not a single thread can be had.
    func submit(_ work: @escaping Work) {
        let isTaken = state.update { state in
            if state.busy + state.queue.count >= state.threads.count, state.threads.count < limit,
                let thread = try? DedicatedThread.start("larder-disk-\(state.threads.count)", { self.serve() })
            {
                state.threads.append(thread)
            }
            guard !state.threads.isEmpty else { return false }
            state.queue.append(work)
            return true
        }
        if !isTaken { work() }
    }

    /// As `submit`, for a task.
    func run<Value: Sendable>(_ work: @escaping @Sendable () throws(FSError) -> Value) async throws(FSError) -> Value {
        let result = await withCheckedContinuation { (continuation: CheckedContinuation<Result<Value, FSError>, Never>) in
            submit { continuation.resume(returning: Result { () throws(FSError) in try work() }) }
        }
        return try result.get()
    }

    /// Waits until all is done, and ends the threads. Nothing may be submitted afterwards.
    func drain() {
        let threads = state.update { state in
            state.isEnding = true
            return state.threads
        }
        for thread in threads { thread.join() }
    }

    private func serve() {
        while true {
            let isOver = state.wait { state in state.queue.isEmpty ? (state.isEnding ? true : nil) : false }
            if isOver { return }
            let work: Work? = state.update { state in
                guard !state.queue.isEmpty else { return nil }
                state.busy += 1
                return state.queue.removeFirst()
            }
            guard let work else { continue }
            work()
            state.update { $0.busy -= 1 }
        }
    }
}
