import Synchronization

/// Everything that one library fetches without being waited for, so that it ends with the library and yields to demand.
final class FetchActivity: Sendable {
    private struct State {
        var isClosed = false
        var nextTask = 0
        var tasks: [Int: Task<Void, Never>] = [:]
        /// Ended before they were entered in `tasks`.
        var ended: Set<Int> = []
        var batches: [ObjectIdentifier: SpanBatch] = [:]
        /// Layers that somebody has read from, least recently first.
        var used: [LayerTree] = []
        /// Bytes of content per second that one thread decompresses.
        var decodingRate = 150_000_000.0
        var hasDecoded = false
    }

    /// Layers that are remembered for the background fill.
    private static let usedLimit = 256

    /// Threads that decompress at once.
    private let threads: Int
    private let state = Mutex(State())
    /// Advances when a layer is used that was not before.
    let uses = Progress()

    /// Whether the rest of a layer may be fetched because its readers have waited for long.
    let mayFetchRest: Bool

    init(threads: Int, mayFetchRest: Bool) {
        self.threads = threads
        self.mayFetchRest = mayFetchRest
    }

    var isClosed: Bool { state.withLock { $0.isClosed } }
    /// Whether nothing is under way.
    var isIdle: Bool { state.withLock { $0.tasks.isEmpty && $0.batches.isEmpty } }

    // MARK: - Work

    /// Starts work that nobody waits for; `close` cancels it.
    func run(_ body: @escaping @Sendable () async -> Void) {
        let number: Int? = state.withLock { state in
            guard !state.isClosed else { return nil }
            state.nextTask += 1
            return state.nextTask
        }
        guard let number else { return }
        let task = Task {
            await body()
            self.state.withLock { state in
                if state.tasks.removeValue(forKey: number) == nil { state.ended.insert(number) }
            }
        }
        let isClosed = state.withLock { state in
            if state.ended.remove(number) == nil { state.tasks[number] = task }
            return state.isClosed
        }
        if isClosed { task.cancel() }
    }

    func enter(_ batch: SpanBatch) {
        let isClosed = state.withLock { state in
            state.batches[ObjectIdentifier(batch)] = batch
            return state.isClosed
        }
        if isClosed { batch.cancel() }
    }

    func leave(_ batch: SpanBatch) { state.withLock { $0.batches[ObjectIdentifier(batch)] = nil } }

    /// Cancels everything that is under way and waits for what nobody else waits for. Nothing begins from now on.
    func close() async {
        let (tasks, batches) = state.withLock { state in
            state.isClosed = true
            state.used = []
            return (Array(state.tasks.values), Array(state.batches.values))
        }
        for task in tasks { task.cancel() }
        for batch in batches { batch.cancel() }
        for task in tasks { await task.value }
    }

    // MARK: - Layers in use

    func noteUse(of tree: LayerTree) {
        let isNew = state.withLock { state in
            guard !state.isClosed, state.used.last !== tree else { return false }
            let known = state.used.firstIndex { $0 === tree }
            if let known { state.used.remove(at: known) } else if state.used.count == Self.usedLimit { state.used.removeFirst() }
            state.used.append(tree)
            return known == nil
        }
        if isNew { uses.advance() }
    }

    /// The layer that was used last and has not been given out by this before.
    func nextUsed() -> LayerTree? { state.withLock { $0.used.popLast() } }

    // MARK: - Speed

    /// Bytes of content per second that all threads together decompress.
    var decodingRate: Double { state.withLock { $0.decodingRate } * Double(threads) }

    func decoded(_ bytes: UInt64, in time: Duration) {
        guard bytes >= 64 << 10 else { return }
        let rate = Double(bytes) / max(time.seconds, 1e-6)
        state.withLock { state in
            state.decodingRate = state.hasDecoded ? state.decodingRate * 0.9 + rate * 0.1 : rate
            state.hasDecoded = true
        }
    }
}
