import Glibc
import Testing

@testable import LinuxIO

@Suite struct PendingSignalsTests {
    private func signals(_ state: String, pending: [Int32] = [], shared: [Int32] = [], blocked: [Int32] = [], ignored: [Int32] = []) -> PendingSignals? {
        func mask(_ signals: [Int32]) -> String {
            let text = String(signals.reduce(0 as UInt64) { $0 | 1 << UInt64($1 - 1) }, radix: 16)
            return String(repeating: "0", count: 16 - text.count) + text
        }
        return PendingSignals(
            status: """
                Name:	a: name
                State:	\(state)
                SigQ:	1/96365
                SigPnd:	\(mask(pending))
                ShdPnd:	\(mask(shared))
                SigBlk:	\(mask(blocked))
                SigIgn:	\(mask(ignored))
                SigCgt:	0000000000002002

                """)
    }

    @Test(arguments: [SIGHUP, SIGINT, SIGQUIT, SIGABRT, SIGKILL, SIGTERM])
    func someWantItsEnd(signal: Int32) throws {
        #expect(try #require(signals("S (sleeping)", pending: [signal])).wantItsEnd)
        #expect(try #require(signals("S (sleeping)", shared: [SIGCHLD, signal], blocked: [SIGCHLD])).wantItsEnd)
        #expect(try !#require(signals("S (sleeping)", shared: [signal], blocked: [signal])).wantItsEnd)
        #expect(try !#require(signals("S (sleeping)", shared: [signal], ignored: [signal])).wantItsEnd)
    }

    @Test(arguments: [SIGALRM, SIGCHLD, SIGURG, SIGWINCH, SIGUSR1, SIGPROF, 34, 64])
    func othersDoNot(signal: Int32) throws {
        #expect(try !#require(signals("D (disk sleep)", pending: [signal], shared: [signal])).wantItsEnd)
    }

    @Test func stateIsWhetherItTakesThem() throws {
        #expect(try #require(signals("D (disk sleep)")).isHeldUp)
        #expect(try !#require(signals("S (sleeping)")).isHeldUp)
        #expect(PendingSignals(status: "") == nil)
    }

    @Test func thisThreadTakesItsSignals() throws {
        let mine = try #require(PendingSignals(thread: getpid()))
        #expect(!mine.isHeldUp && !mine.wantItsEnd)
        #expect(PendingSignals(thread: 0) == nil && PendingSignals(thread: .max) == nil)
    }
}
