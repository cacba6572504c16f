import Synchronization

/// Runs one piece of work for all who ask for it at the same time. Each asker can be cancelled alone and at once; the
/// work goes on for the others.
final class SingleFlight<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    /// What becomes of work that nobody waits for any more.
    enum Abandoned: Sendable {
        /// Cancelled: its result is of no use later (a span).
        case cancel
        /// Brought to its end: the next asker profits (a layer).
        case finish
    }

    private let abandoned: Abandoned
    private let flights = Mutex<[Key: Flight<Value>]>([:])

    init(abandoned: Abandoned) { self.abandoned = abandoned }

    func run(_ key: Key, _ work: @escaping @Sendable () async throws -> Value) async throws -> Value {
        let (flight, waiter) = flights.withLock { flights in
            if let flight = flights[key], let waiter = flight.join() { return (flight, waiter) }
            let flight = Flight<Value>(cancelWhenAlone: abandoned == .cancel)
            flights[key] = flight
            let waiter = flight.board()
            flight.start {
                let result: Result<Value, any Error>
                do { result = .success(try await work()) } catch { result = .failure(error) }
                self.flights.withLock { if $0[key] === flight { $0[key] = nil } }
                flight.land(result)
            }
            return (flight, waiter)
        }
        return try await flight.wait(as: waiter)
    }

    /// How many wait for the work of `key` now.
    func waiterCount(_ key: Key) -> Int { flights.withLock { $0[key]?.waiterCount ?? 0 } }
}

/// One piece of work in the air and those who wait for it.
private final class Flight<Value: Sendable>: Sendable {
    private struct State {
        var seats: Set<Int> = []
        var waiting: [Int: CheckedContinuation<Value, any Error>] = [:]
        var nextSeat = 0
        var result: Result<Value, any Error>?
        var task: Task<Void, Never>?
        var doomed = false
    }

    private let state = Mutex(State())
    private let cancelWhenAlone: Bool

    init(cancelWhenAlone: Bool) { self.cancelWhenAlone = cancelWhenAlone }

    func start(_ body: @escaping @Sendable () async -> Void) {
        let task = Task(operation: body)
        state.withLock { $0.task = task }
    }

    var waiterCount: Int { state.withLock { $0.seats.count } }

    /// A seat for the one who starts the flight.
    func board() -> Int {
        state.withLock { state in
            defer { state.nextSeat += 1 }
            state.seats.insert(state.nextSeat)
            return state.nextSeat
        }
    }

    /// A seat for a later asker; nil where the flight was already given up.
    func join() -> Int? {
        state.withLock { state in
            guard !state.doomed else { return nil }
            defer { state.nextSeat += 1 }
            state.seats.insert(state.nextSeat)
            return state.nextSeat
        }
    }

    func land(_ result: Result<Value, any Error>) {
        let waiting = state.withLock { state in
            state.result = result
            defer { state.waiting = [:] }
            return state.waiting.values
        }
        for continuation in waiting { continuation.resume(with: result) }
    }

    func wait(as seat: Int) async throws -> Value {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let now: Result<Value, any Error>? = state.withLock { state in
                    if let result = state.result { return result }
                    guard state.seats.contains(seat) else { return .failure(CancellationError()) }
                    state.waiting[seat] = continuation
                    return nil
                }
                if let now { continuation.resume(with: now) }
            }
        } onCancel: {
            let (continuation, task) = state.withLock { state in
                state.seats.remove(seat)
                let alone = state.seats.isEmpty && cancelWhenAlone
                if alone { state.doomed = true }
                return (state.waiting.removeValue(forKey: seat), alone ? state.task : nil)
            }
            task?.cancel()
            continuation?.resume(throwing: CancellationError())
        }
    }
}
