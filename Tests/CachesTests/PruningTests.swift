import Caches
import Glibc
import LinuxIO
import Testing
import TestSupport

@Suite struct PruningTests {
    static let now = Moment(milliseconds: 1_800_000_000_000)

    /// A file of `pages` pages of content, last used `age` seconds ago.
    static func file(_ name: String, pages: Int, age: Int, readAge: Int? = nil, in directory: Directory) throws {
        if let slash = name.lastIndex(of: "/") { try directory.makeDirectories(String(name[..<slash])) }
        let file = try directory.open(name, O_WRONLY | O_CREAT)
        try file.write([UInt8](repeating: 1, count: pages * 4096))
        let seconds = Int(now.milliseconds / 1000)
        futimens(file.raw, [timespec(tv_sec: seconds - (readAge ?? age), tv_nsec: 0), timespec(tv_sec: seconds - age, tv_nsec: 0)])
    }

    private func names(_ report: PruneReport) -> [String] { report.removed.map { String(decoding: $0.path, as: UTF8.self) } }

    @Test func filesGoByAgeOfTheirLastUse() throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let main = try scratch.library.mainDirectory(of: npm)
        try Self.file("old", pages: 1, age: 1000, in: main)
        try Self.file("a/b/older", pages: 2, age: 2000, in: main)
        try Self.file("a/young", pages: 3, age: 10, in: main)
        try Self.file("written long ago, read lately", pages: 4, age: 5000, readAge: 5, in: main)
        try Self.file("exactly", pages: 1, age: 500, in: main)
        let rule = PruneRule(maxIdle: .seconds(500))
        let plan = try scratch.library.prune(npm, by: rule, dryRun: true, now: Self.now)
        #expect(names(plan) == ["a/b/older", "old"])
        #expect(plan.freedBytes == 3 * 4096)
        #expect(try main.list() == ["a", "exactly", "old", "written long ago, read lately"])
        let size = try scratch.library.size(of: npm)
        #expect(plan.freedBytes + plan.keptBytes == size.allocatedBytes)

