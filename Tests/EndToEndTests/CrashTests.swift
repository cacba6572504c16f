import Glibc
import Testing
import TestSupport

extension EndToEnd {
    /// kill -9 at random moments. `LARDER_SEED` repeats a run; `LARDER_CRASHES` (50) is how many there are.
    @Suite struct CrashTests {
        @Test func killedReadsAndPullsLeaveEverythingRight() throws {
            let fixtures = try Fixtures.shared()
            let registry = try RealRegistry(storage: fixtures.registry)
            var random = SeededGenerator.named("killedReadsAndPullsLeaveEverythingRight")
            let rounds = Int(Environment.current["LARDER_CRASHES"] ?? "") ?? 50

            let forms = ["gzip", "estargz", "zstd", "zstdchunked", "plain"]
            let longest = try Self.duration(ofPullFrom: registry.host)
            var larder = try MountedLarder()
            var interrupted = 0
            for round in 0..<rounds {
                let reference = "\(registry.host)/larder/small:\(forms.randomElement(using: &random) ?? "gzip")"
                // The first one comes before anything can be done.
                let delay = round == 0 ? 0 : UInt32.random(in: 0..<longest, using: &random)
                let what: String
                let complete: Bool
                if Bool.random(using: &random) {
                    what = "read of \(reference) killed after \(delay) us"
                    let reader = try Program(["sh", "-c", "find '\(larder.rootfs(reference))' -type f -exec cat {} + >/dev/null"])
                    usleep(delay)
                    larder.kill()
                    complete = try reader.wait(limit: 120).status == 0
                    try larder.start()
                } else {
                    what = "pull of \(reference) killed after \(delay) us"
                    let pull = try Self.pull(reference, into: larder)
                    usleep(delay)
                    pull.signal(SIGKILL)
                    complete = try pull.wait(limit: 120).status == 0
                }
                if !complete { interrupted += 1 }
                let verify = try larder.larder("verify")
                try #require(verify.status == 0, "round \(round), \(what): \(verify.text)\(verify.errors)")
                let found = try Fixtures.differences(fixtures.truth("small"), larder.rootfs(reference))
                try #require(found.isEmpty, "round \(round), \(what): \(found)\n\(larder.log.suffix(2000))")
                // What is complete cannot be interrupted any more.
                larder = try MountedLarder()
            }
            print("of \(rounds) kills, \(interrupted) came before the work was done")
            #expect(interrupted > 0)
        }

        private static func pull(_ reference: String, into larder: MountedLarder) throws -> Program {
            try Program(
                [LarderCommand.binary, "pull", "--store", larder.store, "--quiet", reference],
                environment: LarderCommand.environment(home: larder.home))
        }

        /// How long an undisturbed pull takes here and now, in microseconds, so that kills fall into it.
        private static func duration(ofPullFrom host: String) throws -> UInt32 {
            let larder = try MountedLarder()
            let start = ContinuousClock.now
            let output = try pull("\(host)/larder/small:gzip", into: larder).wait()
            try #require(output.status == 0, "\(output.errors)")
            return UInt32((ContinuousClock.now - start) / .microseconds(1)).clamped(to: 10_000...5_000_000)
        }
    }
}

extension Comparable {
    fileprivate func clamped(to range: ClosedRange<Self>) -> Self { min(max(self, range.lowerBound), range.upperBound) }
}
