import Glibc
import Testing
import TestSupport

extension EndToEnd {
    /// A bad network between the daemon and the registry: right bytes or an error, never wrong bytes, never for ever.
    @Suite struct FaultTests {
        struct Case: Sendable, CustomStringConvertible {
            let fault: FaultyProxy.Fault
            let tag: String
            var description: String { "\(fault) \(tag)" }

            /// Every fault with ranges, where most can go wrong; those about the bytes themselves with whole streams too.
            static let passing = FaultyProxy.Fault.allCases.filter { $0 != .stalls }.map { Case(fault: $0, tag: "estargz") }
                + [.truncates, .resets, .flipsByte, .ignoresRange].flatMap { fault in ["gzip", "zstdchunked"].map { Case(fault: fault, tag: $0) } }
            static let lasting = [FaultyProxy.Fault.truncates, .flipsByte, .answers500, .answers401, .answers403, .answers416, .answers429, .resets]
                .flatMap { fault in ["gzip", "estargz"].map { Case(fault: fault, tag: $0) } }
            static let stalling = ["gzip", "estargz"].map { Case(fault: .stalls, tag: $0) }
        }

        /// The first answers are bad and later ones good: a passing fault ends in the right tree.
        @Test func passingFaultsAreOvercomeOrReported() async throws {
            try await sideBySide(Case.passing) { fault, fixtures, proxy in
                let larder = try MountedLarder(["--fetch-timeout", "20"])
                let reference = "\(proxy.host)/larder/small:\(fault.tag)"
                // The config is a blob too, and a small one.
                proxy.inject(fault.fault, into: "/blobs/", count: 1)
                let config = try Program.run(["cat", "\(larder.image(reference))/config.json"], limit: 60)
                #expect(config.status != 0 || config.text.contains("fixture layer 2"), "\(fault): \(config.text)")
                proxy.heal()
                // An image that was not to be had is looked for again after a while.
                #expect(Wait.until(60) {
                    if (try? Files.read("\(larder.image(reference))/config.json"))?.contains("fixture layer 2") == true { return true }
                    usleep(100_000)
                    return false
                }, "\(fault): \(larder.log.suffix(3000))")

                let asked = blobRequests(proxy)
                proxy.inject(fault.fault, into: "/blobs/", count: 2)
                let first = try Fixtures.differences(fixtures.truth("small"), larder.rootfs(reference))
                // Whatever was shown was right: a listing that fails has no wrong line in it.
                #expect(!first.contains(": sha256: "), "\(fault): wrong bytes were served: \(first)")
                #expect(blobRequests(proxy) > asked, "\(fault): nothing went wrong with a layer")
                proxy.heal()
                let healed = Wait.until(60) {
                    if ((try? Fixtures.differences(fixtures.truth("small"), larder.rootfs(reference))) ?? "?").isEmpty { return true }
                    usleep(100_000)
                    return false
                }
                #expect(healed, "\(fault): \(larder.log.suffix(3000))")
            }
        }

        /// Every answer is bad: an error within the set time, a reason in the log, and no wrong byte.
        @Test func lastingFaultsAreErrorsWithReasons() async throws {
            try await sideBySide(Case.lasting) { fault, _, proxy in
                let larder = try MountedLarder(["--fetch-timeout", "3"])
                let image = larder.image("\(proxy.host)/larder/small:\(fault.tag)")
                // Resolved, manifest and config here: what follows is about layers.
                _ = try Files.read("\(image)/config.json")
                let digest = try Files.read("\(image)/manifest.json")
                proxy.inject(fault.fault, into: "/blobs/")
                let read = try Program.run(["cat", "\(image)/rootfs/data/large"], limit: 60)
                #expect(read.status != 0 && read.bytes.isEmpty, "\(fault)")
                #expect(read.errors.contains("Input/output error"), "\(fault): \(read.errors)")
                let named = { larder.log.split(separator: "sha256:").dropFirst().map { $0.prefix(12) }.contains { digest.contains($0) } }
                #expect(Wait.until(60, named), "\(fault): the log names no blob of the image: \(larder.log.suffix(3000))")
            }
        }

        @Test func stalledReadsEndAtOnceWithInterrupt() async throws {
            try await sideBySide(Case.stalling) { fault, _, proxy in
                let larder = try MountedLarder(["--fetch-timeout", "600"])
                let image = larder.image("\(proxy.host)/larder/small:\(fault.tag)")
                _ = try Files.read("\(image)/config.json")
                if fault.tag == "estargz" { try Program.check(["ls", "\(image)/rootfs/data"]) }
                let asked = blobRequests(proxy)
                proxy.inject(.stalls, into: "/blobs/")
                let reader = try Program(["cat", "\(image)/rootfs/data/large"])
                #expect(Wait.until(60) { blobRequests(proxy) > asked || !reader.isRunning })
                // Nothing but the signal can end it within ten minutes.
                #expect(reader.isRunning, "\(fault): it did not stall: \(reader.errorsSoFar)")
                reader.signal(SIGINT)
                #expect(Wait.until(60) { !reader.isRunning }, "\(fault): Ctrl-C had no effect")
                // Neither the others nor the end are held up by what still waits.
                #expect(try Files.read("\(larder.mountPoint)/README.txt").contains("Larder"))
                larder.daemon?.signal(SIGTERM)
                #expect(Wait.until(60) { larder.daemon?.isRunning == false }, "\(fault): SIGTERM had no effect: \(larder.log.suffix(1000))")
            }
        }

        @Test func stalledReadsEndWithErrorsAfterTheSetTime() async throws {
            try await sideBySide(Case.stalling) { fault, _, proxy in
                let larder = try MountedLarder(["--fetch-timeout", "3"])
                let image = larder.image("\(proxy.host)/larder/small:\(fault.tag)")
                _ = try Files.read("\(image)/config.json")
                proxy.inject(.stalls, into: "/blobs/")
                let read = try Program.run(["cat", "\(image)/rootfs/data/large"], limit: 60)
                #expect(read.status == 1 && read.bytes.isEmpty, "\(fault)")
                #expect(read.errors.contains("Input/output error"), "\(fault): \(read.errors)")
                #expect(Wait.until(60) { larder.log.contains("sha256:") }, "\(fault)")
            }
        }

        private func blobRequests(_ proxy: FaultyProxy) -> Int { proxy.requests.count { $0.path.contains("/blobs/") } }

        /// Runs `body` for each case on a thread that may block, each with a proxy of its own before one registry. Some at a time:
        /// most of it is waiting, for retries and for what does not come.
        private func sideBySide(_ cases: [Case], _ body: @escaping @Sendable (Case, Fixtures, FaultyProxy) throws -> Void) async throws {
            let fixtures = try Fixtures.shared()
            let registry = try RealRegistry(storage: fixtures.registry)
            defer { registry.stop() }
            let host = registry.host
            try await SideBySide.run(cases, width: 14) { fault in
                let proxy = try await FaultyProxy.start(before: host)
                do { try await SideBySide.blocking { try body(fault, fixtures, proxy) } } catch { Issue.record(error, "\(fault)") }
                await proxy.stop()
            }
        }
    }
}
