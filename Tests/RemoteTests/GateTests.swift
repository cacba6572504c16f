@testable import Remote
import Synchronization
import Testing

struct GateTests {
    @Test func noMoreThanTheCountAreInside() async throws {
        let gate = Gate(3)
        let count = Count()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<200 {
                group.addTask {
                    let permit = try await gate.permit()
                    count.enter()
                    await Task.yield()
                    count.leave()
                    withExtendedLifetime(permit) {}
                }
            }
            try await group.waitForAll()
        }
        #expect((1...3).contains(count.most) && count.inside == 0)
    }

    private final class Count: Sendable {
        private let state = Mutex((inside: 0, most: 0))
        var inside: Int { state.withLock { $0.inside } }
        var most: Int { state.withLock { $0.most } }
        func enter() { state.withLock { $0 = ($0.inside + 1, max($0.most, $0.inside + 1)) } }
        func leave() { state.withLock { $0.inside -= 1 } }
    }

    @Test func aCancelledWaiterLeavesTheQueueAndTheNextGoesOn() async throws {
        let gate = Gate(1)
        var permit: Gate.Permit? = try await gate.permit()
        #expect(permit != nil)
        let waiters = (0..<10).map { _ in Task { () -> Bool in (try? await gate.permit()) != nil } }
        for (number, task) in waiters.enumerated() where number % 2 == 0 { task.cancel() }
        for (number, task) in waiters.enumerated() where number % 2 == 0 { #expect(await task.value == false) }
        permit = nil
        for (number, task) in waiters.enumerated() where number % 2 == 1 { #expect(await task.value) }
        // All were given back.
        _ = try await gate.permit()
    }

    @Test func budgetsEndAndProgressRenewsThem() {
        let now = ContinuousClock.now
        var budget = RetryBudget(attempts: 3, limit: .seconds(60), firstPause: .seconds(1), now: now)
        let broken = Fault(.unreachable, "x", remedy: .backOff)
        let pauses = (0..<5).map { _ in budget.pause(after: broken, now: now) }
        #expect(pauses.prefix(3).allSatisfy { $0 != nil } && pauses.suffix(2).allSatisfy { $0 == nil })
        for (number, pause) in pauses.prefix(3).enumerated() {
            let full = Duration.seconds(1 << number)
            #expect(pause.map { $0 >= full / 2 && $0 <= full } == true)
        }
        // A byte at a time is no progress.
        for _ in 0..<1000 { budget.advance(by: 1, now: now) }
        #expect(budget.pause(after: broken, now: now) == nil)
        budget.advance(by: 64 << 10, now: now)
        #expect(budget.pause(after: broken, now: now) != nil)
        #expect(budget.pause(after: broken, now: now.advanced(by: .seconds(61))) == nil)
        #expect(budget.pause(after: Fault(.rateLimited, "x", remedy: .pause(.seconds(61))), now: now) == nil)
        #expect(budget.pause(after: Fault(.rateLimited, "x", remedy: .pause(.seconds(7))), now: now) == .seconds(7))
        #expect(budget.pause(after: Fault(.denied, "x"), now: now) == nil)
    }
}
