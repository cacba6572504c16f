import Glibc
import Testing
import TestSupport

extension EndToEnd {
    /// Who may be in a cache at the same time, over everything that leads into one.
    @Suite struct SharingTests {
        private let larder: MountedLarder
        private var scratch: String { larder.scratch.path }

        init() throws { larder = try MountedLarder() }

        private func run(_ options: [String], _ script: String) throws -> Program {
            try Program(
                [LarderCommand.binary, "run", "--store", larder.store] + options + ["--", "sh", "-ec", script],
                environment: LarderCommand.environment(home: larder.home))
        }

        private func mounting(_ cache: String, _ more: String = "") -> String { "--mount=type=cache,id=\(cache),target=\(scratch)/target-\(cache)\(more)" }

        private func wait(for marker: String, _ program: Program) throws {
            try #require(Wait.until(60) { access("\(scratch)/\(marker)", F_OK) == 0 }, "\(program.name): \(program.errorsSoFar)")
        }

        /// A number that is read, thought about and written: two at a time would lose one.
        @Test func lockedRunsNeverOverlap() throws {
            let count = 16
            let script = "cd \(scratch)/target-count; n=$(cat n 2>/dev/null || echo 0); sleep 0.02; echo $((n + 1)) >n"
            let programs = try (0..<count).map { _ in try run([mounting("count", ",sharing=locked")], script) }
            for program in programs {
                let output = try program.wait(limit: 120)
                #expect(output.status == 0, "\(output.errors)")
            }
            #expect(try Files.read("\(larder.store)/caches/count/instances/0/n") == "\(count)\n")
        }

        @Test func swappedPairsDoNotDeadlock() throws {
            let pairs = try (0..<10).map { number in
                let both = [mounting("left", ",sharing=locked"), mounting("right", ",sharing=locked")]
                return try run(number.isMultiple(of: 2) ? both : both.reversed(), "echo x >>\(scratch)/target-left/n; echo x >>\(scratch)/target-right/n")
            }
            for program in pairs { #expect(try program.wait(limit: 120).status == 0) }
            #expect(try Files.read("\(larder.store)/caches/right/instances/0/n").utf8.count == 20)
        }

        /// A change by path in the mount comes after the holder's last.
        @Test func aWriterInTheMountWaitsForALockedRun() throws {
            try Program.check(["mkdir", "\(larder.mountPoint)/caches/c"])
            let holder = try run([mounting("c", ",sharing=locked")], "touch \(scratch)/held; sleep 1.5; echo holder >>\(scratch)/target-c/order")
            try wait(for: "held", holder)
            let writer = try Program(["sh", "-c", "echo writer >>\(larder.mountPoint)/caches/c/order"])
            #expect(try holder.wait().status == 0)
            let output = try writer.wait(limit: 120)
            #expect(output.status == 0, "\(output.errors)\(larder.log.suffix(2000))")
            #expect(try Files.read("\(larder.mountPoint)/caches/c/order") == "holder\nwriter\n")
        }

        /// The daemon holds on to what was read lately, until somebody comes who may remove it.
        @Test func whatARunRemovesIsNotHeldByTheMount() throws {
            let cache = "\(larder.mountPoint)/caches/c"
            try Program.check(["sh", "-ec", "mkdir \(cache); echo kept >\(cache)/f; echo too >\(cache)/g; cat \(cache)/f \(cache)/g"])
            func held(_ suffix: String) -> [String] {
                let daemon = larder.daemon?.pid ?? 0
                let descriptors = (try? Program.check(["find", "/proc/\(daemon)/fd", "-printf", "%l\n"]))?.split(separator: "\n").map(String.init) ?? []
                return descriptors.filter { $0.contains("/caches/c/instances/") && $0.hasSuffix(suffix) }
            }
            // Nobody else has it once the change by path is a second ago.
            if larder.log.contains("passthrough=true") {
                #expect(Wait.until(30) {
                    _ = try? Program.check(["cat", "\(cache)/f", "\(cache)/g"])
                    return !held("/f").isEmpty && !held("/g").isEmpty
                }, "nothing stays open: this test would prove nothing")
            }
            try Program.check(["rm", "\(cache)/g"])
            #expect(Wait.until(30) { held("/g").isEmpty && held("/g (deleted)").isEmpty })
            #expect(try run([mounting("c")], "rm \(scratch)/target-c/f").wait().status == 0)
            #expect(Wait.until(30) { held("/f").isEmpty && held("/f (deleted)").isEmpty })
        }

