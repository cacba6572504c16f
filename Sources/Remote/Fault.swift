/// What one attempt at a request ran into, and whether the next attempt may do better. Becomes a `RemoteError` once it
/// is known what the request was for.
struct Fault: Error, Sendable, Equatable {
    enum Remedy: Sendable, Equatable {
        /// The same request would fail the same way.
        case none
        /// Try again after a pause that grows.
        case backOff
        /// The host named the pause itself (`Retry-After`).
        case pause(Duration)
        /// Ask again without `Range`.
        case dropRange
    }

    let kind: RemoteError.Kind
    let reason: String
    var remedy: Remedy
    /// No connection came about at all, so the next request to this host would fare no better.
    var isHostDown = false

    init(_ kind: RemoteError.Kind, _ reason: String, remedy: Remedy = .none, isHostDown: Bool = false) {
        self.kind = kind
        self.reason = reason
        self.remedy = remedy
        self.isHostDown = isHostDown
    }

    static let cancelled = Fault(.cancelled, "cancelled")

    func error(about subject: String) -> RemoteError { RemoteError(kind, subject, reason) }
}
