import Caches

/// What `larder cache ls|inspect|du --json` say about a cache.
struct CacheDocument: Encodable {
    struct Size: Encodable {
        let allocatedBytes: UInt64
        let apparentBytes: UInt64
        let files: UInt64
        let directories: UInt64

        init(_ size: TreeSize) {
            allocatedBytes = size.allocatedBytes
            apparentBytes = size.apparentBytes
            files = size.files
            directories = size.directories
        }
    }

    struct Instance: Encodable {
        let number: Int
        let path: String
        let lastUse: Moment?
        let size: Size?
        let unclean: UncleanMark?
    }

    let id: String
    /// The name below `caches/` in a mount.
    let encoded: String
    let created: Moment
    let preset: String?
    let sharing: Sharing
    let addOnly: Bool
    let maxSizeBytes: UInt64?
    let maxIdleSeconds: UInt64?
    let pinned: Bool
    let ownerView: CacheOwner?
    let lastUse: Moment?
    /// All instances together; what they share counts once.
    let size: Size?
    let instances: [Instance]
    let holders: [LeaseRecord]
    let policy: String

    /// - Parameter sizes: whether to walk through all files.
    init(_ name: CacheName, _ library: CacheLibrary, sizes: Bool) throws(CacheError) {
        let definition = try library.definition(of: name)
        let settings = definition.settings
        id = name.text
        encoded = name.encoded
        created = definition.created
        preset = settings.preset
        sharing = settings.sharing
        addOnly = settings.isAddOnly
        maxSizeBytes = settings.policy.maxSizeBytes
        maxIdleSeconds = settings.policy.maxIdleSeconds
        pinned = settings.policy.isPinned
        ownerView = settings.policy.ownerView
        policy = settings.summary
        lastUse = try library.lastUse(of: name)
        holders = try library.leases(on: name)
        size = sizes ? Size(try library.size(of: name)) : nil
        var instances: [Instance] = []
        for instance in try library.instances(of: name) {
            let size = sizes ? Size(try library.size(of: name, instance: instance.number)) : nil
            instances.append(Instance(number: instance.number, path: instance.path, lastUse: instance.lastUse, size: size, unclean: instance.unclean))
        }
        self.instances = instances
    }
}
