import Dispatch
import Glibc
import LinuxIO
import Synchronization

/// Keeping the store within its limits. Whoever writes looks after that, in the background; all processes share the account, and
/// one at a time makes room.
extension Store {
    /// After so long without one the store is scanned although nothing seems to be above a limit, in seconds.
    private static let scanInterval: Int64 = 900
    /// For how long nobody tries again after there was nothing left to go.
    private static let quietTime = Duration.seconds(30)
    /// Of a limit, what is left after something had to go.
    private static let slack = 0.9
    /// While somebody works at a layer, nothing of it may go: look again so soon.
    private static let leaseTime = Duration.seconds(2)
    /// What was used within this time stays, in nanoseconds, where its whole layer would have to come again: the index, and
    /// content of a layer that cannot be fetched in parts. Without it a reader and the limit would take turns for ever.
    private static let indexIdle: Int64 = 86_400_000_000_000
    private static let layerIdle: Int64 = 600_000_000_000

    public var limits: StoreLimits { keeper.state.withLock { $0.limits } }

    /// Sets the limits that this process keeps from now on. Looks at once, in the background.
    public func limit(by limits: StoreLimits) {
        keeper.state.withLock { state in
            state.limits = limits
            state.quietUntil = nil
        }
        checkSoon()
        beginTicking()
    }

    /// What this process has evicted.
    public var evictions: EvictionCounters { keeper.state.withLock { $0.counters } }

    /// What is kept, without looking at every file: right up to what other processes did in the last seconds. nil in a store that
    /// was never limited.
    public var accountedTotals: StoreTotals? { account.totals ?? account.peek()?.totals }

    /// Calls `observer` about once a minute and whenever files have gone, on a thread of its own. It must not wait for long.
    public func onUpkeep(_ observer: @escaping @Sendable (UpkeepEvent) -> Void) {
        keeper.state.withLock { $0.observers.append(observer) }
        beginTicking()
    }

    /// Frees at least `bytes` on the store's disk, now, by letting go of what was used longest ago; for whoever was told that
    /// the disk is full. Blocks: never on a FUSE thread.
    /// - Returns: false where not so much could go.
    public func makeRoom(for bytes: UInt64) throws(StoreError) -> Bool {
        try requireWritable()
        if let quiet = keeper.state.withLock({ $0.quietUntil }), quiet > .now { return freeSpace > bytes }
        let free = freeSpace
        let report = try withLock(StoreLayout.evictionLock, in: root) { () throws(StoreError) -> EvictionReport in
            // Another process may have made room while this one waited for the lock.
            if freeSpace > free && freeSpace - free >= bytes { return EvictionReport() }
            // A little more than is asked for, or the next writer stands here again.
            let contents = try contents()
            return try evict(contents, Excess(total: max(bytes, min(bytes + 64 << 20, contents.totals.all / 20))))
        }
        return report.freedBytes >= bytes || freeSpace >= bytes + free
    }

    /// Brings the store within its limits now, and waits for it.
    @discardableResult
    public func enforceLimits() throws(StoreError) -> EvictionReport {
        try requireWritable()
        return try withLock(StoreLayout.evictionLock, in: root) { () throws(StoreError) in
            let limits = limits
            guard !limits.isEmpty else { return EvictionReport() }
            let contents = try contents()
            let excess = excess(limits, contents.totals, slack: 1)
            guard !excess.isNone else { return EvictionReport() }
            return try evict(contents, self.excess(limits, contents.totals, slack: Self.slack))
        }
    }

    /// Whether so many bytes can come without anything having to go for them. For whoever fetches what nobody asked for yet.
    public func hasRoom(for bytes: UInt64) -> Bool {
        let limits = limits
        guard !limits.isEmpty else { return true }
        // As far as is known: a store that was never scanned is small or new.
        var totals = account.totals ?? StoreTotals()
        totals.content += bytes
        let disk = disk
        let free = UInt64(disk.f_bavail) &* UInt64(disk.f_frsize)
        return limits.excess(totals, diskSize: UInt64(disk.f_blocks) &* UInt64(disk.f_frsize), free: free - min(free, bytes)).isNone
    }

    /// Something of these sizes was published.
    func account(_ batch: some Sequence<(key: StoreKey, bytes: UInt64)>) {
        for (key, bytes) in batch { account.add(Int64(clamping: bytes), of: key.kind) }
        let limits = limits
        guard !limits.isEmpty else { return }
        // Without sums the first check makes them.
        if let totals = account.totals, excess(limits, totals, slack: 1).isNone { return }
        checkSoon()
    }

