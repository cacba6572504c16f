/// When to stop fetching by need and take the rest of a layer: once its readers have waited for as long as the rest
/// would take. This is ski rental, where buying after having paid the price in rents costs at most twice the best that
/// somebody who knows the future could do.
struct RestDecision: Sendable {
    /// What is missing of the layer, and what bringing it would take.
    struct Rest: Sendable {
        /// Compressed bytes.
        var source: UInt64
        /// Bytes of content.
        var content: UInt64
        var latency: Duration
        /// Compressed bytes per second.
        var bandwidth: Double
        /// Bytes of content per second that all cores together decompress.
        var decoding: Double

        /// Fetching and decompressing overlap, so the slower one counts.
        var time: Duration { latency + .seconds(max(Double(source) / max(bandwidth, 1), Double(content) / max(decoding, 1))) }
    }

    private var waited = Duration.zero
    private var readers = 0
    private var since: ContinuousClock.Instant?

    /// Readers that wait now.
    var waitingReaders: Int { readers }

    /// Time during which at least one reader waited: many that wait for one span lose no more than one does.
    func waited(now: ContinuousClock.Instant) -> Duration { waited + (since.map { now - $0 } ?? .zero) }

    mutating func beginWait(now: ContinuousClock.Instant) {
        if readers == 0 { since = now }
        readers += 1
    }

    mutating func endWait(now: ContinuousClock.Instant) {
        readers -= 1
        guard readers == 0, let since else { return }
        waited += now - since
        self.since = nil
    }

    func prefersRest(_ rest: Rest, now: ContinuousClock.Instant) -> Bool { rest.source > 0 && waited(now: now) >= rest.time }

    /// Starts the account anew, after fetching the rest has failed.
    mutating func forget(now: ContinuousClock.Instant) {
        waited = .zero
        if since != nil { since = now }
    }
}
