/// Time during which at least one reader waited: many that wait for one span lose no more than one does.
struct WaitTime: Sendable {
    /// Readers that wait now.
    private(set) var readers = 0
    private var ended = Duration.zero
    private var since: ContinuousClock.Instant?
    private var lastEnd: ContinuousClock.Instant?
    /// Who begins after such a pause is another workload, and the account begins anew.
    private let longestPause: Duration?

    init(longestPause: Duration? = nil) { self.longestPause = longestPause }

    func total(now: ContinuousClock.Instant = .now) -> Duration { ended + (since.map { now - $0 } ?? .zero) }

    mutating func begin(now: ContinuousClock.Instant = .now) {
        if readers == 0 {
            if let longestPause, let lastEnd, now - lastEnd > longestPause { ended = .zero }
            since = now
        }
        readers += 1
    }

    mutating func end(now: ContinuousClock.Instant = .now) {
        readers -= 1
        guard readers == 0, let since else { return }
        ended += now - since
        self.since = nil
        lastEnd = now
    }

    /// Starts the account anew.
    mutating func forget(now: ContinuousClock.Instant = .now) {
        ended = .zero
        if since != nil { since = now }
    }
}
