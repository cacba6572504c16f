import Caches

/// One `larder cache prune`: what goes, of which caches, in which order.
struct PruneRun {
    let library: CacheLibrary
    /// What was used within this time stays.
    let keep: Duration?
    let dryRun: Bool

    /// File by file: by time where that is said, else by each cache's policy.
    func files(_ names: [CacheName]) throws -> [PruneReport] {
        try each(names) { try library.prune($0, by: keep.map { PruneRule(maxIdle: $0) }, dryRun: dryRun) }
    }

    func whole(_ names: [CacheName]) throws -> [PruneReport] {
        try each(names) { try library.pruneWhole($0, maxIdle: keep, dryRun: dryRun) }
    }

    /// Until the caches take `limit` together and `free` is free on the disk: the cache unused longest first, all of it where
    /// that does not suffice, else its files unused longest.
    func down(_ names: [CacheName], to limit: UInt64?, free: UInt64?) throws -> [PruneReport] {
        var sizes: [(name: CacheName, size: UInt64, lastUse: Moment)] = []
        for name in names {
            do throws(CacheError) {
                let created = try library.definition(of: name).created
                let lastUse = try library.lastUse(of: name) ?? created
                sizes.append((name, try library.size(of: name).allocatedBytes, lastUse))
            } catch {
                guard case .missing = error else { throw error }
            }
        }
        let total = sizes.reduce(0) { $0 + $1.size }
        let tooMuch = limit.map { total > $0 ? total - $0 : 0 } ?? 0
        let tooFull = free.map { $0 > library.store.freeSpace ? $0 - library.store.freeSpace : 0 } ?? 0
        var excess = max(tooMuch, tooFull)
        var reports: [PruneReport] = []
        for (name, size, lastUse) in sizes.sorted(by: { $0.lastUse < $1.lastUse }) where excess > 0 {
            if let keep, lastUse.duration(until: .now) < keep { continue }
            let report =
                if size <= excess {
                    try library.pruneWhole(name, dryRun: dryRun)
                } else {
                    try library.prune(name, by: PruneRule(maxSizeBytes: size - excess), dryRun: dryRun) as PruneReport?
                }
            guard let report else { continue }
            reports.append(report)
            excess -= min(excess, report.freedBytes)
        }
        return reports
    }

    /// One that goes meanwhile is passed over.
    private func each(_ names: [CacheName], _ body: (CacheName) throws -> PruneReport?) throws -> [PruneReport] {
        try names.compactMap { name in
            do {
                return try body(name)
            } catch CacheError.missing(let gone) where gone == name {
                return nil
            }
        }
    }
}

extension CacheFilter.Subject {
    init(_ name: CacheName, _ library: CacheLibrary) throws(CacheError) {
        let definition = try library.definition(of: name)
        let instances = try library.instances(of: name)
        let lastUse = try library.lastUse(of: name) ?? definition.created
        self.init(
            name: name, settings: definition.settings, isInUse: try !library.leases(on: name).isEmpty,
            isUnclean: instances.contains { $0.unclean != nil }, idle: lastUse.duration(until: .now))
    }
}
