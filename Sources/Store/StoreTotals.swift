import LinuxIO

/// What an object of the store is, for limits and for people.
public enum StoredKind: String, Sendable, CaseIterable, Encodable {
    /// A compressed blob, as it is in its registry.
    case blob
    /// Unpacked: a span, or a large file.
    case content
    /// The index of a layer or a snapshot.
    case index
    /// What nobody can use: damaged and put aside, or spans whose index is gone.
    case garbage
}

extension StoreKey {
    public var kind: StoredKind {
        switch self {
        case .blob: .blob
        case .tree: .index
        case .span, .object: .content
        }
    }
}

/// Bytes of disk by kind.
public struct StoreTotals: Sendable, Equatable {
    public var blobs: UInt64 = 0
    public var content: UInt64 = 0
    public var indexes: UInt64 = 0
    public var garbage: UInt64 = 0

    public var all: UInt64 { blobs + content + indexes + garbage }

    public init() {}

    public subscript(kind: StoredKind) -> UInt64 {
        get {
            switch kind {
            case .blob: blobs
            case .content: content
            case .index: indexes
            case .garbage: garbage
            }
        }
        set {
            switch kind {
            case .blob: blobs = newValue
            case .content: content = newValue
            case .index: indexes = newValue
            case .garbage: garbage = newValue
            }
        }
    }
}
