import CLinux
import Glibc
import LinuxIO
import Testing
@testable import VirtualFS

/// Who reads a file's content for those who open it: the kernel from below, or the page cache.
@Suite struct LiveOpeningTests {
    /// Whether it is to be read through the page cache.
    private func isPaged(_ fixture: LiveFixture, size: Int, flags: Int32 = O_RDONLY) throws -> Bool {
        let name = "f\(size)"
        let file = try OwnedDescriptor.open(fixture.path + "/" + name, O_CREAT | O_WRONLY, mode: 0o644)
        guard ftruncate(file.raw, size) == 0 else { throw SystemError("ftruncate") }
        let node = try #require(try fixture.lookup(name)).attributes.node
        let opened = ready(try fixture.tree.open(node, flags: flags))
        fixture.tree.release(node, handle: opened.handle)
        return !opened.complete
    }

    @Test func aSmallFileIsReadThroughThePageCache() throws {
        let fixture = try LiveFixture()
        #expect(try isPaged(fixture, size: 0))
        #expect(try isPaged(fixture, size: Int(LiveTree.pagedSize)))
        #expect(try !isPaged(fixture, size: Int(LiveTree.pagedSize) + 1))
    }

    @Test func whoeverWritesOrWantsNoPageCacheIsLeftToTheKernel() throws {
        let fixture = try LiveFixture()
        for flags in [O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC, O_RDONLY | larder_o_direct] { #expect(try !isPaged(fixture, size: 100, flags: flags)) }
    }

    /// Others could change it below the pages; and where files are not opened by handle, one that is unlinked could not be read any more.
    @Test func whatOthersMayChangeIsLeftToTheKernel() throws {
        #expect(try !isPaged(try LiveFixture(gate: ShutGate()), size: 100))
        #expect(try !isPaged(try LiveFixture(usesHandles: false), size: 100))
    }

    /// What is remembered of pages holds for as long as nobody else may change them; a registration reads below in any case.
    @Test func pagesAreNotTrustedBesideOthers() throws {
        let alone = try LiveFixture()
        try alone.touch("f")
        let node = try #require(try alone.lookup("f")).attributes.node
        for isBacked in [true, false] { #expect(try alone.tree.reopen(node, isBacked: isBacked) != nil) }
        let beside = try LiveFixture(gate: ShutGate())
        _ = try OwnedDescriptor.open(beside.path + "/f", O_CREAT | O_WRONLY, mode: 0o644)
        let other = try #require(try beside.lookup("f")).attributes.node
        #expect(try beside.tree.reopen(other, isBacked: true) != nil)
        #expect(try beside.tree.reopen(other, isBacked: false) == nil)
    }
}
