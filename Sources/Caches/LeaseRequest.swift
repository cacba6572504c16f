/// One cache that somebody wants to use.
public struct LeaseRequest: Sendable, Hashable {
    public var cache: CacheName
    /// nil is the cache's own default.
    public var sharing: Sharing?
    /// Takes a shared lock on the main instance, whatever `sharing` says. Waits as `shared` does.
    public var isReadOnly: Bool
    /// A new empty directory for this lease alone, removed at its end, which leaves the cache as it is. Never waits.
    public var isFresh: Bool

    public init(_ cache: CacheName, _ sharing: Sharing? = nil, readOnly: Bool = false, fresh: Bool = false) {
        self.cache = cache
        self.sharing = sharing
        isReadOnly = readOnly
        isFresh = fresh
    }
}

/// Somebody waits: told when the wait begins, and again when it turns out to be for somebody else.
public struct LeaseWait: Sendable {
    public let cache: CacheName
    /// Who holds the cache. Empty where it is only others that came before who wait for it.
    public let holders: [LeaseRecord]

    /// `waiting for cache 'npm', held by larder run npm (process 4711 of root) since 12:03:04`
    public var description: String {
        holders.isEmpty ? "waiting for cache '\(cache)' behind others" : "waiting for cache '\(cache)'\(LeaseRecord.list(holders))"
    }
}

/// What is locked for a request: the sharing table.
enum Claim: Sendable, Hashable {
    /// A shared lock on main.
    case shared(readOnly: Bool)
    /// An exclusive lock on main.
    case locked
    /// An exclusive lock on any instance, at once.
    case alone
    /// A directory of its own.
    case fresh

    init(_ request: LeaseRequest, default sharing: Sharing) {
        if request.isFresh {
            self = .fresh
        } else if request.isReadOnly {
            self = .shared(readOnly: true)
        } else {
            self =
                switch request.sharing ?? sharing {
                case .shared: .shared(readOnly: false)
                case .locked: .locked
                case .private: .alone
                }
        }
    }

    /// The one hold that serves both of two mounts of the same cache. `private` beside anything that means main becomes
    /// `locked`: alone, and in main. Fresh beats all: the run asked not to see the cache.
    func joined(with other: Claim) -> Claim {
        switch (self, other) {
        case (.fresh, _), (_, .fresh): .fresh
        case (.alone, .alone): .alone
        case (.shared(let left), .shared(let right)): .shared(readOnly: left && right)
        default: .locked
        }
    }

    var isExclusive: Bool {
        if case .shared = self { false } else { true }
    }

    var isReadOnly: Bool { self == .shared(readOnly: true) }

    var sharing: Sharing {
        switch self {
        case .shared: .shared
        case .locked: .locked
        case .alone, .fresh: .private
        }
    }
}
