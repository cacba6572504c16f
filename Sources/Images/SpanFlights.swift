import Synchronization

/// What is under way for one layer, and what its readers have done so far.
final class SpanFlights: Sendable {
    struct State {
        /// The request that brings each span.
        var underway: [Int: SpanBatch] = [:]
        var readAhead: ReadAhead
        /// Of readers of this layer.
        var waits = WaitTime()
        /// The rest of the layer is being fetched whole.
        var isFetchingRest = false
        /// The span that a reader has asked for last.
        var lastWanted = 0
    }

    let state: Mutex<State>
    /// Whether `ReadAhead.reached` is worth the lock.
    private let hasMarkers = Atomic<Bool>(false)

    init(spanCount: Int) { state = Mutex(State(readAhead: ReadAhead(spanCount: spanCount))) }

    /// Spans to fetch beside the missing ones.
    func missed(_ numbers: [Int]) -> [Int] {
        state.withLock { state in
            var ahead: [Int] = []
            for number in numbers { ahead += state.readAhead.missed(number) }
            state.lastWanted = numbers.last ?? state.lastWanted
            hasMarkers.store(state.readAhead.hasMarkers, ordering: .relaxed)
            return state.isFetchingRest ? [] : ahead
        }
    }

    /// Spans to fetch because a reader has come to one that was fetched ahead. One relaxed load where there are none.
    @inline(__always)
    func reached(_ number: Int) -> Range<Int>? {
        hasMarkers.load(ordering: .relaxed) ? advanced(to: number) : nil
    }

    private func advanced(to number: Int) -> Range<Int>? {
        state.withLock { state in
            let next = state.readAhead.reached(number)
            hasMarkers.store(state.readAhead.hasMarkers, ordering: .relaxed)
            return state.isFetchingRest ? nil : next
        }
    }

    /// Ends what `batch` holds of these spans.
    func end(_ batch: SpanBatch, _ numbers: [Int]) {
        state.withLock { state in
            for number in numbers where state.underway[number] === batch { state.underway[number] = nil }
        }
    }
}
