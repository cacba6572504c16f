import Glibc
import Testing
import TestSupport

extension EndToEnd {
    /// A store that may keep less than what is read from it: every byte is right all the same, and the limit holds.
    @Suite struct BoundedStoreTests {
        /// Small has 12 MB of content, and its blobs take 10 more.
        private static let third = "4m"
        private static let thirdBytes = 4 << 20

        @Test(arguments: ["estargz", "zstdchunked", "plain", "gzip", "zstd"])
        func aStoreOfAThirdOfTheImageServesAFullRead(form: String) throws {
            let fixtures = try Fixtures.shared()
            let registry = try RealRegistry(storage: fixtures.registry)
            let larder = try MountedLarder(["--max-size", Self.third])
            let rootfs = larder.rootfs("\(registry.host)/larder/small:\(form)")
            for round in 1...3 {
                let found = try Fixtures.differences(fixtures.truth("small"), rootfs)
                #expect(found.isEmpty, "reading \(round): \(found)\n\(larder.log.suffix(2000))")
                // What the kernel remembers is not asked for again.
                try Program.check(["sh", "-c", "echo 3 > /proc/sys/vm/drop_caches"])
            }
            if ["estargz", "zstdchunked", "plain", "gzip"].contains(form) {
                // While a layer is streamed nothing of it may go; a moment later it does.
                #expect(Wait.until(300) { Self.stored(larder) <= Self.thirdBytes }, "\(Self.stored(larder)) bytes are kept\n\(larder.log.suffix(2000))")
            }
            let verify = try larder.larder("verify")
            #expect(verify.status == 0, "\(verify.text)\(verify.errors)")
        }

        @Test func aFullDiskIsNoReasonForAnError() throws {
            let fixtures = try Fixtures.shared()
            let registry = try RealRegistry(storage: fixtures.registry)
            let scratch = try TemporaryDirectory()
            let disk = try scratch.subdirectory("disk")
            try Program.check(["mount", "-t", "tmpfs", "-o", "size=6m", "none", disk])
            defer { umount2(disk, Int32(MNT_DETACH)) }
            let larder = try MountedLarder(store: "\(disk)/store")
            for form in ["estargz", "zstdchunked"] {
                let found = try Fixtures.differences(fixtures.truth("small"), larder.rootfs("\(registry.host)/larder/small:\(form)"))
                #expect(found.isEmpty, "\(found)\n\(larder.log.suffix(3000))")
            }
            larder.stop()
        }

        @Test func twoDaemonsShareALimitedStore() throws {
            let fixtures = try Fixtures.shared()
            let registry = try RealRegistry(storage: fixtures.registry)
            let first = try MountedLarder(["--max-size", Self.third])
            let second = try MountedLarder(["--max-size", Self.third], store: first.store)
            let forms = ["estargz", "zstdchunked", "gzip"]
            var readers: [(String, Program)] = []
            for (larder, form) in forms.flatMap({ form in [(first, form), (second, form)] }) {
                let rootfs = larder.rootfs("\(registry.host)/larder/small:\(form)")
                _ = try Program.run(["ls", rootfs])
                readers.append((form, try Program(["\(Checkout.fixtures)/compare-trees", fixtures.truth("small"), rootfs])))
            }
            for (form, reader) in readers {
                let output = try reader.wait(limit: 600)
                #expect(output.status == 0, "\(form): \(output.text)\(output.errors)\n\(first.log.suffix(1000))\(second.log.suffix(1000))")
            }
            #expect(Wait.until(300) { Self.stored(first) <= Self.thirdBytes }, "\(Self.stored(first)) bytes are kept")
            #expect(try first.larder("verify").status == 0)
        }

