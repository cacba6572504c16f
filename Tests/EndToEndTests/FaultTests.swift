import Glibc
import NIOPosix
import Testing
import TestSupport

extension EndToEnd {
    /// A bad network between the daemon and the registry: right bytes or an error, never wrong bytes, never for ever.
    @Suite struct FaultTests {
        struct Case: Sendable, CustomTestStringConvertible {
            let fault: FaultyProxy.Fault
            let tag: String
            var testDescription: String { "\(fault) \(tag)" }

            /// Every fault with ranges, where most can go wrong; those about the bytes themselves with whole streams too.
            static let all = FaultyProxy.Fault.allCases.filter { $0 != .stalls }.map { Case(fault: $0, tag: "estargz") }
                + [.truncates, .resets, .flipsByte, .ignoresRange].flatMap { fault in ["gzip", "zstdchunked"].map { Case(fault: fault, tag: $0) } }
        }

        /// The first answers are bad and later ones good: a passing fault ends in the right tree.
        @Test(arguments: Case.all) func passingFaultIsOvercomeOrReported(fault: Case) async throws {
            try await withProxy { fixtures, proxy in
                proxy.inject(fault.fault, into: "/blobs/", count: 2)
                let larder = try MountedLarder(["--fetch-timeout", "20"])
                let rootfs = larder.rootfs("\(proxy.host)/larder/small:\(fault.tag)")
                let first = try Fixtures.differences(fixtures.truth("small"), rootfs)
                // Whatever was shown was right: a listing that fails has no wrong line in it.
                #expect(!first.contains(": sha256: "), "wrong bytes were served: \(first)")
                proxy.heal()
                // A host that failed is left alone for a while before it is asked again.
                let healed = Wait.until(40) { ((try? Fixtures.differences(fixtures.truth("small"), rootfs)) ?? "?").isEmpty }
                #expect(healed, "\(larder.log.suffix(3000))")
            }
        }

        /// Every answer is bad: an error within the set time, a reason in the log, and no wrong byte.
        @Test(arguments: [FaultyProxy.Fault.truncates, .flipsByte, .answers500, .answers401, .answers403, .answers416, .answers429, .resets], ["gzip", "estargz"])
        func lastingFaultIsAnErrorWithAReason(fault: FaultyProxy.Fault, tag: String) async throws {
            try await withProxy { _, proxy in
                let larder = try MountedLarder(["--fetch-timeout", "3"])
                let image = larder.image("\(proxy.host)/larder/small:\(tag)")
                // Resolved, manifest and config here: what follows is about layers.
                _ = try Files.read("\(image)/config.json")
                let digest = try Files.read("\(image)/manifest.json")
                proxy.inject(fault, into: "/blobs/")
                let read = try Program.run(["cat", "\(image)/rootfs/data/large"], limit: 30)
                #expect(read.status != 0 && read.bytes.isEmpty)
                #expect(read.errors.contains("Input/output error"), "\(read.errors)")
                let named = larder.log.split(separator: "sha256:").dropFirst().map { $0.prefix(12) }.contains { digest.contains($0) }
                #expect(named, "the log names no blob of the image: \(larder.log.suffix(3000))")
            }
        }

        @Test(arguments: ["gzip", "estargz"]) func stalledReadEndsAtOnceWithInterrupt(tag: String) async throws {
            try await withProxy { _, proxy in
                let larder = try MountedLarder(["--fetch-timeout", "600"])
                let image = larder.image("\(proxy.host)/larder/small:\(tag)")
                _ = try Files.read("\(image)/config.json")
                if tag == "estargz" { try Program.check(["ls", "\(image)/rootfs/data"]) }
                proxy.inject(.stalls, into: "/blobs/")
                let reader = try Program(["cat", "\(image)/rootfs/data/large"])
                #expect(!Wait.until(2) { !reader.isRunning }, "it did not stall: \(reader.errorsSoFar)")
                reader.signal(SIGINT)
                #expect(Wait.until(2) { !reader.isRunning }, "Ctrl-C had no effect")
                // Neither the others nor the end are held up by what still waits.
                #expect(try Files.read("\(larder.mountPoint)/README.txt").contains("Larder"))
                larder.daemon?.signal(SIGTERM)
                #expect(Wait.until(10) { larder.daemon?.isRunning == false }, "SIGTERM had no effect: \(larder.log.suffix(1000))")
            }
        }

        @Test(arguments: ["gzip", "estargz"]) func stalledReadEndsWithErrorAfterTheSetTime(tag: String) async throws {
            try await withProxy { _, proxy in
                let larder = try MountedLarder(["--fetch-timeout", "3"])
                let image = larder.image("\(proxy.host)/larder/small:\(tag)")
                _ = try Files.read("\(image)/config.json")
                proxy.inject(.stalls, into: "/blobs/")
                let read = try Program.run(["cat", "\(image)/rootfs/data/large"], limit: 30)
                #expect(read.status == 1 && read.bytes.isEmpty)
                #expect(read.errors.contains("Input/output error"), "\(read.errors)")
                #expect(larder.log.contains("sha256:"))
                proxy.heal()
            }
        }

        /// Runs `body` on a thread that may block, between a proxy and the registry behind it.
        private func withProxy(_ body: @escaping @Sendable (Fixtures, FaultyProxy) throws -> Void) async throws {
            let fixtures = try Fixtures.shared()
            let registry = try RealRegistry(storage: fixtures.registry)
            let proxy = try await FaultyProxy.start(before: registry.host)
            let result = try await NIOThreadPool.singleton.runIfActive { Result { try body(fixtures, proxy) } }
            await proxy.stop()
            registry.stop()
            try result.get()
        }
    }
}
