import Synchronization

/// Shares a number of units, such as bytes of memory or places at a host, among tasks: the most urgent first, among
/// equals first come first served. A part of the units is kept for demand.
final class UrgencyGate: Sendable {
    /// Units that are given back when this is let go of.
    final class Permit: Sendable {
        private let gate: UrgencyGate
        private let amount: Int

        fileprivate init(_ gate: UrgencyGate, _ amount: Int) {
            self.gate = gate
            self.amount = amount
        }

        deinit { gate.release(amount) }
    }

    private struct Waiter {
        let ticket: Int
        let amount: Int
        let cause: FetchCause
        let continuation: CheckedContinuation<Bool, Never>
    }

    private struct State {
        var used = 0
        var nextTicket = 0
        /// By urgency, then by arrival.
        var waiting: [Waiter] = []
        /// Tickets that were cancelled before they came to wait.
        var cancelled: Set<Int> = []
    }

    private let limit: Int
    private let keptForDemand: Int
    private let state = Mutex(State())

    init(_ limit: Int, keptForDemand: Int) {
        self.limit = limit
        self.keptForDemand = keptForDemand
    }

    /// Units in use now.
    var used: Int { state.withLock { $0.used } }

    var waitingCount: Int { state.withLock { $0.waiting.count } }

    /// Waits for all of `amounts` at once and gives a permit for each. What is more than the limit is let through alone.
    func permits(_ amounts: [Int], for cause: FetchCause) async throws -> [Permit] {
        let amount = amounts.reduce(0, +)
        let ticket = state.withLock { state in
            state.nextTicket += 1
            return state.nextTicket
        }
        let entered = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let answer: Bool? = state.withLock { state in
                    if state.cancelled.remove(ticket) != nil { return false }
                    // Who waits already and is as urgent goes first.
                    let isFirst = state.waiting.allSatisfy { cause.isMoreUrgent($0.cause) }
                    if isFirst, fits(amount, cause, state.used) {
                        state.used += amount
                        return true
                    }
                    let place = state.waiting.firstIndex { cause.isMoreUrgent($0.cause) } ?? state.waiting.count
                    state.waiting.insert(Waiter(ticket: ticket, amount: amount, cause: cause, continuation: continuation), at: place)
                    return nil
                }
                if let answer { continuation.resume(returning: answer) }
            }
        } onCancel: {
            let (waiter, next) = state.withLock { state -> (CheckedContinuation<Bool, Never>?, [CheckedContinuation<Bool, Never>]) in
                guard let place = state.waiting.firstIndex(where: { $0.ticket == ticket }) else {
                    state.cancelled.insert(ticket)
                    return (nil, [])
                }
                let waiter = state.waiting.remove(at: place).continuation
                return (waiter, admit(&state))
            }
            waiter?.resume(returning: false)
            for continuation in next { continuation.resume(returning: true) }
        }
        _ = state.withLock { $0.cancelled.remove(ticket) }
        guard entered else { throw CancellationError() }
        return amounts.map { Permit(self, $0) }
    }

    private func fits(_ amount: Int, _ cause: FetchCause, _ used: Int) -> Bool {
        used == 0 || used + amount <= (cause == .demand ? limit : limit - keptForDemand)
    }

    private func release(_ amount: Int) {
        let next = state.withLock { state in
            state.used -= amount
            return admit(&state)
        }
        for continuation in next { continuation.resume(returning: true) }
    }

    /// Takes from the head of the queue what fits. A large one at the head holds up those behind, or it would wait for ever.
    private func admit(_ state: inout State) -> [CheckedContinuation<Bool, Never>] {
        var next: [CheckedContinuation<Bool, Never>] = []
        while let head = state.waiting.first, fits(head.amount, head.cause, state.used) {
            state.used += head.amount
            next.append(head.continuation)
            state.waiting.removeFirst()
        }
        return next
    }
}
