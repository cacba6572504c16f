/// The names on disk below the store's `caches/`:
///
///     NAME/                    one cache; NAME is `CacheName.encoded`
///       cache.json             what it is (`CacheDefinition`)
///       instances/0/           the main instance, a real directory: nothing of ours is ever in it
///       instances/N/           further ones, of private users that overlap
///       fresh/TOKEN/           the directory of a run that asked for an empty one; goes with its lease
///       locks/book             next ticket and epoch (`CacheBook`); locked for a few microseconds
///       locks/queue            byte N is locked by whoever has ticket N and waits
///       locks/N                locked, shared or exclusive, by whoever holds instance N; its mtime is the last use
///       holders/TOKEN.json     who holds what (`LeaseRecord`), locked by its writer: an unlocked one is of the dead
///       holders/TOKEN.resting  the record of one who changed something a moment ago and holds nothing now (`Lease.rest`)
///       unmerged/N             a private user of instance N may have added something that main does not have
///       unclean/N.json         the record of the first holder that died with instance N
///
/// A lock file is never unlinked while the cache lives: one process could lock the old file and another a new one.
enum CacheLayout {
    static let definition = "cache.json"
    static let instances = "instances"
    static let fresh = "fresh"
    static let locks = "locks"
    static let holders = "holders"
    static let unclean = "unclean"
    static let unmerged = "unmerged"
    static let directories = [instances, fresh, locks, holders, unclean, unmerged]

    static let book = "locks/book"
    static let queue = "locks/queue"
    static let main = 0

    static func instance(_ number: Int) -> String { "\(instances)/\(number)" }
    static func fresh(_ token: String) -> String { "\(fresh)/\(token)" }
    static func lock(_ number: Int) -> String { "\(locks)/\(number)" }
    static func holder(_ token: String) -> String { "\(holders)/\(recordNames(token).held)" }
    static func resting(_ token: String) -> String { "\(holders)/\(recordNames(token).resting)" }
    static func recordNames(_ token: String) -> (held: String, resting: String) { (token + recordSuffix, token + restingSuffix) }
    static func unclean(_ number: Int) -> String { "\(unclean)/\(number).json" }
    static func unmerged(_ number: Int) -> String { "\(unmerged)/\(number)" }
    static let recordSuffix = ".json"
    static let restingSuffix = ".resting"

    /// Sizes of what is read whole, in bytes.
    static let definitionLimit = 1 << 20
    static let recordLimit = 64 << 10
    /// Instances of one cache; more at once is a mistake somewhere.
    static let instanceLimit = 10_000
}
