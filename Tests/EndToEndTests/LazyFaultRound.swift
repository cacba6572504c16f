import FoundationEssentials
import Glibc
import Synchronization
import TestSupport

/// One image, mounted and read while answers go wrong, and then again when they do not.
struct FaultRound {
    private let assignment: FaultSchedule.Assignment
    private let seed: UInt32
    private let front: FaultyProxy.Front?
    private let faults: Faults

    private var way: FaultyWay { assignment.way }
    private var name: String { "round \(assignment.number), \(way), seed \(seed)" }

    /// Which requests go wrong, and how.
    private final class Faults: Sendable {
        private let state: Mutex<(random: SeededGenerator, left: Int)>
        private let draw: @Sendable () -> FaultyProxy.Fault

        init(_ random: SeededGenerator, _ budget: Int, _ draw: @escaping @Sendable () -> FaultyProxy.Fault) {
            state = Mutex((random, budget))
            self.draw = draw
        }

        func next() -> FaultyProxy.Fault? {
            state.withLock { state in
                guard state.left > 0, Int.random(in: 0..<3, using: &state.random) > 0 else { return nil }
                state.left -= 1
                return draw()
            }
        }

        var left: Int { state.withLock { $0.left } }
        func end() { state.withLock { $0.left = 0 } }
    }

    init(_ assignment: FaultSchedule.Assignment, _ schedule: FaultSchedule) {
        self.assignment = assignment
        var random = SeededGenerator(seed: assignment.seed)
        let way = assignment.way
        seed = UInt32.random(in: 0...UInt32.max, using: &random)
        front = assignment.front.make(isBusy: !way.isWhole, &random)
        faults = Faults(SeededGenerator(seed: random.next()), assignment.budget) { schedule.draw(for: way) }
    }

    /// - Returns: what happened, and how many of its faults were not met.
    func run(_ setting: IndexedRegistry) async throws -> (outcome: FaultSchedule.Outcome, unused: Int) {
        let proxy = try await FaultyProxy.start(before: setting.registry.host, front: front)
        let result = try await SideBySide.blocking { Result { () throws -> (FaultSchedule.Outcome, Int) in
            var outcome = FaultSchedule.Outcome()
            let unused = try read(setting, proxy, &outcome)
            return (outcome, unused)
        } }
        await proxy.stop()
        var (outcome, unused) = try result.get()
        if let front {
            outcome.record = front.record
            if front.isElsewhere { outcome.evidence[.expiredLink] = front.record.expiredLinks }
        }
        return (outcome, unused)
    }

