import Synchronization

/// Lets a fixed number of tasks through at a time, first come, first served. A waiting task can be cancelled at once.
final class Gate: Sendable {
    /// The right to be inside, given back when it is let go of.
    final class Permit: Sendable {
        private let gate: Gate
        fileprivate init(_ gate: Gate) { self.gate = gate }
        deinit { gate.release() }
    }

    private struct State {
        var free: Int
        var nextTicket = 0
        /// In order of arrival. A ticket that was cancelled before it came here is in `cancelled`.
        var waiting: [(ticket: Int, continuation: CheckedContinuation<Bool, Never>)] = []
        var cancelled: Set<Int> = []
    }

    private let state: Mutex<State>

    init(_ count: Int) { state = Mutex(State(free: max(1, count))) }

    func permit() async throws(Fault) -> Permit {
        let ticket = state.withLock { state in
            state.nextTicket += 1
            return state.nextTicket
        }
        let entered = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let answer: Bool? = state.withLock { state in
                    if state.cancelled.remove(ticket) != nil { return false }
                    if state.free > 0 {
                        state.free -= 1
                        return true
                    }
                    state.waiting.append((ticket, continuation))
                    return nil
                }
                if let answer { continuation.resume(returning: answer) }
            }
        } onCancel: {
            let waiter = state.withLock { state in
                guard let place = state.waiting.firstIndex(where: { $0.ticket == ticket }) else {
                    state.cancelled.insert(ticket)
                    return nil as CheckedContinuation<Bool, Never>?
                }
                return state.waiting.remove(at: place).continuation
            }
            waiter?.resume(returning: false)
        }
        _ = state.withLock { $0.cancelled.remove(ticket) }
        guard entered else { throw .cancelled }
        return Permit(self)
    }

    private func release() {
        let next = state.withLock { state in
            if state.waiting.isEmpty {
                state.free += 1
                return nil as CheckedContinuation<Bool, Never>?
            }
            return state.waiting.removeFirst().continuation
        }
        next?.resume(returning: true)
    }
}
