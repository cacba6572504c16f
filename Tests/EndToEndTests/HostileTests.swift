import Glibc
import Testing
import TestSupport

extension EndToEnd {
    /// Images made to harm. Each gives a clear error in bounded memory, reaches nothing outside itself, and the mount
    /// goes on serving the others. `Tests/Fixtures/fixtures/hostile.py` makes them.
    @Suite struct HostileTests {
        struct Trick: Sendable, CustomTestStringConvertible {
            let name: String
            /// What the log has to say about it: one of these.
            let clues: [String]
            var testDescription: String { name }

            static let all = [
                Trick(name: "escaping", clues: ["../../escaped"]),
                Trick(name: "link-to-host", clues: ["etc/shadow", "stolen"]),
                Trick(name: "through-symlink", clues: ["door"]),
                Trick(name: "cyclic-links", clues: ["link"]),
                Trick(name: "long-name", clues: ["name", "path"]),
                Trick(name: "long-path", clues: ["path"]),
                Trick(name: "huge-size", clues: ["size"]),
                Trick(name: "huge-extended-header", clues: ["header"]),
                Trick(name: "negative-size", clues: ["size"]),
                Trick(name: "many-extended-attributes", clues: ["attribute", "header"]),
                Trick(name: "sparse-without-end", clues: ["sparse", "size"]),
                Trick(name: "wrong-diff-id", clues: ["uncompressed layer"]),
                Trick(name: "wrong-blob", clues: ["digest", "sha256"]),
                Trick(name: "cut-short", clues: ["ends", "truncated", "end"]),
                Trick(name: "huge-manifest", clues: ["manifest"]),
                Trick(name: "deep-manifest", clues: ["manifest", "JSON"]),
            ]
        }

        @Test(arguments: Trick.all) func hostileImageFailsAloneAndClearly(trick: Trick) throws {
            let fixtures = try Fixtures.shared()
            let larder = try MountedLarder(["--layout", "hostile=\(fixtures.hostile)", "--layout", "local=\(fixtures.layouts)"])
            let shown = try Program.run(["find", larder.rootfs("hostile/\(trick.name):latest")], limit: 300)
            #expect(shown.status != 0, "it was shown: \(shown.text)")
            let log = larder.log
            #expect(trick.clues.contains { log.contains($0) }, "the log names none of \(trick.clues): \(log.suffix(3000))")
            #expect(log.utf8.count < 100_000, "a log of \(log.utf8.count) bytes")
            try expectAlive(larder)
            let pull = try larder.larder("pull", "--quiet", "hostile/\(trick.name):latest")
            #expect((1...5).contains(pull.status), "exit \(pull.status): \(pull.errors.suffix(1000))")
            #expect(try larder.larder("verify").status == 0)
        }

        @Test func tenMillionEntriesEndAtALimit() throws {
            let fixtures = try Fixtures.shared()
            let larder = try MountedLarder(["--layout", "hostile=\(fixtures.hostile)", "--layout", "local=\(fixtures.layouts)"])
            let shown = try Program.run(["ls", larder.rootfs("hostile/many-entries:latest")], limit: 300)
            #expect(shown.status != 0)
            #expect(larder.log.contains("files"), "\(larder.log.suffix(2000))")
            try expectAlive(larder, memory: 1 << 30)
        }

        @Test func absoluteNamesAndTargetsStayInsideTheImage() throws {
            let fixtures = try Fixtures.shared()
            let larder = try MountedLarder(["--layout", "hostile=\(fixtures.hostile)"])
            let rootfs = larder.rootfs("hostile/absolute-links:latest")
            #expect(try Program.check(["readlink", "\(rootfs)/passwd"]) == "/etc/passwd\n")
            #expect(try Files.read("\(rootfs)/shadow") == "the image's own\n")
            #expect(try Files.read("\(rootfs)/shadow-too") == "the image's own\n")
        }