    private func read(_ setting: IndexedRegistry, _ proxy: FaultyProxy, _ outcome: inout FaultSchedule.Outcome) throws -> Int {
        let larder = try MountedLarder(["--fetch-timeout", "4"] + (way.isLimited ? ["--max-size", "4m"] : []))
        let reference = "\(proxy.host)/\(way.reference)"
        let rootfs = larder.rootfs(reference)
        func require(_ condition: Bool, _ what: @autoclosure () -> String) {
            if !condition { outcome.failures.append("\(name): \(what())\n\(larder.log.suffix(3000))") }
        }
        func pull() throws -> Program { try Program([LarderCommand.binary, "pull", "--quiet", "--fetch-timeout", "4", "--store", larder.store, reference], environment: larder.environment) }

        var pulling: Program?
        switch way {
        case .profile:
            // What is said of the image comes as it should, or there is no profile: what goes wrong is what is fetched by it.
            proxy.inject { $0.headers.contains(name: "Range") ? faults.next() : nil }
            try Program.check(["ls", rootfs])
            require(until(300, larder) { ($0.images.first?.profile?.wantedSpans ?? 0) > 0 }, "nothing is fetched ahead")
        case .fill:
            // Who has waited long gets all the rest at once, which would leave nothing to fill.
            try Program.check(["cat", "\(rootfs)/data/many/000"])
            proxy.inject { _ in faults.next() }
            require(until(300, larder) { $0.requests("fill") > 0 }, "nothing is fetched while nobody waits")
            // It goes on until something ends it for a while, which readers would do too.
            _ = until(5, larder) { _ in faults.left == 0 }
        case .pull, .pullInPieces:
            proxy.inject { _ in faults.next() }
            let program = try pull()
            // Until somebody reads, it is alone. Config and layers are blobs.
            let blobs = { Set(proxy.requests.compactMap { $0.path.split(separator: "/blobs/").last }) }
            if Wait.until(60, { blobs().count > 2 || !program.isRunning }), blobs().count > 2 { outcome.evidence[.pull] = 1 }
            pulling = program
        default:
            proxy.inject { _ in faults.next() }
        }

        let isInOrder = way == .firstSOCI
        let checker = ["\(Checkout.fixtures)/check-reads", setting.truth, rootfs, "\(seed)"] + (isInOrder ? ["--in-order"] : []) + (way.isLimited ? ["--cold"] : [])
        // A reader gives up after some errors; others come.
        for pass in 0..<3 where pass == 0 || faults.left > 0 {
            let output = try Program.run(checker, limit: 300)
            require(output.status == 0, "wrong answers\n\(output.text)\(output.errors)")
        }
        if let pulling {
            let pulled = try pulling.wait(limit: 300)
            // Done, or failed with a reason; never a crash.
            require(pulled.status == 0 || (pulled.status < 128 && !pulled.errors.isEmpty), "pull ended with \(pulled.status)\n\(pulled.errors)")
        }
        require(larder.daemon?.isRunning == true, "the daemon is gone")
        let unused = faults.left
        faults.end()

        // A host that could not be connected to is left alone for a while before it is asked again.
        var last = ""
        _ = Wait.until(120) {
            guard let again = try? Program.run(checker + ["--errors", "1"], limit: 300) else { return false }
            last = again.text + again.errors
            if again.status != 0 || again.text.contains("\"failed\": 0") { return true }
            usleep(300_000)
            return false
        }
        require(last.contains("\"failed\": 0") && !last.contains(" | "), "not well again without faults\n\(last)")
        if way.pulls {
            var errors = ""
            let isPulled = Wait.until(120) {
                guard let pulled = try? pull().wait(limit: 300) else { return false }
                errors = pulled.errors
                return pulled.status == 0
            }
            require(isPulled, "cannot be pulled without faults: \(errors)")
        }
        collect(larder, proxy, &outcome)
        larder.stop()
        let verified = try larder.larder("verify")
        require(verified.status == 0, "the store is damaged\n\(verified.text)\(verified.errors)")
        return unused
    }

    private func collect(_ larder: MountedLarder, _ proxy: FaultyProxy, _ outcome: inout FaultSchedule.Outcome) {
        // What is above the limit goes in time.
        if way.isLimited { _ = until(20, larder) { $0.kept.evictedFiles > 0 } }
        guard let status = Status(larder) else { return outcome.failures.append("\(name): no status.json\n\(larder.log.suffix(3000))") }
        for cause in [FaultEvidence.demand, .stream, .ahead, .rest, .profile, .fill] { outcome.evidence[cause] = status.requests(cause.rawValue) }
        outcome.evidence[.evicted] = status.kept.evictedFiles
        outcome.evidence[.pieces] = proxy.requests.count { $0.headers.first(name: "Range") == "bytes=4194304-8388607" }
    }

    private func until(_ seconds: Double, _ larder: MountedLarder, _ condition: (Status) -> Bool) -> Bool {
        Wait.until(seconds) {
            if Status(larder).map(condition) == true { return true }
            usleep(100_000)
            return false
        }
    }

    /// Of the daemon's `status.json`.
    private struct Status: Decodable {
        struct Image: Decodable {
            struct Profile: Decodable { var wantedSpans: Int }
            var profile: Profile?
        }
        struct Fetching: Decodable {
            struct Amount: Decodable { var requests: Int }
            var causes: [String: Amount]
        }
        struct Kept: Decodable { var evictedFiles: Int }
        var images: [Image]
        var fetching: Fetching
        var kept: Kept

        init?(_ larder: MountedLarder) {
            guard let text = try? Files.read("\(larder.mountPoint)/status.json"), let status = try? JSONDecoder().decode(Self.self, from: Data(text.utf8)) else { return nil }
            self = status
        }

        func requests(_ cause: String) -> Int { fetching.causes[cause]?.requests ?? 0 }
    }
}
