/// Which spans of a layer will be wanted next, told from those that were read: several readers may go through a layer in
/// order at once, each a run. Spans after a run are fetched in windows that double; random reading has none.
struct ReadAhead: Sendable {
    static let firstWindow = 2
    static let lastWindow = 16
    private static let runLimit = 8

    private struct Run {
        /// The last span that was read.
        var last: Int
        /// Where fetching has come to: the first span that is not under way for this run.
        var end: Int
        var window = 0
        /// Reading this span starts the next window, so that it is here before it is wanted.
        var marker: Int?
    }

    /// Least recently used first.
    private var runs: [Run] = []
    let spanCount: Int

    init(spanCount: Int) { self.spanCount = spanCount }

    /// Whether `reached` has anything to say.
    var hasMarkers: Bool { runs.contains { $0.marker != nil } }

    /// A reader wants this span and it is not here. Returns the spans behind it to fetch as well.
    mutating func missed(_ number: Int) -> Range<Int> {
        // One span may be left out: it can be here already, or hold what this reader does not want.
        guard let place = runs.lastIndex(where: { number > $0.last && number <= $0.end + 1 }) else {
            if runs.contains(where: { number == $0.last }) { return number + 1..<number + 1 }
            if runs.count == Self.runLimit { runs.removeFirst() }
            runs.append(Run(last: number, end: number + 1))
            return number + 1..<number + 1
        }
        var run = runs.remove(at: place)
        run.last = number
        run.end = max(run.end, number + 1)
        let next = advance(&run)
        runs.append(run)
        return next
    }

    /// A reader has come to this span, which was fetched ahead. Returns the next window if it is time for it.
    mutating func reached(_ number: Int) -> Range<Int>? {
        guard let place = runs.firstIndex(where: { $0.marker.map { number >= $0 } == true && number < $0.end }) else { return nil }
        var run = runs.remove(at: place)
        run.last = max(run.last, number)
        let next = advance(&run)
        runs.append(run)
        return next.isEmpty ? nil : next
    }

    private func advance(_ run: inout Run) -> Range<Int> {
        run.window = run.window == 0 ? Self.firstWindow : min(run.window * 2, Self.lastWindow)
        let start = run.end
        run.end = min(spanCount, start + run.window)
        guard start < run.end else {
            run.marker = nil
            return spanCount..<spanCount
        }
        run.marker = start + (run.end - start) / 2
        return start..<run.end
    }
}
