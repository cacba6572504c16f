import Dispatch
import LinuxIO
import Synchronization

/// What whoever keeps files of the store open is told.
public enum UpkeepEvent: Sendable {
    /// About once a minute. A good time to let go of what was opened, so that the next opening marks its use.
    case tick
    /// Files have gone, taken by this process or another.
    case evicted
}

/// The limits of one opened store, and the queue on which they are kept.
final class StoreKeeper: Sendable {
    struct State {
        var limits = StoreLimits()
        var observers: [@Sendable (UpkeepEvent) -> Void] = []
        var isTicking = false
        /// A check is under way or about to be.
        var isChecking = false
        /// Nothing more could go the last time: until then nobody looks again.
        var quietUntil: ContinuousClock.Instant?
        /// Of `StoreAccount.Record.evictions`, when this process last looked.
        var seenEvictions: UInt64?
        var counters = EvictionCounters()
    }

    let queue = DispatchQueue(label: "larder.store", qos: .utility)
    let state = Mutex(State())

    func tell(_ event: UpkeepEvent) {
        for observer in state.withLock({ $0.observers }) { observer(event) }
    }
}

/// What this process has evicted since it opened the store.
public struct EvictionCounters: Sendable, Equatable {
    public var runs: UInt64 = 0
    public var files: UInt64 = 0
    public var bytes: UInt64 = 0
}
