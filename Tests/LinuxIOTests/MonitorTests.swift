import Foundation
import LinuxIO
import Testing

@Suite struct MonitorTests {
    @Test func waitersSeeEveryChange() {
        let monitor = Monitor(0)
        let threads = 8
        // Each thread waits for its turn: with one wake-up lost, all that follow would hang.
        let done = DispatchGroup()
        for turn in (0..<threads).reversed() {
            done.enter()
            Thread.detachNewThread {
                monitor.wait { $0 == turn ? () : nil }
                monitor.update { $0 += 1 }
                done.leave()
            }
        }
        done.wait()
        #expect(monitor.read { $0 } == threads)
    }

    @Test(.timeLimit(.minutes(5))) func aLimitedWaitEndsWithAnAnswerOrWithItsLimit() {
        let monitor = Monitor(0)
        #expect(monitor.wait(for: .milliseconds(1)) { $0 == 1 ? true : nil } == nil)
        Thread.detachNewThread { monitor.update { $0 = 1 } }
        #expect(monitor.wait(for: .seconds(1_000_000)) { $0 == 1 ? true : nil } == true)
        #expect(monitor.wait(for: .zero) { $0 == 1 ? true : nil } == true)
    }
}
