/// What Larder knows about a tool: which caches it has, how to send it there, and how they can be shared. Plain data.
public struct Preset: Sendable, Hashable, Encodable {
    public let name: String
    public let summary: String
    public let caches: [Cache]
    /// Set for the command; `{ID}` in a value stands for the place of the cache ID.
    public let variables: [Variable]
    /// Files that the tool must be able to read; each is found by a variable that holds its path.
    public let files: [File]
    /// Files of the system that would empty the cache: in a namespace of the command's own, an empty file covers each.
    public let masks: [String]
    /// What whoever uses it should know.
    public let notes: [String]

    public struct Cache: Sendable, Hashable, Encodable {
        /// The cache's id; a namespace may come before it.
        public let id: String
        /// Where it is mounted by default; `~` is the user's home.
        public let target: String
        public let sharing: Sharing
        public let sharingReason: String
        /// See `CacheSettings.isAddOnly`.
        public let isAddOnly: Bool
        /// What finds or repairs the damage of a crash; nil where the tool has nothing, or needs none.
        public let check: Check?

        init(
            _ id: String, at target: String, _ sharing: Sharing, because reason: String, addOnly: Bool, check: Check? = nil
        ) {
            self.id = id
            self.target = target
            self.sharing = sharing
            sharingReason = reason
            isAddOnly = addOnly
            self.check = check
        }
    }

    /// A command that needs no network, run with the preset's variables by whoever holds the cache alone.
    public struct Check: Sendable, Hashable, Encodable {
        /// `arguments[0]` is looked for in PATH; where it is not, there is nothing to check with.
        public let arguments: [String]
        public let effect: String
    }

    public struct Variable: Sendable, Hashable, Encodable {
        public enum Rule: String, Sendable, Hashable, Encodable {
            /// Replaces what is set: the cache is where we say.
            case set
            /// A choice that the user may have made otherwise.
            case setIfUnset
            /// Goes behind what is set, after a space.
            case append
        }

        public let name: String
        public let value: String
        public let rule: Rule

        init(_ name: String, _ value: String, _ rule: Rule = .set) {
            self.name = name
            self.value = value
            self.rule = rule
        }
    }

    public struct File: Sendable, Hashable, Encodable {
        /// A file name without directory.
        public let name: String
        /// The environment variable that holds its path.
        public let variable: String
        /// `{ID}` as in variables; `{previous}` is the value that `variable` had. Lines that name it are left out where there was none.
        public let lines: [String]
    }

    init(
        _ name: String, _ summary: String, caches: [Cache], variables: [Variable], files: [File] = [], masks: [String] = [],
        notes: [String] = []
    ) {
        self.name = name
        self.summary = summary
        self.caches = caches
        self.variables = variables
        self.files = files
        self.masks = masks
        self.notes = notes
    }
}

extension Preset {
    /// Every preset, in the order of the alphabet.
    public static let all = (systemPackages + languagePackages + compilers).sorted { $0.name < $1.name }

    public static func named(_ name: String) -> Preset? { all.first { $0.name == name } }

    /// The preset that a cache id belongs to, and what it says about that cache. Where several have the cache, the one with
    /// fewest others.
    public static func owning(cache id: String) -> (preset: Preset, cache: Cache)? {
        let owners = all.compactMap { preset in preset.caches.first { $0.id == id }.map { (preset: preset, cache: $0) } }
        return owners.min { $0.preset.caches.count < $1.preset.caches.count }
    }
}

extension Preset.Cache {
    /// What a new cache of this kind is made with.
    public func settings(of preset: Preset) -> CacheSettings {
        var settings = CacheSettings()
        settings.preset = preset.name
        settings.sharing = sharing
        settings.isAddOnly = isAddOnly
        return settings
    }

    /// - Parameter home: an absolute path; HOME of whoever runs the command.
    public func target(home: String) -> String {
        guard target.hasPrefix("~/") else { return target }
        return (home.hasSuffix("/") ? String(home.dropLast()) : home) + target.dropFirst(1)
    }
}
