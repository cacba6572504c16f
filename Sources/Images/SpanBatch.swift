import Synchronization

/// One range request that is under way, and those who wait for the spans in it, each for its own: a reader is answered
/// while the rest is still arriving.
final class SpanBatch: Sendable {
    /// The batch ended without this span, because nobody waited any more. Whoever wants it plans anew.
    struct GivenUp: Error {}

    /// One reader's place.
    struct Seat: Sendable {
        let batch: SpanBatch
        fileprivate let ticket: Int

        func wait() async throws { try await batch.wait(ticket) }
        func leave() { batch.leave(ticket) }
    }

    private struct State {
        var landed: [Int: Result<Void, any Error>] = [:]
        /// Which span each seat waits for.
        var seats: [Int: Int] = [:]
        var waiting: [Int: CheckedContinuation<Void, any Error>] = [:]
        var nextTicket = 0
        var isDoomed = false
        var task: Task<Void, Never>?
    }

    let request: FetchPlan.Request
    let cause: FetchCause
    /// It holds spans that nobody waits for and that are wanted all the same.
    private let isKept: Bool
    private let state = Mutex(State())

    init(_ request: FetchPlan.Request, for cause: FetchCause, isKept: Bool) {
        self.request = request
        self.cause = cause
        self.isKept = isKept
    }

    func start(_ body: @escaping @Sendable (SpanBatch) async -> Void) {
        let task = Task {
            await body(self)
            self.landRest(.failure(GivenUp()))
        }
        // Cancelled before it was known here.
        let isDoomed = state.withLock { state in
            state.task = task
            return state.isDoomed
        }
        if isDoomed { task.cancel() }
    }

    /// A place for somebody who wants this span; nil where the batch was given up.
    func board(_ number: Int) -> Seat? {
        state.withLock { state in
            guard !state.isDoomed else { return nil }
            state.nextTicket += 1
            state.seats[state.nextTicket] = number
            return Seat(batch: self, ticket: state.nextTicket)
        }
    }

    /// How many have a seat now.
    var readers: Int { state.withLock { $0.seats.count } }

    func land(_ number: Int, _ result: Result<Void, any Error>) {
        let waiting = state.withLock { state in
            guard state.landed[number] == nil else { return [CheckedContinuation<Void, any Error>]() }
            state.landed[number] = result
            return state.seats.filter { $0.value == number }.compactMap { state.waiting.removeValue(forKey: $0.key) }
        }
        for continuation in waiting { continuation.resume(with: result) }
    }

    func landRest(_ result: Result<Void, any Error>) {
        for number in request.numbers { land(number, result) }
    }

    /// Ends it, whoever waits.
    func cancel() {
        let task = state.withLock { state in
            state.isDoomed = true
            return state.task
        }
        task?.cancel()
    }

    private func leave(_ ticket: Int) {
        let (continuation, task) = state.withLock { state in
            state.seats[ticket] = nil
            let isAlone = state.seats.isEmpty && !isKept
            if isAlone { state.isDoomed = true }
            return (state.waiting.removeValue(forKey: ticket), isAlone ? state.task : nil)
        }
        task?.cancel()
        continuation?.resume(throwing: CancellationError())
    }

    private func wait(_ ticket: Int) async throws {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                let now: Result<Void, any Error>? = state.withLock { state in
                    guard let number = state.seats[ticket] else { return .failure(CancellationError()) }
                    if let result = state.landed[number] { return result }
                    state.waiting[ticket] = continuation
                    return nil
                }
                if let now { continuation.resume(with: now) }
            }
        } onCancel: {
            leave(ticket)
        }
    }
}
