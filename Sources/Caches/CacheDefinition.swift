/// What a cache is: the file `cache.json`.
public struct CacheDefinition: Sendable, Equatable {
    public let name: CacheName
    public let created: Moment
    public var settings: CacheSettings

    public init(name: CacheName, created: Moment = .now, settings: CacheSettings) {
        self.name = name
        self.created = created
        self.settings = settings
    }
}

/// What can be chosen about a cache.
public struct CacheSettings: Sendable, Hashable {
    /// The name of the preset that made it.
    public var preset: String?
    /// How whoever does not say stands beside others.
    public var sharing = Sharing.shared
    /// Files are added and removed but not changed under their names (content-addressed): what private users add is brought
    /// into the main instance.
    public var isAddOnly = false
    public var policy = CachePolicy()
    /// Owner and permission bits of an instance's root directory; nil is the user who makes it (root: 0:0).
    public var owner: CacheOwner?
    public var mode: UInt32 = 0o755

    public init() {}
}

public struct CacheOwner: Sendable, Hashable, Codable {
    public var uid: UInt32
    public var gid: UInt32

    public init(uid: UInt32, gid: UInt32) {
        self.uid = uid
        self.gid = gid
    }
}

/// What may be thrown away, and how the cache looks to others.
public struct CachePolicy: Sendable, Hashable {
    /// Pruning removes the files that were unused longest until no more than this is allocated.
    public var maxSizeBytes: UInt64?
    /// Pruning removes files that were neither read nor written for so long.
    public var maxIdleSeconds: UInt64?
    /// Pruning leaves the whole cache alone.
    public var isPinned = false
    /// The owner whom users shall see; nil is the one on disk. An id-mapped mount shows it (`larder run`, mount(8)).
    public var ownerView: CacheOwner?

    public init() {}
}

// MARK: the file

/// Keys that this program does not know are errors: whoever wrote them meant something by them.
private func refuseUnknownKeys<Key: CodingKey & CaseIterable>(_: Key.Type, _ decoder: any Decoder) throws {
    let known = Set(Key.allCases.map(\.stringValue))
    for key in try decoder.container(keyedBy: AnyKey.self).allKeys where !known.contains(key.stringValue) {
        throw DecodingError.dataCorrupted(.init(codingPath: decoder.codingPath, debugDescription: "unknown key '\(key.stringValue.prefix(60))'"))
    }
}

private struct AnyKey: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }
    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
}

extension CacheDefinition: Codable {
    private enum Key: String, CodingKey, CaseIterable {
        case id, created, preset, sharing, addOnly, policy, owner, mode
    }

    public init(from decoder: any Decoder) throws {
        try refuseUnknownKeys(Key.self, decoder)
        let values = try decoder.container(keyedBy: Key.self)
        name = try values.decode(CacheName.self, forKey: .id)
        created = try values.decode(Moment.self, forKey: .created)
        settings = CacheSettings()
        settings.preset = try values.decodeIfPresent(String.self, forKey: .preset)
        settings.sharing = try values.decode(Sharing.self, forKey: .sharing)
        settings.isAddOnly = try values.decodeIfPresent(Bool.self, forKey: .addOnly) ?? false
        settings.policy = try values.decodeIfPresent(CachePolicy.self, forKey: .policy) ?? CachePolicy()
        settings.owner = try values.decodeIfPresent(CacheOwner.self, forKey: .owner)
        guard let mode = UInt32(try values.decode(String.self, forKey: .mode), radix: 8), mode <= 0o7777 else {
            throw DecodingError.dataCorruptedError(forKey: .mode, in: values, debugDescription: "no permission bits like 0755")
        }
        settings.mode = mode
    }

    public func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: Key.self)
        try values.encode(name, forKey: .id)
        try values.encode(created, forKey: .created)
        try values.encodeIfPresent(settings.preset, forKey: .preset)
        try values.encode(settings.sharing, forKey: .sharing)
        if settings.isAddOnly { try values.encode(true, forKey: .addOnly) }
        if settings.policy != CachePolicy() { try values.encode(settings.policy, forKey: .policy) }
        try values.encodeIfPresent(settings.owner, forKey: .owner)
        let mode = String(settings.mode, radix: 8)
        try values.encode(String(repeating: "0", count: max(0, 4 - mode.utf8.count)) + mode, forKey: .mode)
    }
}

extension CachePolicy: Codable {
    private enum Key: String, CodingKey, CaseIterable {
        case maxSizeBytes, maxIdleSeconds, pin, ownerView
    }

    public init(from decoder: any Decoder) throws {
        try refuseUnknownKeys(Key.self, decoder)
        let values = try decoder.container(keyedBy: Key.self)
        maxSizeBytes = try values.decodeIfPresent(UInt64.self, forKey: .maxSizeBytes)
        maxIdleSeconds = try values.decodeIfPresent(UInt64.self, forKey: .maxIdleSeconds)
        isPinned = try values.decodeIfPresent(Bool.self, forKey: .pin) ?? false
        ownerView = try values.decodeIfPresent(CacheOwner.self, forKey: .ownerView)
    }

    public func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: Key.self)
        try values.encodeIfPresent(maxSizeBytes, forKey: .maxSizeBytes)
        try values.encodeIfPresent(maxIdleSeconds, forKey: .maxIdleSeconds)
        if isPinned { try values.encode(true, forKey: .pin) }
        try values.encodeIfPresent(ownerView, forKey: .ownerView)
    }
}
