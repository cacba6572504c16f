import Synchronization
import TestSupport

/// Who meets which fault: every way its share of them, and on each way every kind as often as the others.
final class FaultSchedule: Sendable {
    struct Assignment: Sendable {
        let way: FaultyWay
        let front: FaultyWay.Front
        /// Among all rounds, and the faults of this one at most.
        let number: Int
        let budget: Int
        let seed: UInt64
    }

    struct Outcome: Sendable {
        var evidence: [FaultEvidence: Int] = [:]
        var record = FaultyProxy.Front.Record()
        var failures: [String] = []
    }

    private struct Progress {
        var left: Int
        var missing: Set<FaultEvidence>
        /// What is dealt next. A pack is dealt whole before the next is shuffled.
        var faults: [FaultyProxy.Fault] = []
        var fronts: [FaultyWay.Front] = []
        var rounds = 0
        var running = 0
        var done: [FaultyProxy.Fault: Int] = [:]
        var seen: [FaultEvidence: Int] = [:]
        var record = FaultyProxy.Front.Record()
    }

    private struct State {
        var random: SeededGenerator
        var ways: [FaultyWay: Progress]
        var rounds = 0
        var failures: [String] = []

        mutating func assign(_ way: FaultyWay) -> Assignment {
            var progress = ways[way]!
            let budget = progress.left <= 10 ? max(progress.left, 3) : min(progress.left, Int.random(in: 1...20, using: &random))
            progress.left -= min(progress.left, budget)
            progress.rounds += 1
            progress.running += 1
            let front = FaultSchedule.deal(&progress.fronts, way.fronts, &random)
            ways[way] = progress
            rounds += 1
            return Assignment(way: way, front: front, number: rounds, budget: budget, seed: random.next())
        }
    }

    private let state: Mutex<State>
    private let roundLimit: Int

    init(_ wanted: Int, seed: UInt64) {
        let share = (wanted + FaultyWay.allCases.count - 1) / FaultyWay.allCases.count
        // Rounds do not always meet all that is meant for them.
        roundLimit = 10 + share
        state = Mutex(State(random: SeededGenerator(seed: seed), ways: Dictionary(uniqueKeysWithValues: FaultyWay.allCases.map {
            ($0, Progress(left: share, missing: $0.evidence))
        })))
    }

    /// The next round: of the way that had the fewest so far, among those that have not met their faults or not shown what they are
    /// meant to. nil when there is none.
    func next() -> Assignment? {
        state.withLock { state in
            let open = FaultyWay.allCases.filter { way in
                let progress = state.ways[way]!
                return progress.rounds < roundLimit && (progress.left > 0 || (!progress.missing.isEmpty && progress.running == 0))
            }
            guard let way = open.min(by: { state.ways[$0]!.rounds < state.ways[$1]!.rounds }) else { return nil }
            return state.assign(way)
        }
    }

    /// The next fault for somebody on this way.
    func draw(for way: FaultyWay) -> FaultyProxy.Fault {
        state.withLock { state in
            let fault = Self.deal(&state.ways[way]!.faults, FaultyProxy.Fault.allCases, &state.random)
            state.ways[way]!.done[fault, default: 0] += 1
            return fault
        }
    }

    private static func deal<Card>(_ pack: inout [Card], _ all: [Card], _ random: inout SeededGenerator) -> Card {
        if pack.isEmpty { pack = all.shuffled(using: &random) }
        return pack.removeLast()
    }

    /// - Parameter unused: faults of its budget that the round has not met.
    func end(_ assignment: Assignment, _ outcome: Outcome, unused: Int) {
        state.withLock { state in
            var progress = state.ways[assignment.way]!
            progress.running -= 1
            progress.left += unused
            progress.missing.subtract(outcome.evidence.filter { $0.value > 0 }.keys)
            progress.seen.merge(outcome.evidence, uniquingKeysWith: +)
            progress.record.expiredTokens += outcome.record.expiredTokens
            progress.record.expiredLinks += outcome.record.expiredLinks
            progress.record.leaks += outcome.record.leaks
            state.ways[assignment.way] = progress
            state.failures += outcome.failures
        }
    }

    /// What went wrong, and ways that did not get what they are for.
    var failures: [String] {
        state.withLock { state in
            state.failures + FaultyWay.allCases.flatMap { way in
                let progress = state.ways[way]!
                var failures: [String] = []
                if progress.left > 0 || !progress.missing.isEmpty {
                    failures.append("\(way): after \(progress.rounds) rounds \(progress.left) faults are left, and nothing was seen of \(progress.missing.map(\.rawValue).sorted())")
                }
                if progress.record.leaks > 0 { failures.append("\(way): \(progress.record.leaks) requests showed the storage's host the registry's token") }
                return failures
            }
        }
    }

    var summary: String {
        state.withLock { state in
            let total = state.ways.values.reduce(0) { $0 + $1.done.values.reduce(0, +) }
            let ways = FaultyWay.allCases.map { way in
                let progress = state.ways[way]!
                let seen = FaultEvidence.allCases.compactMap { one in progress.seen[one].flatMap { $0 > 0 ? ", \(one) \($0)" : nil } }.joined()
                let done = progress.done.map { "\($0.key) \($0.value)" }.sorted().joined(separator: ", ")
                return "  \(way): \(progress.rounds) rounds\(seen)\n    \(progress.done.values.reduce(0, +)) faults: \(done)"
                    + "; expired: tokens \(progress.record.expiredTokens), links \(progress.record.expiredLinks)"
            }
            return (["\(state.rounds) rounds, \(total) faults"] + ways).joined(separator: "\n")
        }
    }
}
