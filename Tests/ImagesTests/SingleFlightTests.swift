import Synchronization
import Testing
@testable import Images

/// Work that is shared is done once, and each of those who wait for it can leave alone.
@Suite struct SingleFlightTests {
    struct Failed: Error {}

    /// A gate that work waits at, and that says how it fared.
    private final class Gate: Sendable {
        let entered = Progress()
        let opened = Progress()
        let wasCancelled = Mutex(false)

        /// Waits until the gate is opened; notes a cancellation.
        func pass() async throws {
            entered.advance()
            do {
                _ = try await opened.next(after: 0)
            } catch {
                wasCancelled.withLock { $0 = true }
                throw error
            }
        }
    }

    @Test func aThousandAskersShareOnePieceOfWork() async throws {
        let flights = SingleFlight<Int, Int>(abandoned: .cancel)
        let gate = Gate()
        try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<1000 {
                group.addTask {
                    try await flights.run(7) {
                        try await gate.pass()
                        return 42
                    }
                }
            }
            try await flights.boarded(7, atLeast: 1000)
            gate.opened.advance()
            var answers = 0
            while let answer = try await group.next() {
                #expect(answer == 42)
                answers += 1
            }
            #expect(answers == 1000)
        }
        #expect(gate.entered.count == 1)
    }

    @Test func otherKeysAreOtherWork() async throws {
        let flights = SingleFlight<Int, Int>(abandoned: .finish)
        async let one = flights.run(1) { 1 }
        async let two = flights.run(2) { 2 }
        #expect(try await (one, two) == (1, 2))
    }

    @Test func anErrorReachesAllAndIsNotKept() async throws {
        let flights = SingleFlight<Int, Int>(abandoned: .cancel)
        let gate = Gate()
        let first = Task { try await flights.run(0) { try await gate.pass(); throw Failed() } }
        _ = try await gate.entered.next(after: 0)
        let others = (0..<10).map { _ in Task { try await flights.run(0) { Issue.record("work done twice"); return 0 } } }
        try await flights.boarded(0, atLeast: 11)
        gate.opened.advance()
        await #expect(throws: Failed.self) { try await first.value }
        for task in others { await #expect(throws: Failed.self) { try await task.value } }
        #expect(try await flights.run(0) { 5 } == 5)
    }

    @Test func cancellingOneWaiterLeavesTheOthers() async throws {
        let flights = SingleFlight<Int, Int>(abandoned: .cancel)
        let gate = Gate()
        let first = Task { try await flights.run(0) { try await gate.pass(); return 1 } }
        _ = try await gate.entered.next(after: 0)
        let second = Task { try await flights.run(0) { 2 } }
        try await flights.boarded(0, atLeast: 2)
        first.cancel()
        await #expect(throws: CancellationError.self) { try await first.value }
        #expect(!gate.wasCancelled.withLock { $0 })
        gate.opened.advance()
        #expect(try await second.value == 1)
    }

    @Test func theLastWaitersCancellationCancelsWorkOfNoLaterUse() async throws {
        let flights = SingleFlight<Int, Int>(abandoned: .cancel)
        let gate = Gate()
        let only = Task { try await flights.run(0) { try await gate.pass(); return 1 } }
        _ = try await gate.entered.next(after: 0)
        only.cancel()
        await #expect(throws: CancellationError.self) { try await only.value }
        // Who comes now does not board what is doomed.
        #expect(try await flights.run(0) { 2 } == 2)
        while !gate.wasCancelled.withLock({ $0 }) { await Task.yield() }
    }

    @Test func workWorthFinishingIsFinishedWithoutWaiters() async throws {
        let flights = SingleFlight<Int, Int>(abandoned: .finish)
        let gate = Gate()
        let only = Task { try await flights.run(0) { try await gate.pass(); return 1 } }
        _ = try await gate.entered.next(after: 0)
        only.cancel()
        await #expect(throws: CancellationError.self) { try await only.value }
        #expect(!gate.wasCancelled.withLock { $0 })
        let next = Task { try await flights.run(0) { 2 } }
        try await flights.boarded(0, atLeast: 1)
        gate.opened.advance()
        #expect(try await next.value == 1)
    }

    @Test func whoIsCancelledBeforeAskingDoesNotWait() async throws {
        let flights = SingleFlight<Int, Int>(abandoned: .cancel)
        let gate = Gate()
        let task = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            return try await flights.run(0) { try await gate.pass(); return 1 }
        }
        await #expect(throws: CancellationError.self) { try await task.value }
    }

    @Test func cancellingAfterTheLandingChangesNothing() async throws {
        let flights = SingleFlight<Int, Int>(abandoned: .cancel)
        let task = Task { try await flights.run(0) { 1 } }
        #expect(try await task.value == 1)
        task.cancel()
        #expect(try await flights.run(0) { 2 } == 2)
    }

    @Test func askersThatComeAndGoAtRandomAllEnd() async throws {
        let flights = SingleFlight<Int, Int>(abandoned: .cancel)
        await withTaskGroup(of: Void.self) { group in
            for number in 0..<2000 {
                group.addTask {
                    let task = Task { try await flights.run(number % 5) { await Task.yield(); try Task.checkCancellation(); return number % 5 } }
                    if number % 3 == 0 { task.cancel() }
                    switch await task.result {
                    case .success(let value): #expect(value == number % 5)
                    case .failure(let error): #expect(error is CancellationError && number % 3 == 0)
                    }
                }
            }
        }
    }
}

extension SingleFlight {
    /// Returns once `count` askers wait for the work of `key`.
    func boarded(_ key: Key, atLeast count: Int) async throws {
        while waiterCount(key) < count {
            try Task.checkCancellation()
            await Task.yield()
        }
    }
}
