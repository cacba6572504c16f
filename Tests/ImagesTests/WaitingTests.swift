import Synchronization
import Testing
@testable import Images

/// `Progress` and `within`: waiting that ends.
@Suite struct WaitingTests {
    struct Failed: Error {}

    @Test func everyWaiterSeesTheNextEvent() async throws {
        let progress = Progress()
        try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<100 { group.addTask { try await progress.next(after: 0) } }
            progress.advance()
            while let count = try await group.next() { #expect(count >= 1) }
        }
    }

    @Test func anEventOfThePastIsNotWaitedFor() async throws {
        let progress = Progress()
        progress.advance()
        progress.advance()
        #expect(try await progress.next(after: 0) == 2)
        #expect(try await progress.next(after: 1) == 2)
    }

    @Test(arguments: [true, false])
    func aCancelledWaiterEndsAndTheOthersStay(early: Bool) async throws {
        let progress = Progress()
        let cancelled = Task {
            if early { withUnsafeCurrentTask { $0?.cancel() } }
            return try await progress.next(after: 0)
        }
        let other = Task { try await progress.next(after: 0) }
        cancelled.cancel()
        await #expect(throws: CancellationError.self) { try await cancelled.value }
        progress.advance()
        #expect(try await other.value == 1)
    }

    @Test func quickWorkIsNotHeldUp() async throws {
        #expect(try await within(.seconds(3600)) { 3 } == 3)
        await #expect(throws: Failed.self) { try await within(.seconds(3600)) { throw Failed() } }
    }

    @Test func workBeyondTheLimitIsCancelled() async throws {
        let progress = Progress()
        await #expect(throws: DeadlineExceeded.self) { try await within(.milliseconds(1)) { try await progress.next(after: 0) } }
    }

    @Test func cancellingTheWaitIsNoDeadline() async throws {
        let progress = Progress()
        let task = Task { try await within(.seconds(3600)) { try await progress.next(after: 0) } }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
    }
}
