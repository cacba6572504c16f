/// How often and how long one piece of work may still be tried. Progress fills it up again, but only progress worth the
/// name: a host that gives a byte per connection must not be asked for ever.
struct RetryBudget: Sendable {
    private let attempts: Int
    private let limit: Duration
    private let firstPause: Duration
    private var used = 0
    private var began: ContinuousClock.Instant
    private var progress: UInt64 = 0

    private static let worthwhile: UInt64 = 64 << 10
    private static let longestPause = Duration.seconds(8)

    init(attempts: Int, limit: Duration, firstPause: Duration, now: ContinuousClock.Instant = .now) {
        self.attempts = attempts
        self.limit = limit
        self.firstPause = firstPause
        began = now
    }

    /// Counts `bytes` that came.
    mutating func advance(by bytes: UInt64, now: ContinuousClock.Instant = .now) {
        progress &+= bytes
        guard progress >= Self.worthwhile else { return }
        progress = 0
        used = 0
        began = now
    }

    /// How long to wait before the next attempt; nil where it is time to give up.
    mutating func pause(after fault: Fault, now: ContinuousClock.Instant = .now) -> Duration? {
        let pause: Duration
        switch fault.remedy {
        case .none: return nil
        case .dropRange: return .zero
        case .pause(let asked): pause = asked
        case .backOff:
            // Half fixed, half chance: many readers that failed together do not come back together.
            let full = min(firstPause * Double(1 << min(used, 16)), Self.longestPause)
            pause = full * Double.random(in: 0.5...1)
        }
        guard used < attempts, began.advanced(by: limit) > now.advanced(by: pause) else { return nil }
        used += 1
        return pause
    }
}
