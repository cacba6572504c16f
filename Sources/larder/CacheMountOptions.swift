import ArgumentParser
import Caches

/// `larder mount cache:ID DIR`: what can be said about the mount of one cache.
struct CacheMountOptions: ParsableArguments {
    @Option(name: .long, help: "How to stand beside others that use the cache: shared, private or locked (default: the cache's own way).", completion: CacheCompletion.sharing)
    var sharing: Sharing?

    @Option(name: .long, help: "Show the cache's files as this user's (default: the cache's owner view).")
    var uid: UInt32?

    @Option(name: .long, help: "Show the cache's files as this group's.")
    var gid: UInt32?

    @OptionGroup var lock: LockOptions

    /// Whether anything was said that means a cache alone.
    var isUsed: Bool { sharing != nil || uid != nil || gid != nil || lock.lockTimeout != nil }

    /// The cache that SOURCE names; nil where it names something else.
    static func name(_ source: String) throws -> CacheName? {
        guard source.hasPrefix("cache:") else { return nil }
        let text = String(source.dropFirst(6))
        guard let name = CacheName(text) else { throw CacheError.badName(text) }
        return name
    }
}
