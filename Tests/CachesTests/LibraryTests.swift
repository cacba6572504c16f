import Caches
import Glibc
import LinuxIO
import Store
import Testing
import TestSupport

/// What caches there are, and what they say about themselves.
@Suite struct LibraryTests {
    @Test func aCacheIsThereWithItsSettingsOrNotAtAll() throws {
        let scratch = try ScratchCaches()
        #expect(try scratch.library.names() == [])
        var settings = CacheSettings()
        settings.preset = "pip"
        settings.sharing = .locked
        settings.isAddOnly = true
        settings.mode = 0o1777
        settings.owner = CacheOwner(uid: geteuid(), gid: getegid())
        settings.policy.maxSizeBytes = 5 << 30
        settings.policy.maxIdleSeconds = 86400
        settings.policy.isPinned = true
        settings.policy.ownerView = CacheOwner(uid: 1000, gid: 1000)
        let pip = try scratch.cache("/root/.cache/pip", settings)
        try scratch.cache("npm")
        let long = try scratch.cache(String(repeating: "/very/long", count: 100))
        #expect(try Set(scratch.library.names()) == [pip, #require(CacheName("npm")), long])
        let definition = try scratch.library.definition(of: pip)
        #expect(definition.settings == settings && definition.name == pip)
        #expect(try scratch.library.name(encoded: Array(long.encoded.utf8)) == long)
        #expect(try scratch.library.name(encoded: Array("%2Froot%2F.cache%2Fpip".utf8)) == pip)
        #expect(try scratch.library.name(encoded: Array("absent".utf8)) == nil)
        #expect(try scratch.library.mainDirectory(of: pip).descriptor.status().st_mode & 0o7777 == 0o1777)
        #expect(failure { try scratch.library.create(pip) } == .exists(pip))
    }

