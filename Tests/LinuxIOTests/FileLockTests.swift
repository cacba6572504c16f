import Glibc
import LinuxIO
import Testing

@Suite struct FileLockTests {
    let scratch: ScratchDirectory
    var directory: Directory { scratch.directory }

    init() throws { scratch = try ScratchDirectory() }

    private func isFree(_ mode: FileLock.Mode) throws -> Bool { try FileLock(trying: "lock", in: directory, mode) != nil }

    @Test func anExclusiveLockKeepsEverybodyElseOut() throws {
        do {
            let lock = try FileLock(waitingFor: "lock", in: directory, .exclusive)
            #expect(try !isFree(.shared))
            #expect(try !isFree(.exclusive))
            _ = consume lock
        }
        // A child that a test beside this one is starting holds a copy of the lock until its exec.
        for _ in 0..<3000 where try !isFree(.exclusive) { usleep(20_000) }
        #expect(try isFree(.exclusive))
    }

    @Test func sharedLocksLiveTogether() throws {
        let lock = try FileLock(waitingFor: "lock", in: directory, .shared)
        #expect(try isFree(.shared))
        #expect(try !isFree(.exclusive))
        _ = consume lock
    }

    @Test func aLockIsConvertedInPlace() throws {
        let lock = HeldLock(try FileLock(waitingFor: "lock", in: directory, .exclusive))
        #expect(try lock.lock.convert(to: .shared))
        #expect(try isFree(.shared))
        let other = HeldLock(try FileLock(waitingFor: "lock", in: directory, .shared))
        #expect(try !lock.lock.convert(to: .exclusive), "another shared holder is in the way")
        #expect(try !isFree(.exclusive), "a failed conversion leaves the shared lock in place")
        withExtendedLifetime(other) {}
    }
}

/// A lock in a box, since macros of the testing library copy their operands.
private final class HeldLock {
    let lock: FileLock

    init(_ lock: consuming FileLock) { self.lock = lock }
}