        /// Tables that cannot be true, whoever signed them: the layer itself is read instead, from end to end.
        @Test(arguments: ["table-points-outside", "table-points-backwards", "table-claims-size", "table-claims-name"])
        func impossibleTableIsRefusedInFavourOfTheLayer(name: String) throws {
            let fixtures = try Fixtures.shared()
            let larder = try MountedLarder(["--layout", "hostile=\(fixtures.hostile)", "--layout", "local=\(fixtures.layouts)"])
            let rootfs = larder.rootfs("hostile/\(name):latest")
            #expect(try Files.read("\(rootfs)/file").hasPrefix("content content "))
            #expect(try Program.check(["find", rootfs, "-type", "f", "-printf", "%P %s\\n"]).split(separator: "\n").sorted() == ["file 40000", "other 5"])
            #expect(larder.log.contains("table of contents refused") && larder.log.contains("sha256:"), "\(larder.log)")
            try expectAlive(larder)
        }

        /// The table is pinned by the manifest, but what it says of a file does not hold: no byte is served.
        @Test func contentThatIsNotWhatTheTableSaysIsNotServed() throws {
            let fixtures = try Fixtures.shared()
            let larder = try MountedLarder(["--layout", "hostile=\(fixtures.hostile)", "--layout", "local=\(fixtures.layouts)"])
            let rootfs = larder.rootfs("hostile/table-claims-content:latest")
            let read = try Program.run(["cat", "\(rootfs)/file"], limit: 300)
            #expect(read.status == 1 && read.bytes.isEmpty && read.errors.contains("Input/output error"), "\(read.errors)")
            #expect(larder.log.contains("sha256:"), "\(larder.log)")
            try expectAlive(larder)
        }

        /// A layer says one thing to whoever reads its table and another to whoever unpacks it: found when it is whole.
        @Test func aTableThatContradictsItsLayerIsFoundOut() throws {
            let fixtures = try Fixtures.shared()
            let larder = try MountedLarder(["--layout", "hostile=\(fixtures.hostile)"])
            let pull = try larder.larder("pull", "hostile/table-hides-name:latest")
            #expect(pull.status != 0)
            #expect(pull.errors.contains("harmless") || pull.errors.contains("table"), "\(pull.errors)")
        }

        /// Indexes in the store are files that anything may have happened to.
        @Test func damagedIndexesAreNoticedAndNeverCrashTheDaemon() throws {
            let fixtures = try Fixtures.shared()
            let larder = try MountedLarder(["--layout", "local=\(fixtures.layouts)"])
            var random = SeededGenerator.named("damagedIndexesAreNoticedAndNeverCrashTheDaemon")
            for _ in 0..<10 {
                let before = try Fixtures.differences(fixtures.truth("small"), larder.rootfs("local/small:gzip"))
                try #require(before.isEmpty, "\(before)\n\(larder.log.suffix(2000))")
                larder.stop()
                let indexes = try Program.check(["find", "\(larder.store)/trees", "-type", "f", "-name", "*.index"]).split(separator: "\n").sorted()
                let victim = String(try #require(indexes.randomElement(using: &random)))
                let seed = UInt32.random(in: .min ... .max, using: &random)
                // Eight random bytes; the checksum tells, and what is not what it was is made anew.
                try Program.check(["python3", "-c", """
                    import random, sys
                    generator = random.Random(\(seed))
                    with open(sys.argv[1], "r+b") as file:
                        size = file.seek(0, 2)
                        for _ in range(8):
                            file.seek(generator.randrange(size))
                            file.write(bytes([generator.randrange(256)]))
                    """, victim])
                try larder.start()
                let after = try Fixtures.differences(fixtures.truth("small"), larder.rootfs("local/small:gzip"))
                #expect(after.isEmpty, "\(victim) with seed \(seed): \(after)\n\(larder.log.suffix(2000))")
                #expect(larder.daemon?.isRunning == true)
            }
        }

        private func expectAlive(_ larder: MountedLarder, memory: Int = 400 << 20) throws {
            #expect(larder.daemon?.isRunning == true)
            #expect(try Files.read("\(larder.rootfs("local/small:gzip"))/top/hello") == "hello from the top layer\n")
            #expect(larder.peakMemory > 0 && larder.peakMemory < memory, "\(larder.peakMemory >> 20) MiB at the peak")
        }
    }
}
