import Glibc
import LinuxIO
import Testing

@testable import VirtualFS

@Suite struct DirectoryReadAheadTests {
    private func names(_ prefix: String, _ count: Int) -> [[UInt8]] { (0..<count).map { Array("\(prefix)\($0)".utf8) } }

    private func taken(_ wanted: inout WantedDirectories<Int>) -> [String] {
        var taken: [String] = []
        while let (directory, name) = wanted.next() { taken.append("\(directory)/\(String(decoding: name, as: UTF8.self))") }
        return taken
    }

    @Test func eachListingLetsAFewBeTaken() {
        var wanted = WantedDirectories<Int>()
        #expect(!wanted.hasNext)
        wanted.add(names("a", 40), in: 1)
        #expect(taken(&wanted) == (0..<16).map { "1/a\($0)" })
        wanted.add([], in: 2)
        #expect(taken(&wanted) == (16..<32).map { "1/a\($0)" })
        for _ in 0..<10 { wanted.add([], in: 2) }
        #expect(taken(&wanted) == (32..<40).map { "1/a\($0)" } && !wanted.hasNext)
    }

    @Test func theNewestListingComesFirst() {
        var wanted = WantedDirectories<Int>()
        wanted.add(names("a", 2), in: 1)
        wanted.add(names("b", 2), in: 2)
        #expect(wanted.next()?.1 == Array("b0".utf8))
        wanted.add(names("c", 1), in: 3)
        #expect(taken(&wanted) == ["3/c0", "2/b1", "1/a0", "1/a1"])
    }

    @Test func whatIsRememberedIsBounded() {
        var wanted = WantedDirectories<Int>()
        for number in 0..<100 { wanted.add(names("a", 1), in: number) }
        #expect(taken(&wanted) == (84..<100).reversed().map { "\($0)/a0" }, "the last sixteen listings")
        wanted.add(names("b", 100), in: 100)
        for _ in 0..<100 { wanted.add([], in: 0) }
        #expect(taken(&wanted).count == 64)
    }

    /// Directories in `fixture` that were opened by name while `body` ran, in order.
    private func opened(in fixture: LiveFixture, _ body: () throws -> Void) throws -> [String] {
        let raw = inotify_init1(Int32(bitPattern: UInt32(IN_CLOEXEC) | UInt32(IN_NONBLOCK)))
        try #require(raw >= 0)
        let notices = OwnedDescriptor(owning: raw)
        try #require(inotify_add_watch(notices.raw, fixture.path, UInt32(IN_OPEN)) >= 0)
        try body()
        var bytes = [UInt8](repeating: 0, count: 1 << 16)
        let count = read(notices.raw, &bytes, bytes.count)
        var names: [String] = []
        var place = 0
        bytes.withUnsafeBytes { bytes in
            while place < count {
                let event = bytes.loadUnaligned(fromByteOffset: place, as: inotify_event.self)
                place += MemoryLayout<inotify_event>.size
                if event.len > 0 { names.append(String(cString: bytes.baseAddress!.advanced(by: place).assumingMemoryBound(to: CChar.self))) }
                place += Int(event.len)
            }
        }
        return names
    }

    private func fixture(with readAhead: DirectoryReadAhead) throws -> LiveFixture {
        let fixture = try LiveFixture(readAhead: readAhead)
        for number in 0..<40 { try #require(mkdir("\(fixture.path)/d\(number)", 0o755) == 0) }
        try #require(symlink("d0", fixture.path + "/link") == 0)
        return fixture
    }

    @Test(arguments: [false, true]) func afterAWaitTheDirectoriesOfAListingAreRead(wantsEntries: Bool) throws {
        let readAhead = DirectoryReadAhead()
        let fixture = try fixture(with: readAhead)
        var listed: [String] = []
        let opened = try opened(in: fixture) {
            readAhead.waited()
            listed = try fixture.list(fixture.tree.root, wantsEntries: wantsEntries).map { String(decoding: $0.name, as: UTF8.self) }
            while !readAhead.isIdle { usleep(1000) }
            readAhead.close()
        }
        #expect(opened == Array(listed.filter { $0 != "link" }.prefix(16)))
    }

    @Test func whatIsInMemoryIsNotReadAhead() throws {
        let readAhead = DirectoryReadAhead()
        let fixture = try fixture(with: readAhead)
        let opened = try opened(in: fixture) {
            let listed = try fixture.list(fixture.tree.root)
            #expect(listed.count == 41)
            #expect(readAhead.isIdle)
            readAhead.close()
        }
        #expect(opened.isEmpty)
    }

    @Test func afterItsEndNothingIsRead() throws {
        let readAhead = DirectoryReadAhead()
        let fixture = try fixture(with: readAhead)
        readAhead.close()
        readAhead.waited()
        let opened = try opened(in: fixture) { _ = try fixture.list(fixture.tree.root) }
        #expect(opened.isEmpty && readAhead.isIdle)
    }
}
