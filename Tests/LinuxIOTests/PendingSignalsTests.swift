import Glibc
import Testing

@testable import LinuxIO

@Suite struct PendingSignalsTests {
    private func status(_ state: String, pending: UInt64 = 0, shared: UInt64 = 0, blocked: UInt64 = 0, ignored: UInt64 = 0) -> String {
        func mask(_ bits: UInt64) -> String { String(repeating: "0", count: 16 - String(bits, radix: 16).count) + String(bits, radix: 16) }
        return """
            Name:	a: name
            State:	\(state)
            SigQ:	1/96365
            SigPnd:	\(mask(pending))
            ShdPnd:	\(mask(shared))
            SigBlk:	\(mask(blocked))
            SigIgn:	\(mask(ignored))
            SigCgt:	0000000000002002

            """
    }

    @Test func whatWaitsForAThreadThatDoesNotTakeIt() {
        let waits = "D (disk sleep)"
        #expect(PendingSignals.areHeldUp(status: status(waits, pending: 1 << 8)))
        #expect(PendingSignals.areHeldUp(status: status(waits, shared: 1 << 13)))
        #expect(PendingSignals.areHeldUp(status: status(waits, shared: 1 << 13 | 1 << 1, blocked: 1 << 1)))
        #expect(!PendingSignals.areHeldUp(status: status(waits)))
        #expect(!PendingSignals.areHeldUp(status: status(waits, shared: 1 << 13, blocked: 1 << 13)))
        #expect(!PendingSignals.areHeldUp(status: status(waits, pending: 1 << 16, ignored: 1 << 16)))
        #expect(!PendingSignals.areHeldUp(status: status("S (sleeping)", pending: 1 << 8)), "it is about to take it")
        #expect(!PendingSignals.areHeldUp(status: ""))
    }

    @Test func thisThreadTakesItsSignals() {
        #expect(!PendingSignals.areHeldUp(thread: getpid()))
        #expect(!PendingSignals.areHeldUp(thread: 0))
        #expect(!PendingSignals.areHeldUp(thread: .max))
    }
}
