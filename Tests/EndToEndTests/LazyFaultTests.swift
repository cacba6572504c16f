import Glibc
import NIOPosix
import Synchronization
import Testing
import TestSupport

extension EndToEnd {
    /// Random faults of the network on every way that content comes in: right bytes or a clean error, and all of it once the
    /// faults are over, with the same mount. `LARDER_LAZY_FAULTS` says how many.
    @Suite struct LazyFaultTests {
        /// How the content of an image is brought.
        enum Way: CaseIterable {
            /// No index: the first touch streams the layers.
            case stream
            /// Larder's own index and profile, from the registry.
            case own
            case firstSOCI, secondSOCI
            case estargz, zstdchunked
            /// Everything at once by `larder pull`, while somebody reads.
            case pull

            var reference: String {
                switch self {
                case .stream, .pull: "bare/small:gzip"
                case .own: "own/small:gzip"
                case .firstSOCI: "soci-1/small:gzip"
                case .secondSOCI: "soci-2/small:gzip"
                case .estargz: "bare/small:estargz"
                case .zstdchunked: "bare/small:zstdchunked"
                }
            }
        }

        @Test func randomFaultsEndInRightBytesOrAnError() async throws {
            let generator = SeededGenerator.named("randomFaultsEndInRightBytesOrAnError")
            let wanted = Environment.current["LARDER_LAZY_FAULTS"].flatMap { Int($0) } ?? 100
            let setting = try await blocking { try IndexedRegistry() }
            let tally = Tally()
            try await withThrowingTaskGroup(of: Void.self) { group in
                // Much of it is waiting: for retries, and for what does not come.
                for _ in 0..<4 {
                    group.addTask {
                        while let number = tally.next(wanted) {
                            var random = SeededGenerator(seed: generator.seed &+ UInt64(number) &* 0x9E37_79B9)
                            let round = Round(number, Way.allCases[number % Way.allCases.count], &random)
                            let faults = try await round.run(setting)
                            tally.add(faults)
                        }
                    }
                }
                while try await group.next() != nil {}
            }
            print(tally.summary)
            try await blocking { setting.registry.stop() }
        }
    }
}

/// What was done so far.
private final class Tally: Sendable {
    private let state = Mutex<(rounds: Int, faults: [FaultyProxy.Fault: Int])>((0, [:]))

    /// The number of the next round; nil when there were enough faults.
    func next(_ wanted: Int) -> Int? {
        state.withLock { state in
            guard state.faults.values.reduce(0, +) < wanted else { return nil }
            state.rounds += 1
            return state.rounds - 1
        }
    }

    func add(_ faults: [FaultyProxy.Fault: Int]) { state.withLock { $0.faults.merge(faults, uniquingKeysWith: +) } }

    var summary: String {
        state.withLock { state in
            "\(state.rounds) rounds: " + state.faults.map { "\($0.key) \($0.value)" }.sorted().joined(separator: ", ")
        }
    }
}

private func blocking<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await NIOThreadPool.singleton.runIfActive { Result { try body() } }.get()
}

/// One image, mounted and read while answers go wrong, and then again when they do not.
private struct Round {
    let number: Int
    let way: EndToEnd.LazyFaultTests.Way
    private let seed: UInt32
    private let budget: Int
    private let front: FaultyProxy.Front?
    private let faults: Faults

    /// Which requests go wrong, and how.
    private final class Faults: Sendable {
        private struct State {
            var random: SeededGenerator
            var left: Int
            var done: [FaultyProxy.Fault: Int] = [:]
        }
        private let state: Mutex<State>
        // Each is as likely as the others but for one: what stalls costs seconds.
        private static let kinds = FaultyProxy.Fault.allCases.filter { $0 != .stalls }

        init(_ random: SeededGenerator, _ budget: Int) { state = Mutex(State(random: random, left: budget)) }

