import Synchronization

/// Counts events and lets tasks wait for the next one: how readers follow the head of a stream.
final class Progress: Sendable {
    private struct State {
        var count = 0
        var waiting: [Int: CheckedContinuation<Int, any Error>] = [:]
        var nextWaiter = 0
    }

    private let state = Mutex(State())

    /// Events so far.
    var count: Int { state.withLock { $0.count } }

    func advance() {
        let (count, waiting) = state.withLock { state in
            state.count += 1
            defer { state.waiting = [:] }
            return (state.count, state.waiting.values)
        }
        for continuation in waiting { continuation.resume(returning: count) }
    }

    /// Returns once more than `seen` events have been. Throws `CancellationError` at once when cancelled.
    func next(after seen: Int) async throws -> Int {
        let waiter = state.withLock { state in
            defer { state.nextWaiter += 1 }
            return state.nextWaiter
        }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let now: Int? = state.withLock { state in
                    if state.count > seen { return state.count }
                    // A cancellation that came before this point has found no continuation to resume.
                    if Task.isCancelled { return -1 }
                    state.waiting[waiter] = continuation
                    return nil
                }
                if let now {
                    if now < 0 { continuation.resume(throwing: CancellationError()) } else { continuation.resume(returning: now) }
                }
            }
        } onCancel: {
            state.withLock { $0.waiting.removeValue(forKey: waiter) }?.resume(throwing: CancellationError())
        }
    }
}
