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
            var larder = try MountedLarder()
            var interrupted = 0
            for round in 0..<rounds {
                // A new store every few rounds: what is complete cannot be interrupted any more.
                if round % 3 == 0 { larder = try MountedLarder() }
                let reference = "\(registry.host)/larder/small:\(forms.randomElement(using: &random) ?? "gzip")"
                let delay = UInt32.random(in: 0..<700_000, using: &random)
                let what: String
                if Bool.random(using: &random) {
                    what = "read of \(reference) killed after \(delay) us"
                    let reader = try Program(["sh", "-c", "find '\(larder.rootfs(reference))' -type f -exec cat {} + >/dev/null"])
                    usleep(delay)
                    larder.kill()
                    if try reader.wait(limit: 20).status != 0 { interrupted += 1 }
                    try larder.start()
                } else {
                    what = "pull of \(reference) killed after \(delay) us"
                    let pull = try Program(
                        [LarderCommand.binary, "pull", "--store", larder.store, "--quiet", reference],
                        environment: LarderCommand.environment(home: larder.home))
                    usleep(delay)
                    pull.signal(SIGKILL)
                    if try pull.wait(limit: 20).status != 0 { interrupted += 1 }
                }
                let verify = try larder.larder("verify")
                #expect(verify.status == 0, "round \(round), \(what): \(verify.text)\(verify.errors)")
                let found = try Fixtures.differences(fixtures.truth("small"), larder.rootfs(reference))
                #expect(found.isEmpty, "round \(round), \(what): \(found)\n\(larder.log.suffix(2000))")
                if !found.isEmpty || verify.status != 0 { return }
            }
            print("of \(rounds) kills, \(interrupted) came before the work was done")
        }
    }
}
