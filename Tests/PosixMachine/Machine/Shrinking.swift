/// Takes operations out of a sequence that makes a difference, as long as it still makes one.
struct Shrinking {
    private let end: ContinuousClock.Instant
    private let attempt: ([Operation]) -> Comparison.Difference?

    /// `attempt` runs a sequence in new directories. No try begins after `limit`.
    init(limit: Duration, _ attempt: @escaping ([Operation]) -> Comparison.Difference?) {
        end = .now + limit
        self.attempt = attempt
    }

    private var isOver: Bool { ContinuousClock.now >= end }

    /// nil where the difference did not come again. `likely` are positions of operations that may matter, the others first go
    /// all at once.
    func shrink(_ operations: [Operation], likely: Set<Int>) -> ([Operation], Comparison.Difference)? {
        guard var best = attempt(operations) else { return nil }
        var kept = Self.prefix(operations, best)
        let fewer = kept.indices.filter { likely.contains($0) || $0 == kept.count - 1 }.map { kept[$0] }
        if let difference = attempt(fewer) {
            kept = Self.prefix(fewer, difference)
            best = difference
        }
        var size = max(kept.count / 2, 1)
        while !isOver {
            // From the end, because what matters is mostly near it.
            var end = kept.count
            var removed = false
            while end > 0, !isOver {
                let start = max(end - size, 0)
                var tried = kept
                tried.removeSubrange(start..<end)
                end = start
                guard let difference = attempt(tried) else { continue }
                kept = Self.prefix(tried, difference)
                best = difference
                end = min(end, kept.count)
                removed = true
            }
            if size == 1 && !removed { break }
            if !removed || size > kept.count { size = max(size / 2, 1) }
        }
        return (kept, best)
    }

    private static func prefix(_ operations: [Operation], _ difference: Comparison.Difference) -> [Operation] {
        Array(operations.prefix(difference.operation.kind == .tree ? difference.index : difference.index + 1))
    }
}