        func next() -> FaultyProxy.Fault? {
            state.withLock { state in
                guard state.left > 0, Int.random(in: 0..<3, using: &state.random) > 0 else { return nil }
                let fault = Int.random(in: 0..<60, using: &state.random) == 0 ? .stalls : Self.kinds[Int.random(in: 0..<Self.kinds.count, using: &state.random)]
                state.left -= 1
                state.done[fault, default: 0] += 1
                return fault
            }
        }

        var areOver: Bool { state.withLock { $0.left == 0 } }
        var done: [FaultyProxy.Fault: Int] { state.withLock { $0.done } }
    }

    init(_ number: Int, _ way: EndToEnd.LazyFaultTests.Way, _ random: inout SeededGenerator) {
        self.number = number
        self.way = way
        seed = UInt32.random(in: 0...UInt32.max, using: &random)
        budget = Int.random(in: 1...20, using: &random)
        let uses = { (random: inout SeededGenerator) in Int.random(in: 16...40, using: &random) }
        front = switch Int.random(in: 0..<4, using: &random) {
        case 0: FaultyProxy.Front(tokenUses: uses(&random))
        case 1: FaultyProxy.Front(linkUses: uses(&random))
        case 2: FaultyProxy.Front(tokenUses: uses(&random), linkUses: uses(&random))
        default: nil
        }
        faults = Faults(SeededGenerator(seed: random.next()), budget)
    }

    /// Returns the faults that were done.
    func run(_ setting: IndexedRegistry) async throws -> [FaultyProxy.Fault: Int] {
        let proxy = try await FaultyProxy.start(before: setting.registry.host, front: front)
        let faults = faults
        proxy.inject { _ in faults.next() }
        let result = try await NIOThreadPool.singleton.runIfActive { Result { try read(setting, proxy) } }
        await proxy.stop()
        try result.get()
        return faults.done
    }

    private var name: String { "round \(number), \(way), seed \(seed)" }

    private func read(_ setting: IndexedRegistry, _ proxy: FaultyProxy) throws {
        let larder = try MountedLarder(["--fetch-timeout", "4"])
        let reference = "\(proxy.host)/\(way.reference)"
        let listing = setting.fixtures.truth("small"), rootfs = larder.rootfs(reference)
        let pull = way == .pull ? try Program([LarderCommand.binary, "pull", "--store", larder.store, reference], environment: larder.environment) : nil
        let checker = ["\(Checkout.fixtures)/check-reads", listing, rootfs, "\(seed)"]
        // A reader gives up after some errors; others come.
        for _ in 0..<3 where !faults.areOver {
            let first = try Program.run(checker, limit: 120)
            #expect(first.status == 0, "\(name): wrong answers\n\(first.text)\(first.errors)\n\(larder.log.suffix(3000))")
        }
        if let pull {
            let pulled = try pull.wait(limit: 120)
            // Done, or failed with a reason; never a crash.
            #expect(pulled.status == 0 || (pulled.status < 128 && !pulled.errors.isEmpty), "\(name): pull ended with \(pulled.status)\n\(pulled.errors)")
        }
        #expect(larder.daemon?.isRunning == true, "\(name): the daemon is gone\n\(larder.log.suffix(3000))")
        proxy.heal()
        // A host that could not be connected to is left alone for a while before it is asked again.
        var last = ""
        let healed = Wait.until(60) {
            guard let again = try? Program.run(checker + ["--errors", "1"], limit: 120) else { return false }
            last = again.text + again.errors
            if again.status != 0 { return true }
            if again.text.contains("\"failed\": 0") { return true }
            usleep(300_000)
            return false
        }
        #expect(healed && last.contains("\"failed\": 0") && !last.contains(" | "), "\(name): not well again without faults\n\(last)\n\(larder.log.suffix(3000))")
        larder.stop()
        let verified = try larder.larder("verify")
        #expect(verified.status == 0, "\(name): the store is damaged\n\(verified.text)\(verified.errors)")
    }
}