        #expect(try scratch.library.prune(npm, by: rule, now: Self.now) == plan)
        #expect(try main.list() == ["a", "exactly", "written long ago, read lately"])
        #expect(try main.directory("a").list() == ["young"], "the directory that became empty has gone")
        #expect(try names(scratch.library.prune(npm, by: rule, now: Self.now)) == [])
    }

    @Test func theOldestGoUntilTheRestFits() throws {
        var random = SeededGenerator.named("theOldestGoUntilTheRestFits")
        for _ in 0..<10 {
            let scratch = try ScratchCaches()
            let npm = try scratch.cache()
            let main = try scratch.library.mainDirectory(of: npm)
            var ages: [String: Int] = [:]
            for number in 0..<30 {
                let name = "d\(number % 4)/\(number)"
                ages[name] = Int.random(in: 1...100_000, using: &random)
                try Self.file(name, pages: Int.random(in: 1...9, using: &random), age: ages[name]!, in: main)
            }
            let before = try scratch.library.size(of: npm).allocatedBytes
            let limit = UInt64.random(in: 0...(before + 4096), using: &random)
            let report = try scratch.library.prune(npm, by: PruneRule(maxSizeBytes: limit), now: Self.now)
            let removed = names(report)
            #expect(removed == ages.sorted { $0.value > $1.value }.prefix(removed.count).map(\.key))
            let after = try scratch.library.size(of: npm).allocatedBytes
            #expect(before - after >= report.freedBytes, "directories may have gone too")
            #expect(report.keptBytes == before - report.freedBytes)
            #expect(removed.count == 30 || report.keptBytes <= limit)
            if let last = report.removed.last { #expect(report.keptBytes + last.allocatedBytes > limit, "not one more than needed") }
        }
    }

    @Test func aFileWithSeveralNamesGoesWithAllOfThemOrFreesNothing() throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let main = try scratch.library.mainDirectory(of: npm)
        try Self.file("x", pages: 5, age: 1000, in: main)
        try main.link("x", to: "y")
        try Self.file("kept elsewhere", pages: 5, age: 900, in: main)
        #expect(Glibc.link(main.path + "/kept elsewhere", scratch.base.path + "/elsewhere") == 0)
        try Self.file("young", pages: 5, age: 1, in: main)
        let all = try scratch.library.size(of: npm).allocatedBytes
        let report = try scratch.library.prune(npm, by: PruneRule(maxSizeBytes: all - 1), dryRun: true, now: Self.now)
        #expect(names(report) == ["x", "y"] && report.freedBytes == 5 * 4096)
        #expect(report.removed.map(\.allocatedBytes) == [0, 5 * 4096])
        let byAge = try scratch.library.prune(npm, by: PruneRule(maxIdle: .seconds(500)), now: Self.now)
        #expect(names(byAge) == ["x", "y", "kept elsewhere"] && byAge.freedBytes == 5 * 4096)
        #expect(try main.list() == ["young"])
    }

    @Test func theCachesOwnPolicyIsTheRule() throws {
        let scratch = try ScratchCaches()
        var settings = CacheSettings()
        settings.policy.maxIdleSeconds = 500
        let npm = try scratch.cache("npm", settings)
        let main = try scratch.library.mainDirectory(of: npm)
        try Self.file("old", pages: 1, age: 1000, in: main)
        #expect(try names(scratch.library.prune(npm, now: Self.now)) == ["old"])
        let free = try scratch.cache("free")
        try Self.file("old", pages: 1, age: 1000, in: try scratch.library.mainDirectory(of: free))
        #expect(try names(scratch.library.prune(free, now: Self.now)) == [])
    }

    @Test(arguments: ["shared", "locked", "private", "shared+ro"])
    func nothingInUseIsPruned(sharing: String) throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let main = try scratch.library.mainDirectory(of: npm)
        try Self.file("old", pages: 1, age: 1000, in: main)
        let holder = try scratch.contender("hold", "npm", sharing)
        try holder.line("held")
        for dryRun in [true, false] {
            let report = try scratch.library.prune(npm, by: PruneRule(maxIdle: .zero), dryRun: dryRun, now: Self.now)
            guard case .inUse(let holders) = report.skipped else {
                Issue.record("\(report)")
                continue
            }
            #expect(holders.map(\.pid) == [holder.process.pid] && report.removed == [])
            let whole = try scratch.library.pruneWhole(npm, dryRun: dryRun)
            #expect(whole?.skipped == .inUse(holders) && whole?.isWhole == false)
        }
        #expect(try main.list() == ["old"])
        try holder.release()
        #expect(try names(scratch.library.prune(npm, by: PruneRule(maxIdle: .zero), now: Self.now)) == ["old"])
        #expect(try scratch.lease(npm).unclean == nil)
    }

    @Test func whatIsPinnedStays() throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        try Self.file("old", pages: 1, age: 1000, in: try scratch.library.mainDirectory(of: npm))
        try scratch.library.update(npm) { $0.policy.isPinned = true }
        #expect(try scratch.library.prune(npm, by: PruneRule(maxIdle: .zero, maxSizeBytes: 0), now: Self.now).skipped == .pinned)
        #expect(try scratch.library.pruneWhole(npm)?.skipped == .pinned)
        #expect(try scratch.library.mainDirectory(of: npm).list() == ["old"])
    }

    @Test func aWholeCacheGoesByItsLastUse() throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        try scratch.lease(npm).release()
        let later = Moment(milliseconds: Moment.now.milliseconds + 3_600_000)
        #expect(try scratch.library.pruneWhole(npm, maxIdle: .seconds(7200), now: later) == nil)
        #expect(try scratch.library.pruneWhole(npm, maxIdle: .seconds(1800), dryRun: true, now: later)?.isWhole == true)
        #expect(scratch.library.exists(npm))
        #expect(try scratch.library.pruneWhole(npm, maxIdle: .seconds(1800), now: later)?.isWhole == true)
        #expect(!scratch.library.exists(npm))
        let unused = try scratch.cache("unused")
        #expect(try scratch.library.pruneWhole(unused, maxIdle: .seconds(1800)) == nil, "counted from its making")
    }
}
