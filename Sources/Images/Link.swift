import Synchronization

/// What is known of the way to one host: how fast it is, who uses it now, and who waits for it.
final class Link: Sendable {
    /// Ranges at a time that nobody waits for. `Remote` lets eight requests through to a host, so demand always finds a place.
    static let places = 6

    let gate = UrgencyGate(Link.places, keptForDemand: 0)
    /// Of readers since the rest of a layer was last begun, in any layer that comes this way.
    let waits = Mutex(WaitTime(longestPause: .seconds(10)))
    private let state = Mutex(LinkEstimate())

    var estimate: LinkEstimate { state.withLock { $0 } }

    /// A request was answered with its first byte after `delay`.
    func began(after delay: Duration, now: ContinuousClock.Instant = .now) {
        state.withLock { $0.begin(after: delay, now: now) }
    }

    func received(_ bytes: Int, now: ContinuousClock.Instant = .now) { state.withLock { $0.receive(bytes, now: now) } }
    func ended(now: ContinuousClock.Instant = .now) { state.withLock { $0.end(now: now) } }
}

/// Latency and bandwidth as they were seen. All transfers of a host share its link, so bytes are counted over all of
/// them, and only while there are any.
struct LinkEstimate: Sendable {
    /// From a request to the first byte of its answer.
    private(set) var latency = Duration.milliseconds(20)
    /// Bytes per second. Before anything was seen, what a good link in one building does.
    private(set) var bandwidth = 100_000_000.0
    private var hasLatency = false
    private var hasBandwidth = false
    private var transfers = 0
    private var windowStart: ContinuousClock.Instant?
    private var windowBytes = 0

    /// Fewer bytes say more about latency than about bandwidth.
    private static let sampleBytes = 512 << 10
    private static let sampleTime = Duration.milliseconds(200)

    mutating func begin(after delay: Duration, now: ContinuousClock.Instant) {
        // The shortest seen recently: a wait behind other requests is no latency.
        latency = hasLatency ? min(delay, latency * 0.9 + delay * 0.1) : delay
        hasLatency = true
        if transfers == 0 {
            windowStart = now
            windowBytes = 0
        }
        transfers += 1
    }

    mutating func receive(_ bytes: Int, now: ContinuousClock.Instant) {
        windowBytes += bytes
        guard let start = windowStart, now - start >= Self.sampleTime else { return }
        sample(now - start)
        windowStart = now
        windowBytes = 0
    }

    mutating func end(now: ContinuousClock.Instant) {
        transfers -= 1
        guard transfers == 0, let start = windowStart else { return }
        sample(now - start)
        windowStart = nil
    }

    /// A link shows what it can do only while it is used fully, so a higher figure counts at once and a lower one slowly.
    private mutating func sample(_ time: Duration) {
        guard windowBytes >= Self.sampleBytes else { return }
        let rate = Double(windowBytes) / max(time.seconds, 1e-4)
        bandwidth = hasBandwidth ? max(rate, bandwidth * 0.75 + rate * 0.25) : rate
        hasBandwidth = true
    }

    /// Bytes that come in the time of one round trip: asking for them anew costs as much as taking them along.
    var bytesPerRoundTrip: UInt64 { UInt64(min(latency.seconds * bandwidth, 2_097_152)) }
}

extension Duration {
    var seconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}
