import Glibc
import LinuxIO
import Testing

@testable import FuseBridge

@Suite struct CallerPlacementTests {
    /// What is said after each look.
    private func looks(_ runnable: [Int], of processors: Int) -> [Bool] {
        var spare = SpareProcessor(of: processors)
        return runnable.map { spare.isThere(beside: $0) }
    }

    @Test func oneCallerLeavesTheOtherProcessorIdle() {
        #expect(looks([1, 1, 1], of: 2) == [true, true, true])
        #expect(looks([1, 2, 1, 2, 1, 1, 2], of: 2).allSatisfy { $0 }, "the answering thread beside its caller, now and then")
        #expect(looks([2, 2, 2], of: 2) == [false, false, false])
    }

    @Test func whoFillsTheProcessorsMostOfTheTimeLeavesNone() {
        #expect(looks([3, 1, 3, 1, 2, 2, 1, 3, 2, 1, 2], of: 2).allSatisfy { !$0 })
        #expect(looks([1, 1, 1, 1, 2, 2, 2], of: 2).allSatisfy { $0 }, "what was there stays while it can")
    }

    @Test func whoComesIsSeenAtOnce() {
        #expect(looks([1, 1, 1, 1, 1, 5], of: 2).last == false)
        #expect(looks([1, 1, 1, 1, 1, 3, 3], of: 2).last == false)
        #expect(looks([60, 60, 60, 120], of: 64) == [true, true, true, false])
    }

    @Test func whoHasGoneIsForgotten() {
        let said = looks([9] + [Int](repeating: 1, count: 20), of: 2)
        #expect(said.first == false && said.last == true)
        #expect(said.firstIndex(of: true).map { !said[$0...].contains(false) } == true, "and stays so")
    }

    /// However the looks have turned out meanwhile.
    @Test(.timeLimit(.minutes(5))) func atTheEndNoThreadIsIdle() throws {
        let placement = CallerPlacement()
        let policy = Monitor<ThreadPriority.Policy?>(nil)
        let thread = try DedicatedThread.start("test-caller") {
            placement.addThread()
            placement.start()
            for _ in 0..<200 {
                placement.requestCame(from: getpid())
                usleep(500)
            }
            placement.finish()
            policy.update { $0 = ThreadPriority.policy(of: ThreadPriority.thread) }
        }
        thread.join()
        #expect(policy.read { $0 } == .batch)
    }

    @Test(.timeLimit(.minutes(5))) func whatNobodyAskedEndsAtOnce() {
        let placement = CallerPlacement()
        placement.start()
        placement.finish()
        CallerPlacement().finish()
    }
}