    func excess(_ limits: StoreLimits, _ totals: StoreTotals, slack: Double) -> Excess {
        let disk = disk
        return limits.excess(totals, diskSize: UInt64(disk.f_blocks) &* UInt64(disk.f_frsize), free: UInt64(disk.f_bavail) &* UInt64(disk.f_frsize), slack: slack)
    }

    // MARK: - In the background

    private func checkSoon() {
        if isReadOnly { return }
        let isNew = keeper.state.withLock { state in
            if state.isChecking || state.limits.isEmpty { return false }
            if let quiet = state.quietUntil, quiet > .now { return false }
            state.isChecking = true
            return true
        }
        if isNew { keeper.queue.async { [weak self] in self?.check() } }
    }

    private func check() {
        defer { keeper.state.withLock { $0.isChecking = false } }
        let limits = limits
        do throws(StoreError) {
            let record = try account.exchange()
            if let record, Int64(time(nil)) - record.scanned < Self.scanInterval, excess(limits, record.totals, slack: 1).isNone { return }
            try enforceLimits()
        } catch {
            keeper.state.withLock { $0.quietUntil = .now + Self.quietTime }
            log.error("the store could not be kept within its limits", metadata: ["reason": "\(error)"])
        }
    }

    private func beginTicking() {
        if isReadOnly { return }
        let isFirst = keeper.state.withLock { state in
            defer { state.isTicking = true }
            return !state.isTicking
        }
        if isFirst { tickLater() }
    }

    private func tickLater() {
        keeper.queue.asyncAfter(deadline: .now() + 60) { [weak self] in
            guard let self else { return }
            keeper.tell(.tick)
            lookForEvictions()
            checkSoon()
            tickLater()
        }
    }

    /// Tells of what other processes have evicted.
    private func lookForEvictions() {
        guard let record = account.peek() else { return }
        let isNew = keeper.state.withLock { state in
            defer { state.seenEvictions = record.evictions }
            return state.seenEvictions.map { $0 != record.evictions } ?? false
        }
        if isNew { keeper.tell(.evicted) }
    }

    // MARK: - The deed

    /// The caller holds the lock of eviction.
    private func evict(_ contents: StoreContents, _ excess: Excess) throws(StoreError) -> EvictionReport {
        let started = ContinuousClock.now
        let time = Self.nanoseconds
        let candidates = EvictionPlan(contents, now: time).candidates.filter { candidate in
            !candidate.takesLayer || candidate.reason == .unusable || candidate.lastUse < time &- (candidate.kind == .index ? Self.indexIdle : Self.layerIdle)
        }
        let report = try perform([(candidates, excess)], contents, dryRun: false)
        let text = "\(report.evicted.count) files"
        if !report.evicted.isEmpty {
            log.info("made room", metadata: ["freed": "\(report.freedBytes)", "of": "\(contents.totals.all)", "what": "\(text)", "took": "\(ContinuousClock.now - started)"])
        }
        if report.missingBytes > 0 && !contents.leased.isEmpty {
            keeper.state.withLock { $0.quietUntil = .now + Self.leaseTime }
            keeper.queue.asyncAfter(deadline: .now() + 2.1) { [weak self] in self?.checkSoon() }
        } else if report.missingBytes > 0 {
            keeper.state.withLock { $0.quietUntil = .now + Self.quietTime }
            log.warning(
                "the store is above its limits, and nothing more may go: what is left is open, pinned, leased, or documents and indexes",
                metadata: ["missing": "\(report.missingBytes)", "open": "\(report.openBytes)"])
        }
        return report
    }

    /// Goes through lists of candidates, each until enough has gone altogether, and keeps the accounts.
    func perform(
        _ rounds: [(candidates: [EvictionCandidate], excess: Excess?)], _ contents: StoreContents, dryRun: Bool
    ) throws(StoreError) -> EvictionReport {
        var eviction = Eviction(self, dryRun: dryRun)
        var failure: StoreError?
        do throws(StoreError) {
            for (candidates, excess) in rounds { try eviction.run(candidates, until: excess) }
        } catch {
            failure = error
        }
        if !dryRun && !eviction.report.evicted.isEmpty {
            for candidate in eviction.report.evicted { account.add(-Int64(clamping: candidate.allocatedBytes), of: candidate.kind) }
            // The account is no reason to fail: a scan sets it right.
            let record = try? account.exchange(evicted: true)
            keeper.state.withLock { state in
                state.seenEvictions = record?.evictions
                state.counters.runs += 1
                state.counters.files += UInt64(eviction.report.evicted.count)
                state.counters.bytes += eviction.report.freedBytes
            }
            keeper.tell(.evicted)
        }
        if let failure { throw failure }
        var report = eviction.report
        report.before = contents.totals
        report.images = contents.images
        return report
    }
}
