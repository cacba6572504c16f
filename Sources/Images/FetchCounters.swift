import OCI
import Synchronization

/// What has been fetched since the library was opened, for status and metrics.
public struct FetchCounters: Sendable {
    public struct Amount: Sendable, Equatable {
        /// Range requests and whole blobs that were asked for.
        public var requests: UInt64 = 0
        /// Compressed bytes that came.
        public var bytes: UInt64 = 0
    }

    public struct Layer: Sendable {
        /// Compressed bytes by cause.
        public var bytes: [FetchCause: UInt64]
        /// Compressed bytes per second over the last seconds.
        public var bytesPerSecond: Double
        /// Readers that wait for content of it now.
        public var waitingReaders: Int
        /// Its rest is being fetched because its readers waited for too long.
        public var isFetchingRest: Bool

        /// Compressed bytes in all.
        public var total: UInt64 { bytes.values.reduce(0, +) }
    }

    public var amounts: [FetchCause: Amount] = [:]
    /// Readers that wait for content now.
    public var waitingReaders = 0
    /// By the digest of the layer's blob.
    public var layers: [Digest: Layer] = [:]
    /// Bytes that are fetched and not on disk yet.
    public var bytesInMemory = 0

    public subscript(_ cause: FetchCause) -> Amount { amounts[cause] ?? Amount() }
}

/// Counts what one library fetches. A lock per answer of the network, none per read.
final class FetchLedger: Sendable {
    private struct LayerCount {
        var bytes: [FetchCause: UInt64] = [:]
        var rate = RecentRate()
        var waiting = 0
        var isFetchingRest = false
    }

    private struct State {
        var amounts: [FetchCause: FetchCounters.Amount] = [:]
        var layers: [Digest: LayerCount] = [:]
        var waiting = 0
        /// When somebody has waited last, or something came that is wanted now.
        var lastBusy: ContinuousClock.Instant?
        var nextTicket = 0
        var yielding: [Int: @Sendable () -> Void] = [:]
    }

    private let state = Mutex(State())

    /// Compressed bytes of some part of a request.
    func received(_ bytes: Int, of layer: Digest, for cause: FetchCause) {
        state.withLock { state in
            if cause != .fill { state.lastBusy = .now }
            state.amounts[cause, default: .init()].bytes += UInt64(bytes)
            state.layers[layer, default: .init()].bytes[cause, default: 0] += UInt64(bytes)
            state.layers[layer]?.rate.add(bytes, now: .now)
        }
    }

    func requested(_ cause: FetchCause) { state.withLock { $0.amounts[cause, default: .init()].requests += 1 } }

    func beginWait(_ layer: Digest) {
        let yielding = state.withLock { state in
            state.waiting += 1
            state.layers[layer, default: .init()].waiting += 1
            state.lastBusy = .now
            return Array(state.yielding.values)
        }
        for body in yielding { body() }
    }

    func endWait(_ layer: Digest) {
        state.withLock { state in
            state.waiting -= 1
            state.layers[layer]?.waiting -= 1
            state.lastBusy = .now
        }
    }

    func setFetchingRest(_ isFetching: Bool, of layer: Digest) {
        state.withLock { $0.layers[layer, default: .init()].isFetchingRest = isFetching }
    }

    /// For how long nobody has waited for content, and nothing came but what fills the store; nil while somebody waits.
    var quietTime: Duration? {
        state.withLock { state in
            if state.waiting > 0 { return nil }
            return state.lastBusy.map { .now - $0 } ?? .seconds(86_400)
        }
    }

    /// Calls `body` when a reader begins to wait, until the ticket is given back.
    func onDemand(_ body: @escaping @Sendable () -> Void) -> Int {
        let (ticket, isBusy) = state.withLock { state in
            state.nextTicket += 1
            state.yielding[state.nextTicket] = body
            return (state.nextTicket, state.waiting > 0)
        }
        if isBusy { body() }
        return ticket
    }

    func forget(_ ticket: Int) { _ = state.withLock { $0.yielding.removeValue(forKey: ticket) } }

    func counters(inMemory: Int) -> FetchCounters {
        state.withLock { state in
            FetchCounters(
                amounts: state.amounts, waitingReaders: state.waiting,
                layers: state.layers.mapValues { layer in
                    FetchCounters.Layer(
                        bytes: layer.bytes, bytesPerSecond: layer.rate.bytesPerSecond(now: .now), waitingReaders: layer.waiting,
                        isFetchingRest: layer.isFetchingRest)
                },
                bytesInMemory: inMemory)
        }
    }
}

/// Bytes per second over the last seconds.
struct RecentRate: Sendable {
    private static let windowSeconds = 4.0

    private var weight = 0.0
    private var last: ContinuousClock.Instant?

    mutating func add(_ bytes: Int, now: ContinuousClock.Instant) {
        weight = bytesPerSecond(now: now) * Self.windowSeconds + Double(bytes)
        last = now
    }

    /// Fades by half in about three seconds without bytes.
    func bytesPerSecond(now: ContinuousClock.Instant) -> Double {
        guard let last else { return 0 }
        let faded = weight * max(0, 1 - (now - last).seconds / (Self.windowSeconds * 1.5))
        return faded / Self.windowSeconds
    }
}
