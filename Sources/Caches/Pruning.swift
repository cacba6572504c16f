import Glibc
import LinuxIO

/// What is to be thrown away.
public struct PruneRule: Sendable, Hashable {
    /// Files that were neither read nor written for so long.
    public var maxIdle: Duration?
    /// The files unused longest, until no more than this is allocated.
    public var maxSizeBytes: UInt64?

    public init(maxIdle: Duration? = nil, maxSizeBytes: UInt64? = nil) {
        self.maxIdle = maxIdle
        self.maxSizeBytes = maxSizeBytes
    }

    public init(_ policy: CachePolicy) {
        self.init(maxIdle: policy.maxIdleSeconds.map { .seconds(Int64(clamping: $0)) }, maxSizeBytes: policy.maxSizeBytes)
    }
}

/// What was, or with a dry run would be, thrown away.
public struct PruneReport: Sendable, Equatable {
    public struct File: Sendable, Equatable {
        public let instance: Int
        /// From the instance's root, without a leading slash; any bytes but NUL.
        public let path: [UInt8]
        /// What its going frees: nothing while the file has another name.
        public let allocatedBytes: UInt64
        public let lastUse: Moment
    }

    public enum Skip: Sendable, Equatable {
        case pinned
        /// Somebody uses it, or waits for it.
        case inUse([LeaseRecord])
    }

    public let cache: CacheName
    /// Why nothing was done; nil where something could be.
    public var skipped: Skip?
    /// In the order of removal: unused longest first.
    public var removed: [File] = []
    /// Whether the whole cache was removed.
    public var isWhole = false
    public var freedBytes: UInt64 = 0
    public var keptBytes: UInt64 = 0
}

extension CacheLibrary {
    /// Throws files of one cache away by `rule`, or by the cache's own policy. Never while anybody else holds an instance of it; what
    /// has several names goes when all its names in the cache are old enough, since only that frees anything.
    ///
    /// - Throws: `missing`, `system`.
    public func prune(_ name: CacheName, by rule: PruneRule? = nil, dryRun: Bool = false, now: Moment = .now) throws(CacheError) -> PruneReport {
        var report = PruneReport(cache: name)
        let place = try place(of: name)
        let policy = try place.definition().settings.policy
        if policy.isPinned {
            report.skipped = .pinned
            return report
        }
        let candidates = try withWholeCache(place, changing: !dryRun, &report) { () throws(CacheError) -> PruneSelection in
            let selection = try PruneSelection(place, rule ?? PruneRule(policy), now)
            if !dryRun { try selection.remove() }
            return selection
        }
        if let candidates {
            report.removed = candidates.files
            report.freedBytes = candidates.freedBytes
            report.keptBytes = candidates.totalBytes - candidates.freedBytes
        }
        return report
    }

    /// Removes the whole cache where it was last used `maxIdle` ago or earlier (nil: whenever that was).
    /// - Returns: nil where it was used since.
    public func pruneWhole(_ name: CacheName, maxIdle: Duration? = nil, dryRun: Bool = false, now: Moment = .now) throws(CacheError) -> PruneReport? {
        var report = PruneReport(cache: name)
        let place = try place(of: name)
        let definition = try place.definition()
        if let maxIdle, (try lastUse(of: name) ?? definition.created).duration(until: now) < maxIdle { return nil }
        if definition.settings.policy.isPinned {
            report.skipped = .pinned
            return report
        }
        let before = try withWholeCache(place, changing: false, &report) { () throws(CacheError) -> TreeSize in try self.size(of: name) }
        guard let before else { return report }
        do throws(CacheError) {
            if !dryRun { try remove(name) }
        } catch {
            guard case .inUse(_, let holders) = error else { throw error }
            report.skipped = .inUse(holders)
            return report
        }
        report.isWhole = true
        report.freedBytes = before.allocatedBytes
        return report
    }

    /// nil, said in the report, where somebody uses the cache.
    private func withWholeCache<Value>(
        _ place: CachePlace, changing: Bool, _ report: inout PruneReport, _ body: () throws(CacheError) -> Value
    ) throws(CacheError) -> Value? {
        let whole: WholeCache
        do throws(CacheError) {
            whole = try WholeCache(place, changingFor: changing ? self : nil)
        } catch {
            guard case .inUse(_, let holders) = error else { throw error }
            report.skipped = .inUse(holders)
            return nil
        }
        let result = Result { () throws(CacheError) in try body() }
        try whole.release()
        return try result.get()
    }
}
