import LinuxIO
import Store

/// Why a cache cannot be used as asked. Every text names the cache and what to do.
public enum CacheError: Error, Sendable, Equatable {
    case badName(String)
    case missing(CacheName)
    case exists(CacheName)
    /// Somebody holds it: it is not removed, pruned or recovered under them.
    case inUse(CacheName, [LeaseRecord])
    /// `holders` is who was in the way at the end.
    case timedOut(CacheName, waited: Duration, holders: [LeaseRecord])
    /// The task was cancelled; whatever had been taken is released.
    case cancelled
    /// The lease was released before.
    case released(CacheName)
    case unknownLease(String)
    case damaged(path: String, reason: String)
    case store(StoreError)
    case system(SystemError)
}

extension CacheError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .badName(let text): "'\(text.prefix(100))' cannot be the name of a cache: 1 to \(CacheName.limit) bytes without NUL"
        case .missing(let name): "there is no cache '\(name)'; `larder cache ls` shows those there are"
        case .exists(let name): "there is a cache '\(name)' already"
        case .inUse(let name, let holders): "cache '\(name)' is in use\(LeaseRecord.list(holders))"
        case .timedOut(let name, let waited, let holders):
            "cache '\(name)' did not become free within \(waited.formattedBriefly)\(LeaseRecord.list(holders))"
        case .cancelled: "cancelled while waiting for a cache"
        case .released(let name): "the lease on cache '\(name)' has ended"
        case .unknownLease(let token): "there is no lease '\(token.prefix(40))'; `larder lease ls` shows those there are"
        case .damaged(let path, let reason): "\(path) is damaged: \(reason)"
        case .store(let error): error.description
        case .system(let error): error.description
        }
    }
}

/// Runs `body`; what the kernel refuses becomes a `CacheError`.
func inCache<Value: ~Copyable>(_ body: () throws(SystemError) -> Value) throws(CacheError) -> Value {
    do throws(SystemError) {
        return try body()
    } catch {
        throw .system(error)
    }
}

/// Runs `body`; what the store refuses becomes a `CacheError`.
func inStore<Value: ~Copyable>(_ body: () throws(StoreError) -> Value) throws(CacheError) -> Value {
    do throws(StoreError) {
        return try body()
    } catch {
        if case .system(let error) = error { throw .system(error) }
        throw .store(error)
    }
}

extension Duration {
    /// `90 s`, `2.5 s`, `20 ms`.
    var formattedBriefly: String {
        let milliseconds = components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000
        if milliseconds < 1000 { return "\(milliseconds) ms" }
        if milliseconds % 1000 == 0 || milliseconds >= 10_000 { return "\(milliseconds / 1000) s" }
        return "\(milliseconds / 1000).\(milliseconds % 1000 / 100) s"
    }
}
