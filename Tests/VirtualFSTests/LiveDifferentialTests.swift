import Glibc
import Testing
@testable import VirtualFS

/// A live tree beside a plain directory of the same disk.
@Suite struct LiveDifferentialTests {
    /// As root, because permissions are the kernel's to check, and here there is none above the tree.
    @Test(.enabled(if: geteuid() == 0 || getenv("CI") != nil, "needs root"), arguments: [true, false])
    func noOperationAnswersOtherwiseThanThePlainDirectory(usesHandles: Bool) throws {
        let machine = try LiveMachine(usesHandles: usesHandles, name: "live-differential-\(usesHandles ? "handles" : "places")")
        #expect(machine.live.fixture.tree.isPrivileged == (usesHandles))
        let operations: [() -> Bool] = [
            machine.makeDirectory, machine.makeDirectory, machine.makeNode, machine.makeSymlink, machine.readLink, machine.unlink,
            machine.removeDirectory, machine.rename, machine.rename, machine.link, machine.look, machine.changeAttributes,
            machine.changeAttributes, machine.extendedAttributes, machine.openFile, machine.openFile, machine.openUnnamed,
            machine.useHandle, machine.useHandle, machine.useHandle, machine.useHandle, machine.useHandle,
        ]
        for step in 0..<12_000 {
            guard machine.pick(operations)() else { return }
            machine.forget()
            if step % 2000 == 1999 { guard machine.treesAreEqual() else { return } }
        }
        machine.closeAll()
        var random = machine.random
        machine.live.shrink(to: 0, &random)
        #expect(machine.live.fixture.tree.knownNodes == 1)
        // A machine whose every call fails proves nothing. Of the rarer ones some may fail each time by chance.
        #expect(machine.successes.count >= 25, "\(machine.successes.keys.sorted())")
    }
}
