import Glibc
import Testing
import TestSupport

extension EndToEnd {
    /// kill -9 of the daemon while programs write into a cache through the mount. `LARDER_SEED` repeats the moments,
    /// `LARDER_CACHE_CRASHES` (12) says how many there are; the whole proof is 100.
    @Suite struct CacheCrashTests {
        @Test func whatWasSyncedIsThereAfterTheDaemonWasKilled() throws {
            var random = SeededGenerator.named("whatWasSyncedIsThereAfterTheDaemonWasKilled")
            let rounds = Int(Environment.current["LARDER_CACHE_CRASHES"] ?? "") ?? 12
            let larder = try MountedLarder()
            let logs = try larder.scratch.subdirectory("logs")
            let cache = "\(larder.mountPoint)/caches/crash"
            try Program.check(["mkdir", cache])
            var promised = 0
            for round in 0..<rounds {
                let writers = try (0..<3).map { number in
                    try Program(["\(Checkout.fixtures)/fsync-writer", cache, "\(logs)/\(round)-\(number)", "\(round)-\(number)"])
                }
                // Not before somebody has promised something.
                try #require(Wait.until(120) { (0..<3).contains { Self.size("\(logs)/\(round)-\($0)") > 0 } }, "\(writers[0].outputSoFar)\(writers[0].errorsSoFar)")
                usleep(UInt32.random(in: 0..<300_000, using: &random))
                larder.kill()
                for writer in writers {
                    let ended = try writer.wait(limit: 120)
                    #expect(ended.status == 0, "\(ended.errors)")
                }
                try larder.start()
                let check = try Program.run(["\(Checkout.fixtures)/fsync-check"] + (0..<3).map { "\(logs)/\(round)-\($0)" })
                try #require(check.status == 0, "round \(round): \(check.errors.suffix(4000))\(larder.log.suffix(2000))")
                promised += Int(check.text.split(separator: "\n").first ?? "") ?? 0
            }
            print("\(promised) files were promised and are there, over \(rounds) kills")
            #expect(promised >= rounds)
            // Later kills have not harmed what earlier ones had left.
            let all = try Program.run(["sh", "-c", "exec '\(Checkout.fixtures)/fsync-check' '\(logs)'/*"], limit: 300)
            #expect(all.status == 0, "\(all.errors.suffix(4000))")
            #expect(try larder.larder("lease", "ls").status == 0)
        }

        private static func size(_ path: String) -> Int {
            var status = stat()
            return stat(path, &status) == 0 ? Int(status.st_size) : 0
        }
    }
}
