import TreeIndex

/// How wanted spans become range requests: neighbours in the blob in one.
struct FetchPlan: Sendable {
    /// What one request brings, in the order of the blob.
    struct Request: Sendable, Equatable {
        /// In ascending order.
        var numbers: [Int]
        /// In the blob.
        var source: Range<UInt64>
        /// Bytes that the spans have unpacked.
        var content: UInt64
    }

    /// Spans whose order is a wish may be put in the order of the blob within groups of so many.
    static let groupSize = 24

    let view: TreeView
    /// Bytes of memory that one request takes, compressed and unpacked, unless one span has more.
    let limit: UInt64
    /// Bytes between two spans that are rather fetched than asked around.
    let gap: UInt64

    /// The requests for these spans.
    func requests(_ numbers: some Sequence<Int>) -> [Request] {
        var requests: [Request] = []
        for number in Set(numbers).sorted() {
            let span = view.span(number)
            let alone = Request(numbers: [number], source: span.sourceOffset..<span.sourceOffset + span.sourceLength, content: span.length)
            if let last = requests.last, let joined = join(last, alone) {
                requests[requests.count - 1] = joined
            } else {
                requests.append(alone)
            }
        }
        return requests
    }

    private func join(_ one: Request, _ other: Request) -> Request? {
        // Spans of a gzip layer may share a byte.
        guard other.source.lowerBound >= one.source.lowerBound, other.source.lowerBound <= one.source.upperBound &+ gap else { return nil }
        let source = one.source.lowerBound..<max(one.source.upperBound, other.source.upperBound)
        let content = one.content + other.content
        guard source.upperBound - source.lowerBound + content <= limit else { return nil }
        return Request(numbers: one.numbers + other.numbers, source: source, content: content)
    }

    /// Bytes of memory for a span alone.
    func cost(_ number: Int) -> UInt64 { view.span(number).sourceLength + view.span(number).length }
}
