/// When to stop fetching by need and take the rest of a layer: once its readers have waited for as long as the rest
/// would take. This is ski rental, where buying after having paid the price in rents costs at most twice the best that
/// somebody who knows the future could do.
///
/// A workload that goes through an image waits in one layer after the other, so what it has waited for since the last
/// purchase counts in the next layer too, from the second time on that something of that one is missing.
struct RestDecision: Sendable {
    /// What is missing of the layer: compressed bytes.
    var source: UInt64
    /// Bytes of content.
    var content: UInt64
    var latency: Duration
    /// Compressed bytes per second.
    var bandwidth: Double
    /// Bytes of content per second that all cores together decompress.
    var decoding: Double

    /// What bringing the rest would take. Fetching and decompressing overlap, so the slower one counts.
    var time: Duration { latency + .seconds(max(Double(source) / max(bandwidth, 1), Double(content) / max(decoding, 1))) }

    func isRight(after waited: Duration) -> Bool { source > 0 && waited >= time }
}
