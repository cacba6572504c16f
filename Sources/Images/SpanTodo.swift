import Synchronization

/// Pieces of work that several tasks take one after the other.
final class WorkQueue<Item: Sendable>: Sendable {
    private let items: Mutex<ArraySlice<Item>>

    init(_ items: [Item]) { self.items = Mutex(items[...]) }

    func next() -> Item? { items.withLock { $0.popFirst() } }
}

/// The spans that were missing at one moment. Each is given out once, so that a store which evicts as fast as it is
/// filled does not make a filler run for ever.
final class SpanTodo: Sendable {
    private let tree: LayerTree
    /// Ascending.
    private let left: Mutex<[Int]>

    init(_ tree: LayerTree) {
        self.tree = tree
        left = Mutex((0..<tree.view.spanCount).filter { !tree.hasSpan($0) })
    }

    /// These were not brought after all.
    func putBack(_ numbers: [Int]) { left.withLock { $0 = ($0 + numbers).sorted() } }

    /// The spans of one request, the first of them the nearest one from `number` on, or from the layer's start where there
    /// are none behind. nil at the end.
    func next(after number: Int, _ plan: FetchPlan) -> [Int]? {
        left.withLock { left in
            left.removeAll { tree.hasSpan($0) }
            guard !left.isEmpty else { return nil }
            let start = left.firstIndex { $0 >= number } ?? 0
            var end = start
            var bytes: UInt64 = 0
            while end < left.count, end == start || bytes < plan.limit {
                bytes += plan.cost(left[end])
                end += 1
            }
            let numbers = plan.requests(left[start..<end])[0].numbers
            left.removeAll { numbers.contains($0) }
            return numbers
        }
    }
}