        /// What somebody else writes is seen in a mount that had remembered it otherwise: names, absences, sizes, content.
        @Test func aMountSeesWhatARunWrites() throws {
            let cache = "\(larder.mountPoint)/caches/c"
            try Program.check(["sh", "-ec", "mkdir \(cache); echo old >\(cache)/file; cat \(cache)/file; ls \(cache); test ! -e \(cache)/new"])
            #expect(try run([mounting("c")], "cd \(scratch)/target-c; echo much longer >file; echo new >new; mkdir d").wait().status == 0)
            let seen = Wait.until(60) {
                (try? Program.run(["sh", "-ec", "cat \(cache)/file \(cache)/new; ls \(cache)"]).text) == "much longer\nnew\nd\nfile\nnew\n"
            }
            let listing = try Program.run(["ls", "-l", cache]).text
            #expect(seen, "\(listing)")
        }

        /// A listing that the mount had remembered is no longer believed, though who changed the directory gave it its time back, as
        /// rsync and tar do.
        @Test func aMountSeesWhatARunAddsBehindADirectorysTime() throws {
            let cache = "\(larder.mountPoint)/caches/c"
            try Program.check(["sh", "-ec", "mkdir \(cache); mkdir \(cache)/d; echo >\(cache)/d/old; touch -d @1000 \(cache)/d; ls \(cache)/d \(cache)/d"])
            let holder = try run([mounting("c")], "cd \(scratch)/target-c/d; echo >new; touch -d @1000 .; touch \(scratch)/done; while [ ! -e \(scratch)/end ]; do sleep 0.05; done")
            try wait(for: "done", holder)
            let seen = Wait.until(60) { (try? Program.run(["ls", "\(cache)/d"]).text) == "new\nold\n" }
            #expect(seen)
            try Program.check(["touch", "\(scratch)/end"])
            #expect(try holder.wait().status == 0)
            #expect(try Program.run(["ls", "\(cache)/d"]).text == "new\nold\n")
        }

        /// A cache's name is remembered for as long as it has it, whoever removes it.
        @Test func aMountForgetsACacheThatIsRemoved() throws {
            let cache = "\(larder.mountPoint)/caches/c"
            let isForgetful = try Program.check(["uname", "-r"]).split(separator: ".").prefix(2).compactMap { Int($0) }.lexicographicallyPrecedes([6, 16])
            for round in 0..<3 {
                try Program.check(["sh", "-ec", "mkdir \(cache); echo >\(cache)/of-\(round)"])
                // Long enough for whatever is remembered for a second.
                let isRemembered = Wait.until(60) {
                    guard let before = try? larder.requests("LOOKUP") else { return false }
                    for _ in 0..<12 {
                        usleep(200_000)
                        _ = try? Program.check(["test", "-e", "\(cache)/of-\(round)"])
                    }
                    return (try? larder.requests("LOOKUP")) == before
                }
                #expect(isRemembered || isForgetful)
                #expect(try larder.larder("cache", "rm", "c").status == 0)
                #expect(Wait.until(60) { access(cache, F_OK) != 0 }, "round \(round)")
            }
        }

        @Test func twoDaemonsOfOneStoreShowTheSame() throws {
            let other = try MountedLarder(store: larder.store)
            let (one, two) = ("\(larder.mountPoint)/caches/c", "\(other.mountPoint)/caches/c")
            try Program.check(["sh", "-ec", "mkdir \(one); echo 1 >\(one)/f"])
            #expect(Wait.until(60) { (try? Program.run(["cat", "\(two)/f"]).text) == "1\n" })
            for round in 2..<12 {
                let (from, to) = round.isMultiple(of: 2) ? (two, one) : (one, two)
                try Program.check(["sh", "-ec", "echo \(round) >\(from)/f; echo \(round) >\(from)/only-\(round)"])
                let seen = Wait.until(60) { (try? Program.run(["cat", "\(to)/f", "\(to)/only-\(round)"]).text) == "\(round)\n\(round)\n" }
                #expect(seen, "round \(round)")
            }
        }

        /// kill -9 of `larder run` itself: its command lives on, and so does its right to the cache.
        @Test func aLockLivesAsLongAsTheCommandThatHasIt() throws {
            let holder = try run([mounting("c", ",sharing=locked")], "trap '' TERM; touch \(scratch)/held; while [ ! -e \(scratch)/end ]; do sleep 0.05; done; touch \(scratch)/ended")
            try wait(for: "held", holder)
            holder.signal(SIGKILL)
            _ = try holder.wait()
            let impatient = try run([mounting("c", ",sharing=locked"), "--lock-timeout", "0"], "true").wait()
            #expect(access("\(scratch)/ended", F_OK) != 0)
            #expect(impatient.status == 125, "somebody got the cache while its holder lived")
            #expect(impatient.errors.contains("held by larder run"), "\(impatient.errors)")
            try Program.check(["touch", "\(scratch)/end"])
            #expect(try run([mounting("c", ",sharing=locked"), "--lock-timeout", "60s"], "true").wait().status == 0)
        }
    }
}