    @Test func manyWhoMakeTheSameCacheHaveTheSame() async throws {
        let scratch = try ScratchCaches()
        for round in 0..<10 {
            let name = try #require(CacheName("cache \(round)"))
            let made = try await withThrowingTaskGroup(of: CacheDefinition.self) { group in
                for _ in 0..<8 { group.addTask { try scratch.library.openOrCreate(name) } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(Set(made.map(\.created)).count == 1)
        }
        #expect(try Directory(scratch.storePath).directory("tmp").list() == [".lock"])
    }

    @Test(arguments: [
        (#"{"id":"npm","created":"2026-11-21T12:00:00.000Z","sharing":"shared","mode":"0755","colour":"red"}"#, "unknown key 'colour'"),
        (#"{"id":"npm","created":"2026-11-21T12:00:00.000Z","sharing":"shared","mode":"0755","policy":{"maxAge":1}}"#, "unknown key 'maxAge'"),
        (#"{"id":"npm","created":"2026-11-21T12:00:00.000Z","sharing":"sometimes","mode":"0755"}"#, "sharing"),
        (#"{"id":"npm","created":"2026-11-21T12:00:00.000Z","sharing":"shared","mode":"99999"}"#, "permission bits"),
        (#"{"id":"npm","created":"2026-11-21T12:00:00.000Z","mode":"0755"}"#, "it has no 'sharing'"),
        (String(repeating: "[", count: 600), "not JSON"), ("", "not JSON"),
    ])
    func aDefinitionThatIsNotUnderstoodIsAnError(text: String, reason: String) throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        try scratch.directory(of: npm).write("cache.json", text)
        guard case .damaged(let path, let found) = failure({ _ = try scratch.library.definition(of: npm) }) else {
            Issue.record("understood")
            return
        }
        #expect(path.hasSuffix("/caches/npm/cache.json") && found.contains(reason), "\(found)")
        #expect(failure { try scratch.lease(npm) } != nil)
    }

    @Test func settingsChangeAsAWhole() throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let created = try scratch.library.definition(of: npm).created
        try scratch.library.update(npm) { $0.policy.isPinned = true; $0.sharing = .private }
        let definition = try scratch.library.definition(of: npm)
        #expect(definition.settings.policy.isPinned && definition.settings.sharing == .private && definition.created == created)
        #expect(try scratch.directory(of: npm).list() == ["cache.json", "fresh", "holders", "instances", "locks", "unclean", "unmerged"])
        #expect(try scratch.lease(npm).sharing == .private)
    }

    @Test(arguments: ["shared", "locked", "private", "shared+ro"])
    func whatIsHeldIsNotRemoved(sharing: String) throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let holder = try scratch.contender("hold", "npm", sharing)
        try holder.line("held")
        guard case .inUse(npm, let holders) = failure({ try scratch.library.remove(npm) }) else {
            Issue.record("removed")
            return
        }
        #expect(holders.map(\.pid) == [holder.process.pid])
        try holder.release()
        try scratch.library.remove(npm)
        #expect(try scratch.library.names() == [])
        #expect(failure { try scratch.library.remove(npm) } == .missing(npm))
        #expect(try Directory(scratch.storePath).directory("tmp").list() == [".lock"])
    }

    @Test func aFurtherInstanceOrAFreshDirectoryInUseKeepsTheCacheToo() throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let main = try scratch.lease(npm, .locked)
        let further = try scratch.lease(npm, .private)
        try main.release()
        #expect(failure { try scratch.library.remove(npm) } == .inUse(npm, [further.record]))
        try further.release()
        let fresh = try scratch.lease(npm, fresh: true)
        #expect(failure { try scratch.library.remove(npm) } == .inUse(npm, [fresh.record]))
        try fresh.release()
        try scratch.library.remove(npm)
    }

    /// A cache that is removed and made again while many take leases on it: every lease is on a cache that is there.
    @Test func removalAndLeasesMeetWithoutHarm() async throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        try await withThrowingTaskGroup { group in
            for _ in 0..<4 {
                group.addTask {
                    for round in 0..<60 {
                        do throws(CacheError) {
                            let leases = try await scratch.library.acquire([LeaseRequest(npm, Sharing.allCases[round % 3])])
                            let status = try? leases.leases[0].directory.descriptor.status()
                            #expect((status?.st_nlink ?? 0) > 0, "the directory is there while it is held")
                            try leases.release()
                        } catch {
                            #expect(error == .missing(npm))
                        }
                    }
                }
            }
            group.addTask {
                for _ in 0..<60 {
                    do throws(CacheError) { try scratch.library.remove(npm) } catch {
                        if case .inUse = error {} else { #expect(error == .missing(npm)) }
                    }
                    _ = try scratch.library.openOrCreate(npm)
                    await Task.yield()
                }
            }
            try await group.waitForAll()
        }
    }

    /// The cache goes, and another takes its name, between the way to its locks and the locks themselves.
    @Test func aLockOnACacheThatIsGoneIsNoLease() throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let old = try scratch.directory(of: npm)
        let book = try FileLock(waitingFor: "locks/book", in: old, .exclusive)
        let contender = try scratch.contender("hold", "npm", "locked")
        let inode = try old.status("locks/book").st_ino
        func isAwaited() throws -> Bool {
            let locks = String(decoding: try OwnedDescriptor.open("/proc/locks", O_RDONLY).read(1 << 20, at: 0), as: UTF8.self)
            return locks.split(separator: "\n").contains { $0.contains("->") && $0.contains(":\(inode) ") }
        }
        while try !isAwaited() { usleep(5000) }
        try Directory(scratch.storePath).rename("caches/npm", to: "tmp/gone")
        try scratch.library.create(npm)
        _ = consume book
        try contender.line("held 0 1 CLEAN")
        #expect(try scratch.library.leases(on: npm).map(\.pid) == [contender.process.pid])
        try contender.release()
    }

    /// Numbers that are lost must not come again: whoever had them may be remembered by them.
    @Test(arguments: [
        "", String(repeating: "\0", count: 43), String(repeating: "9", count: 43), "00000000000000000001 00000000000000000007", "12 7 \n",
        "99999999999999999999 00000000000000000007 \n", "-0000000000000000001 00000000000000000007 \n", String(repeating: "x", count: 1 << 16),
    ])
    func aBookThatSaysNothingBeginsAnew(_ text: String) throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let book = try scratch.directory(of: npm).open("locks/book", O_RDWR | O_CREAT | O_TRUNC)
        try book.write(Array(text.utf8), at: 0)
        let first = try scratch.lease(npm)
        #expect(text.isEmpty ? first.epoch == 1 : first.epoch > 1_700_000_000)
        try first.release()
        let second = try scratch.lease(npm)
        #expect(second.epoch == first.epoch + 1)
        try second.release()
    }

    @Test func theBookGoesOnWhereItWas() throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let book = try scratch.directory(of: npm).open("locks/book", O_RDWR | O_CREAT | O_TRUNC)
        try book.write(Array("00000000000000000041 00000000000000000007 \n".utf8), at: 0)
        let lease = try scratch.lease(npm)
        #expect(lease.epoch == 8)
        try lease.release()
    }

    @Test func recordsSayWhoAndNothingSecret() throws {
        let scratch = try ScratchCaches()
        let store = try Store(at: scratch.storePath, create: false, logger: .silent)
        let npm = try scratch.cache()
        let library = CacheLibrary(store, command: "larder run n\u{1b}[31mpm\n" + String(repeating: "é", count: 200))
        let leases = try library.acquireBlocking([LeaseRequest(npm, .locked)])
        let record = try #require(try scratch.library.leases().first)
        #expect(record == leases.leases[0].record)
        #expect(record.command.hasPrefix("larder run n[31mpmé") && record.command.utf8.count <= 200)
        #expect(record.pid == getpid() && record.uid == geteuid() && record.epoch == 1 && record.instance == 0)
        #expect(try scratch.library.lease(String(record.token.prefix(6))) == record)
        #expect(failure { _ = try scratch.library.lease("abc") } == .unknownLease("abc"))
        #expect(scratch.library.path(of: record) == leases.leases[0].path)
        try leases.release()
        #expect(try scratch.library.leases() == [])
    }

    @Test func lastUseIsTheLatestOfAllInstances() throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        #expect(try scratch.library.lastUse(of: npm) == nil)
        let before = Moment.now
        let held = try scratch.lease(npm, .locked)
        try scratch.lease(npm, .private).release()
        let use = try #require(try scratch.library.lastUse(of: npm))
        #expect(use.milliseconds >= before.milliseconds - 20 && use <= Moment.now)
        let instances = try scratch.library.instances(of: npm)
        #expect(instances.map(\.number) == [0, 1])
        #expect(instances[0].holders == [held.record] && instances[1].holders == [] && instances[1].lastUse == use)
        try held.release()
    }
}
