/// Why bytes did not come from a registry or a layout. Says what was asked for, of whom, and what to do about it; never
/// holds a credential or the query of a signed URL.
public struct RemoteError: Error, Sendable, Hashable, CustomStringConvertible {
    public enum Kind: Sendable, Hashable {
        /// The host answered, and has no such thing.
        case notFound
        /// Credentials are missing or were refused.
        case unauthorized
        /// The credentials are good but not for this.
        case denied
        /// The host asks to come back later.
        case rateLimited
        /// No connection, or one that broke.
        case unreachable
        /// Connected, but no byte came for the set time.
        case stalled
        /// An answer that the protocol does not allow here; the HTTP status where the status is what is odd.
        case badAnswer(status: Int?)
        /// The bytes are not those that digest or size promise.
        case wrongBytes
        /// More bytes than Larder reads of such a thing.
        case tooLarge
        /// The task was cancelled, or the remote was shut down.
        case cancelled
        /// What the user configured cannot be used.
        case configuration
    }

    public let kind: Kind
    /// Such as `blob sha256:... of registry.example/team/app`.
    public let subject: String
    public let reason: String

    public init(_ kind: Kind, _ subject: String, _ reason: String) {
        self.kind = kind
        self.subject = subject
        self.reason = reason
    }

    /// Whether asking again later, with nothing changed here, can help.
    public var isTransient: Bool {
        switch kind {
        case .unreachable, .stalled, .rateLimited: true
        case .badAnswer(let status?): status >= 500 || status == 408
        default: false
        }
    }

    public var isCancellation: Bool { kind == .cancelled }

    public var description: String { "\(subject): \(reason)" }
}
