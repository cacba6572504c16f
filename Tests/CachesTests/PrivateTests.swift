import Caches
import Glibc
import LinuxIO
import Testing
import TestSupport

/// Instances of private users, what becomes of their additions, and fresh directories.
@Suite struct PrivateTests {
    static var addOnly: CacheSettings {
        var settings = CacheSettings()
        settings.isAddOnly = true
        return settings
    }

    @Test func privateTakesMainThenTheNewestIdleInstanceThenANewOne() throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        var leases = try (0..<4).map { _ in try scratch.lease(npm, .private) }
        #expect(leases.map(\.record.instance) == [0, 1, 2, 3])
        // Released in this order, 2 is the newest idle one.
        for number in [1, 3, 2] {
            try leases[number].release()
            usleep(20_000)
        }
        for expected in [2, 3, 1, 4] {
            leases.append(try scratch.lease(npm, .private))
            #expect(leases.last?.record.instance == expected)
        }
        for lease in leases { try lease.release() }
        #expect(try scratch.lease(npm, .private).record.instance == 0)
    }

    @Test func aNewInstanceHasTheOwnerAndModeOfTheCache() throws {
        let scratch = try ScratchCaches()
        var settings = CacheSettings()
        settings.mode = 0o3775
        if geteuid() == 0 { settings.owner = CacheOwner(uid: 1234, gid: 2345) }
        let npm = try scratch.cache("npm", settings)
        let held = try scratch.lease(npm, .locked)
        let lease = try scratch.lease(npm, .private)
        let fresh = try scratch.lease(npm, fresh: true)
        for directory in [held.directory, lease.directory, fresh.directory] {
            let status = try directory.descriptor.status()
            #expect(status.st_mode & 0o7777 == 0o3775)
            if geteuid() == 0 { #expect(status.st_uid == 1234 && status.st_gid == 2345) }
        }
        for lease in [held, lease, fresh] { try lease.release() }
    }

    @Test func whatPrivateUsersAddIsBroughtIntoMain() throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache("npm", Self.addOnly)
        let held = try scratch.lease(npm, .shared)
        try held.directory.write("both/there", "main")
        try held.directory.write("both/taken", "main")
        try held.directory.write("file", "main")
        let lease = try scratch.lease(npm, .private)
        try lease.directory.write("both/new", "private")
        try lease.directory.write("both/taken", "private")
        try lease.directory.write("whole/deep/new", "private")
        try lease.directory.write("file/name", "a directory where main has a file")
        let whole = try lease.directory.directory("whole")
        #expect(symlinkat("deep/new", whole.descriptor.raw, "link") == 0)
        #expect(fchmod(whole.descriptor.raw, 0o555) == 0)
        let bytes: [UInt8] = [0xff, 0x0a, 0x41]
        #expect(mkdirat(lease.directory.descriptor.raw, bytes.map { CChar(bitPattern: $0) } + [0], 0o755) == 0)
        try lease.release()

        #expect(try held.directory.text("both/there") == "main")
        #expect(try held.directory.text("both/taken") == "main", "what is there stays")
        #expect(try held.directory.text("file") == "main")
        #expect(try held.directory.text("both/new") == "private")
        #expect(try held.directory.text("whole/deep/new") == "private")
        #expect(try held.directory.status("whole/link").st_mode & S_IFMT == S_IFLNK)
        #expect(try held.directory.status("whole").st_mode & 0o7777 == 0o555)
        #expect(try held.directory.entries().contains { $0.name == bytes })
        try held.release()
        // The instance keeps what it has, for the next who finds main taken; on disk all is there once.
        #expect(try scratch.library.directory(of: npm, instance: 1).text("whole/deep/new") == "private")
        let all = try scratch.library.size(of: npm)
        let each = try [0, 1].map { try scratch.library.size(of: npm, instance: $0) }
        #expect(all.files == each[0].files + each[1].files - 3)
        #expect(try scratch.directory(of: npm).directory("unmerged").list() == [])
    }

    @Test func whatFindsMainTakenIsBroughtByItsNextUser() throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache("npm", Self.addOnly)
        let held = try scratch.lease(npm, .locked)
        let lease = try scratch.lease(npm, .private)
        try lease.directory.write("new", "private")
        try lease.release()
        #expect(try held.directory.text("new") == nil)
        try held.release()
        let reader = try scratch.lease(npm, readOnly: true)
        #expect(try reader.directory.text("new") == nil, "a reader changes nothing")
        try reader.release()
        let next = try scratch.lease(npm, .shared)
        #expect(try next.directory.text("new") == "private")
        try next.release()
    }

    /// What a merge that was cut short leaves: some of the files there, a half-built directory aside, the mark.
    @Test func aMergeThatWasCutShortIsFinishedByTheNextUser() throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache("npm", Self.addOnly)
        let held = try scratch.lease(npm, .locked)
        let lease = try scratch.lease(npm, .private)
        for number in 0..<10 { try lease.directory.write("a/\(number)", "private") }
        try lease.directory.write("b/deep/file", "private")
        try lease.release()
        let place = try scratch.directory(of: npm)
        try place.makeDirectories("instances/0/a")
        try place.link("instances/1/a/3", to: "instances/0/a/3")
        try place.makeDirectories("instances/.merge-1/deep")
        try held.release()

        let next = try scratch.lease(npm, .shared)
        #expect(try next.directory.directory("a").list().count == 10)
        #expect(try next.directory.text("b/deep/file") == "private")
        #expect(try place.directory("instances").list() == ["0", "1"])
        try next.release()
    }

    @Test func nothingOfAKilledPrivateUserIsBrought() throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache("npm", Self.addOnly)
        let held = try scratch.lease(npm, .shared)
        let holder = try scratch.contender("hold", "npm", "private")
        try holder.line("held 1")
        try scratch.library.directory(of: npm, instance: 1).write("half", "wri")
        holder.kill()
        for _ in 0..<2 {
            let next = try scratch.lease(npm, .shared)
            #expect(try next.directory.text("half") == nil)
            #expect(next.unclean == nil, "main has nothing to do with it")
            try next.release()
        }
        // Checked by the next who uses it.
        let blocked = try scratch.contender("hold", "npm", "shared")
        try blocked.line("held")
        let lease = try scratch.lease(npm, .private)
        #expect(lease.record.instance == 1 && lease.unclean != nil)
        #expect(try lease.recover { try $0.text("half") != nil } == .recovered)
        try lease.release()
        #expect(try held.directory.text("half") == "wri")
        try held.release()
    }

    @Test func additionsToACacheThatIsNotAddOnlyStayWhereTheyAre() throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let held = try scratch.lease(npm, .shared)
        let lease = try scratch.lease(npm, .private)
        try lease.directory.write("new", "private")
        try lease.release()
        #expect(try held.directory.list() == [])
        try held.release()
    }

    // MARK: fresh

    @Test func aFreshDirectoryIsEmptyAndGoesWhileTheCacheStays() throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let before = try scratch.lease(npm, .locked)
        try before.directory.write("old", "yes")
        // Beside anybody, without waiting.
        let fresh = try scratch.lease(npm, .locked, fresh: true)
        #expect(try fresh.directory.list() == [])
        #expect(fresh.isFresh)
        try fresh.directory.write("new/file", "yes")
        #expect(access(fresh.path + "/new/file", F_OK) == 0)
        #expect(try scratch.library.leases().count == 2)
        try fresh.release()
        #expect(access(fresh.path, F_OK) != 0)
        #expect(try before.directory.list() == ["old"])
        try before.release()
    }

    @Test func theFreshDirectoryOfADeadHolderIsSwept() throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        do { try scratch.lease(npm, fresh: true).directory.write("left", "behind") }
        var alive = try scratch.lease(npm, fresh: true)
        // A child that a test beside this one is starting holds copies of the dead one's locks until its exec.
        for _ in 0..<3000 where try scratch.directory(of: npm).directory("fresh").list().count > 1 {
            try alive.release()
            usleep(20_000)
            alive = try scratch.lease(npm, fresh: true)
        }
        #expect(try scratch.directory(of: npm).directory("fresh").list() == [alive.token])
        try alive.release()
        #expect(try scratch.lease(npm).unclean == nil)
    }
}
