import TreeIndex

/// How wanted spans become range requests: neighbours in the blob in one.
struct FetchPlan: Sendable {
    /// What one request brings, in the order of the blob.
    struct Request: Sendable, Equatable {
        /// In ascending order.
        var numbers: [Int]
        /// In the blob.
        var source: Range<UInt64>
    }

    /// Spans whose order is a wish may be put in the order of the blob within groups of so many.
    static let groupSize = 24

    let view: TreeView
    /// Compressed bytes of one request, unless one span has more.
    let limit: UInt64
    /// Bytes between two spans that are rather fetched than asked around.
    let gap: UInt64

    /// The requests for these spans.
    func requests(_ numbers: some Sequence<Int>) -> [Request] {
        var requests: [Request] = []
        for number in Set(numbers).sorted() {
            let span = view.span(number)
            let source = span.sourceOffset..<span.sourceOffset + span.sourceLength
            if let last = requests.last, let joined = join(last.source, source) {
                requests[requests.count - 1].source = joined
                requests[requests.count - 1].numbers.append(number)
            } else {
                requests.append(Request(numbers: [number], source: source))
            }
        }
        return requests
    }

    private func join(_ one: Range<UInt64>, _ other: Range<UInt64>) -> Range<UInt64>? {
        // Spans of a gzip layer may share a byte.
        guard other.lowerBound >= one.lowerBound, other.lowerBound <= one.upperBound &+ gap else { return nil }
        let end = max(one.upperBound, other.upperBound)
        return end - one.lowerBound <= limit ? one.lowerBound..<end : nil
    }
}
