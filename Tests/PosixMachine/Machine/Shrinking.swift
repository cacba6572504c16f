/// Takes operations out of a sequence that makes a difference, as long as it still makes one.
struct Shrinking {
    /// Each try is a run from the start.
    private var triesLeft = 250
    private let attempt: ([Operation]) -> Comparison.Difference?

    init(_ attempt: @escaping ([Operation]) -> Comparison.Difference?) { self.attempt = attempt }

    /// nil where the difference did not come again.
    mutating func shrink(_ operations: [Operation]) -> ([Operation], Comparison.Difference)? {
        guard var best = attempt(operations) else { return nil }
        var kept = Self.prefix(operations, best)
        var size = max(kept.count / 2, 1)
        while triesLeft > 0 {
            var index = 0
            var removed = false
            while index < kept.count, triesLeft > 0 {
                triesLeft -= 1
                var tried = kept
                tried.removeSubrange(index..<min(index + size, kept.count))
                if let difference = attempt(tried) {
                    kept = Self.prefix(tried, difference)
                    best = difference
                    removed = true
                } else {
                    index += size
                }
            }
            if size == 1 && !removed { break }
            if !removed || size > kept.count { size = max(size / 2, 1) }
        }
        return (kept, best)
    }

    private static func prefix(_ operations: [Operation], _ difference: Comparison.Difference) -> [Operation] {
        var kept = Array(operations.prefix(difference.index + 1))
        if difference.operation.kind == .tree { kept = Array(operations.prefix(difference.index)) }
        return kept
    }
}
