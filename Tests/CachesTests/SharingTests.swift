import Caches
import Glibc
import LinuxIO
import Testing

/// The sharing table, cell by cell, against a holder in this process and against one in another.
@Suite struct SharingTests {
    @Test func theNamesAreBuildKits() {
        #expect(Sharing.allCases.map(\.rawValue) == ["shared", "private", "locked"])
    }

    enum Holding: String, CaseIterable, CustomTestStringConvertible {
        case nobody, shared, readOnly = "shared+ro", locked, privately = "private"
        var testDescription: String { rawValue }
        var isExclusive: Bool { self == .locked || self == .privately }
    }

    enum Asking: String, CaseIterable, CustomTestStringConvertible {
        case shared, locked, privately = "private", sharedReadOnly = "shared+ro", lockedReadOnly = "locked+ro", privateReadOnly = "private+ro"
        var testDescription: String { rawValue }
        var sharing: Sharing { Sharing(rawValue: String(rawValue.split(separator: "+")[0]))! }
        var isReadOnly: Bool { rawValue.hasSuffix("+ro") }
    }

    /// The instance that is had at once; nil waits.
    static func expected(_ asking: Asking, beside holding: Holding) -> Int? {
        switch asking {
        case .shared, .sharedReadOnly, .lockedReadOnly, .privateReadOnly: holding.isExclusive ? nil : 0
        case .locked: holding == .nobody ? 0 : nil
        case .privately: holding == .nobody ? 0 : 1
        }
    }

    @Test(arguments: Holding.allCases, Asking.allCases)
    func everyCellHoldsBetweenProcesses(holding: Holding, asking: Asking) throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let holder = holding == .nobody ? nil : try scratch.contender("hold", "npm", holding.rawValue)
        try holder?.line("held 0")
        try check(scratch, npm, holding, asking)
        try holder?.release()
        #expect(try scratch.library.instances(of: npm).allSatisfy { $0.unclean == nil })
    }

    @Test(arguments: Holding.allCases, Asking.allCases)
    func everyCellHoldsWithinAProcess(holding: Holding, asking: Asking) throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let how = Asking(rawValue: holding.rawValue)
        let holder = try how.map { try scratch.lease(npm, $0.sharing, readOnly: $0.isReadOnly) }
        try check(scratch, npm, holding, asking)
        try holder?.release()
    }

    private func check(_ scratch: ScratchCaches, _ npm: CacheName, _ holding: Holding, _ asking: Asking) throws {
        if let instance = Self.expected(asking, beside: holding) {
            let lease = try scratch.lease(npm, asking.sharing, readOnly: asking.isReadOnly)
            #expect(lease.record.instance == instance)
            #expect(lease.isReadOnly == asking.isReadOnly)
            try lease.release()
        } else {
            let error = failure { try scratch.lease(npm, asking.sharing, readOnly: asking.isReadOnly) }
            guard case .timedOut(npm, _, let holders) = error else {
                Issue.record("\(String(describing: error))")
                return
            }
            #expect(holders.count == 1 && holders[0].instance == 0)
        }
        // Whoever gave up has left no place in the queue behind.
        if !holding.isExclusive { try scratch.lease(npm, .shared).release() }
    }

    /// The row that is about waiters: later `shared` requests queue behind a waiting `locked` one.
    @Test func sharedQueuesBehindAWaitingLocked() throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let reader = try scratch.contender("hold", "npm", "shared")
        try reader.line("held 0")
        let writer = try scratch.contender("hold", "npm", "locked")
        #expect(try writer.line("waiting") == "contender hold")
        let late = try scratch.contender("hold", "npm", "shared")
        try late.line("waiting")
        // Private jumps no queue: main is not free.
        let alone = try scratch.lease(npm, .private)
        #expect(alone.record.instance == 1)
        try alone.release()
        try reader.release()
        try writer.line("held 0")
        #expect(!late.process.log.contains("held"))
        try writer.release()
        try late.line("held 0")
        try late.release()
    }

    @Test func readersQueueBehindAWaitingLockedToo() throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let reader = try scratch.lease(npm, .shared)
        let writer = try scratch.contender("hold", "npm", "locked")
        try writer.line("waiting")
        for readOnly in [true, false] { #expect(failure { try scratch.lease(npm, .shared, readOnly: readOnly) } != nil) }
        writer.kill()
        try scratch.lease(npm, .shared, readOnly: true).release()
        try reader.release()
    }

    @Test func aMessageSaysWhoHoldsItSinceWhen() throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let holder = try scratch.contender("hold", "npm", "locked")
        try holder.line("held")
        let text = try #require(failure { try scratch.lease(npm, .shared) }).description
        #expect(text.hasPrefix("cache 'npm' did not become free within 0 ms, held by contender hold (process \(holder.process.pid) of uid "))
        #expect(text.contains(" since "))
    }

    /// What containers are made of: another view of the files, other numbers for processes, another name of the host.
    @Test(.enabled(if: geteuid() == 0 || getenv("CI") != nil, "only root makes namespaces everywhere"), arguments: Asking.allCases)
    func locksHoldAcrossNamespaces(asking: Asking) throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let holder = try scratch.contender("hold", "npm", "locked", within: ["unshare", "--mount", "--propagation", "slave", "--uts", "--ipc", "--"])
        try holder.line("held 0")
        try check(scratch, npm, .locked, asking)
        try holder.release()
        let numbered = try scratch.contender("hold", "npm", "shared", within: ["unshare", "--mount", "--propagation", "slave", "--pid", "--fork", "--kill-child", "--"])
        try numbered.line("held 0")
        let record = try #require(try scratch.library.leases().first)
        #expect(record.pid == 1, "its number in its own namespace")
        // Only asked, never tried: a mistake would send signals to this machine's process 1.
        #expect(!scratch.library.canEnd(record), "process 1 here is another")
        try check(scratch, npm, .shared, asking)
        numbered.kill()
        let lease = try scratch.lease(npm, .locked, timeout: .seconds(60))
        #expect(lease.unclean?.holder == record)
        try lease.release()
    }
}
