/// Something in the store that is not as it must be.
public struct VerifyFinding: Sendable, Equatable {
    public enum Kind: Sendable {
        /// The content is not what the name promises.
        case damaged
        /// A name that no object can have, or no regular file.
        case stray
        /// A reference to a manifest that is not here.
        case dangling
        /// Spans that no index describes: those of a layer that is being read for the first time, or left by one.
        case unindexed
    }

    public let kind: Kind
    /// Path below the store.
    public let path: String
    public let expected: String
    public let found: String
    /// Moved to `quarantine/`, so that it is fetched again.
    public internal(set) var isQuarantined = false
}

extension VerifyFinding: CustomStringConvertible {
    public var description: String {
        "\(path): expected \(expected), found \(found)" + (isQuarantined ? " (moved to quarantine)" : "")
    }
}

/// How far a verification has come.
public struct VerifyProgress: Sendable, Equatable {
    public var objects = 0
    public var bytes: UInt64 = 0
}

/// What a verification has found.
public struct VerifyReport: Sendable {
    /// More findings than this are counted and not kept.
    public static let findingLimit = 10_000

    public var checked = VerifyProgress()
    /// At most `findingLimit`, sorted by path.
    public var findings: [VerifyFinding] = []
    public var findingCount = 0
    /// Whether nothing damaged or dangling was found. Stray and unindexed files harm nobody.
    public var isSound = true
}