        /// `LARDER_EVICTION_CRASHES` (12) kills, of daemons that read, evict and fill, at random moments. `LARDER_SEED` repeats a run.
        @Test func killsDuringEvictionAndFillLoseNothing() throws {
            let fixtures = try Fixtures.shared()
            let registry = try RealRegistry(storage: fixtures.registry)
            var random = SeededGenerator.named("killsDuringEvictionAndFillLoseNothing")
            let rounds = Int(Environment.current["LARDER_EVICTION_CRASHES"] ?? "") ?? 12
            let larder = try MountedLarder(["--max-size", Self.third])
            var interrupted = 0
            for round in 0..<rounds {
                let form = ["estargz", "zstdchunked", "gzip", "plain"].randomElement(using: &random) ?? "gzip"
                let rootfs = larder.rootfs("\(registry.host)/larder/small:\(form)")
                let reader = try Program(["sh", "-c", "find '\(rootfs)' -type f -exec cat {} + >/dev/null"])
                let prune = Bool.random(using: &random) ? try Program([LarderCommand.binary, "prune", "--store", larder.store, "--all"], environment: larder.environment) : nil
                // The first one comes before anything can be read.
                usleep(round == 0 ? 0 : UInt32.random(in: 1000..<900_000, using: &random))
                prune?.signal(SIGKILL)
                larder.kill()
                if try reader.wait(limit: 120).status != 0 { interrupted += 1 }
                _ = try prune?.wait(limit: 120)
                try larder.start()
                let verify = try larder.larder("verify")
                try #require(verify.status == 0, "round \(round), \(form): \(verify.text)\(verify.errors)")
                let found = try Fixtures.differences(fixtures.truth("small"), rootfs)
                try #require(found.isEmpty, "round \(round), \(form): \(found)\n\(larder.log.suffix(2000))")
            }
            print("of \(rounds) kills, \(interrupted) came while something was read")
            #expect(interrupted > 0)
        }

        @Test func aPinnedImageStaysAndPruneSaysWhatGoes() throws {
            let fixtures = try Fixtures.shared()
            let registry = try RealRegistry(storage: fixtures.registry)
            let larder = try MountedLarder()
            let (pinned, other) = ("\(registry.host)/larder/small:estargz", "\(registry.host)/larder/small:gzip")
            for reference in [pinned, other] { #expect(try larder.larder("pull", "--quiet", reference).status == 0) }
            #expect(try larder.larder("image", "pin", pinned).text.contains("pinned"))
            let dry = try larder.larder("prune", "--all", "--dry-run", "--json").text
            let before = try larder.larder("du", "--json").text
            let done = try larder.larder("prune", "--all", "--json").text
            #expect(dry.replacing("\"dryRun\" : true", with: "") == done.replacing("\"dryRun\" : false", with: ""))
            #expect(!done.contains(pinned) && done.contains(other) && before != done)
            // What stays is read with the registry gone, what went is not there any more.
            registry.stop()
            #expect(try Fixtures.differences(fixtures.truth("small"), larder.rootfs(pinned)).isEmpty)
            #expect(try larder.larder("image", "unpin", pinned).status == 0)
            let table = try larder.larder("du", pinned).text
            #expect(table.contains(pinned) && !table.contains("(pinned)") && !table.contains(other))
            #expect(try larder.larder("du", "\(registry.host)/larder/none:1").status == 3)
            #expect(try larder.larder("prune", "--filter", "nonsense==1").status == 64)
            #expect(try larder.larder("prune", "--max-used-space", "much").status == 64)
        }

        /// What passthrough reads is open in the kernel, not in the daemon: it is not evicted, and when it is closed it is.
        @Test func aFileThatIsReadByTheKernelIsNotEvicted() throws {
            let fixtures = try Fixtures.shared()
            let registry = try RealRegistry(storage: fixtures.registry)
            let larder = try MountedLarder()
            let reference = "\(registry.host)/larder/small:estargz"
            #expect(try larder.larder("pull", "--quiet", reference).status == 0)
            let objects = { try Program.check(["ls", "\(larder.store)/files/sha256"]).split(separator: "\n").count }
            #expect(try objects() > 0)
            let reader = try Program(["sh", "-c", "exec 3< '\(larder.rootfs(reference))/data/large'; head -c 1 <&3 >/dev/null; echo open; exec sleep 600"])
            try #require(Wait.until(120) { reader.outputSoFar.contains("open") })
            let report = try larder.larder("prune", "--all", "--filter", "type==content").text
            #expect(report.contains("left alone: open"), "\(report)")
            #expect(try objects() == 1)
            reader.signal(SIGKILL)
            _ = try reader.wait(limit: 120)
            #expect(Wait.until(120) {
                _ = try? larder.larder("prune", "--all", "--filter", "type==content")
                return (try? objects()) == 0
            })
            #expect(try Fixtures.differences(fixtures.truth("small"), larder.rootfs(reference)).isEmpty, "and comes again")
        }

        /// What images take in the store, in bytes.
        private static func stored(_ larder: MountedLarder) -> Int {
            let text = (try? larder.larder("du", "--json").text) ?? ""
            let totals = text.split(separator: "\"totals\"").last ?? ""
            return Int(totals.split(separator: "\"all\" : ").dropFirst().first?.prefix { $0.isNumber } ?? "") ?? .max
        }
    }
}
