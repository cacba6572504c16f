import Synchronization

/// What a `Remote` has done since it was made, for metrics.
public final class RemoteCounters: Sendable {
    public struct Values: Sendable, Hashable {
        /// HTTP requests sent, those for tokens included.
        public var requests: UInt64
        /// Bytes of response bodies.
        public var bytesReceived: UInt64
        /// Requests made again after a fault.
        public var retries: UInt64
        /// Calls that ended in an error other than a cancellation or "not found".
        public var failures: UInt64
    }

    let requests = Atomic<UInt64>(0)
    let bytesReceived = Atomic<UInt64>(0)
    let retries = Atomic<UInt64>(0)
    let failures = Atomic<UInt64>(0)

    init() {}

    /// Each number is right; together they are from slightly different moments.
    public var values: Values {
        Values(
            requests: requests.load(ordering: .relaxed), bytesReceived: bytesReceived.load(ordering: .relaxed),
            retries: retries.load(ordering: .relaxed), failures: failures.load(ordering: .relaxed))
    }

    func count(_ error: RemoteError) {
        if error.kind != .cancelled && error.kind != .notFound { failures.wrappingAdd(1, ordering: .relaxed) }
    }
}
