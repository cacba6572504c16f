import Store

/// Which caches are meant: the filters of BuildKit (`FilterExpression`), on what a cache is here.
public struct CacheFilter: Sendable {
    public typealias BadFilter = FilterExpression.BadFilter

    /// What a filter can ask for.
    public static let fields = [
        "addonly", "description", "id", "inuse", "locked", "mutable", "pinned", "preset", "private", "shared", "sharing", "type", "unclean", "until",
    ]

    private let expression: FilterExpression

    /// - Throws: `BadFilter`, with what is known.
    public init(_ text: String) throws(BadFilter) { expression = try FilterExpression(text, fields: Self.fields.filter { $0 != "until" }) }

    public func accepts(_ subject: Subject) -> Bool { expression.accepts(idle: subject.idle) { subject.value(of: $0) } }
}

extension CacheFilter {
    /// What the filter looks at.
    public struct Subject: Sendable {
        public var name: CacheName
        public var settings: CacheSettings
        public var isInUse: Bool
        public var isUnclean: Bool
        /// How long nobody has used it.
        public var idle: Duration

        public init(name: CacheName, settings: CacheSettings, isInUse: Bool, isUnclean: Bool, idle: Duration) {
            self.name = name
            self.settings = settings
            self.isInUse = isInUse
            self.isUnclean = isUnclean
            self.idle = idle
        }

        fileprivate func value(of field: String) -> String? {
            func flag(_ value: Bool) -> String? { value ? "true" : nil }
            return switch field {
            case "id": name.text
            case "type": "exec.cachemount"
            case "description": "cache \(name.text)"
            case "preset": settings.preset
            case "sharing": settings.sharing.rawValue
            case "shared", "private", "locked": flag(settings.sharing.rawValue == field)
            case "mutable": "true"
            case "inuse": flag(isInUse)
            case "unclean": flag(isUnclean)
            case "pinned": flag(settings.policy.isPinned)
            case "addonly": flag(settings.isAddOnly)
            default: nil
            }
        }
    }
}
