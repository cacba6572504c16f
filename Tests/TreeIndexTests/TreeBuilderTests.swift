import Archive
import OCI
import Testing

@testable import TreeIndex

@Suite struct TreeBuilderTests {
    @Test(arguments: ["usr/bin", "./usr/bin", "/usr/bin", "usr//bin/", "./usr/./bin/."])
    func everySpellingOfAPathIsTheSamePath(spelling: String) throws {
        var builder = TreeBuilder()
        let first = try builder.add(.directory("usr/bin"))
        #expect(try builder.add(.directory(spelling, mode: 0o700)) == first)
        #expect(builder.find([UInt8](spelling)) == first)
        #expect(builder.nodeCount == 3)
    }

    @Test(arguments: ["../x", "a/../../x", "a/../b", "..", "/../etc/passwd"])
    func pathsThatCouldLeaveTheTreeAreRefusedByName(path: String) {
        var builder = TreeBuilder()
        #expect(throws: TreeIndexError.escapes(path: [UInt8](path))) { try builder.add(.file(path)) }
        #expect(throws: TreeIndexError.escapes(path: [UInt8](path))) { try builder.add(.link("name", to: path)) }
    }

    @Test func anAbsoluteSymlinkTargetIsData() throws {
        let index = try TreeIndex([.symlink("etc/motd", to: "/../../etc/shadow")])
        let node = try #require(index.node("etc/motd"))
        #expect(text(index.view.linkTarget(of: node)) == "/../../etc/shadow")
        #expect(node.size == 17)
    }

    @Test(arguments: [
        ArchiveEntry.file("a\0b"), .file(String(repeating: "n", count: 256)), .file(String(repeating: "n/", count: 2049)),
        .file("."), .symlink("s", to: ""), .symlink("s", to: String(repeating: "t", count: 4096)), .file(".wh.x/y"), .file("d/.wh."),
        .file(".wh.."), .file(".wh..."), .link("l", to: ""), .symlink("s", to: "a\0b"),
    ])
    func namesThatCannotBeAreRefused(entry: ArchiveEntry) {
        var builder = TreeBuilder()
        let error = #expect(throws: TreeIndexError.self) { try builder.add(entry) }
        guard case .badPath = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test func namesAreBytes() throws {
        let name: [UInt8] = [0xff, 0xfe, 0x20, 0x80]
        let index = try TreeIndex([ArchiveEntry(path: name, kind: .regular)])
        #expect(index.view.find(name) == 1)
    }

    @Test func missingParentsAreImplicitUntilDescribed() throws {
        var builder = TreeBuilder()
        try builder.add(.file("a/b/c"))
        let parent = try #require(builder.find([UInt8]("a/b")))
        #expect(builder.node(parent).flags == .implicit)
        #expect(builder.node(parent).mode == 0o755)
        #expect(builder.node(parent).modifiedSeconds == 0)
        #expect(try builder.add(.directory("a/b", mode: 0o700, mtime: 9)) == parent)
        #expect(builder.node(parent).flags == [])
        #expect(builder.node(parent).mode == 0o700)
        #expect(builder.find([UInt8]("a/b/c")) != nil)
    }

    @Test func theRootCanBeDescribed() throws {
        let index = try TreeIndex([.directory("./", mode: 0o711)])
        #expect(index.view.node(0).mode == 0o711)
        #expect(!index.view.node(0).flags.contains(.implicit))
    }

    @Test func aLaterDuplicateWinsAndKeepsTheOrdinal() throws {
        var builder = TreeBuilder()
        let first = try builder.add(.symlink("x", to: "y"))
        let second = try builder.add(.file("x", size: 0, mtime: 7))
        #expect(first == second)
        let index = try TreeIndex(validating: builder.finish(.test).bytes)
        #expect(index.node("x")?.kind == .regular)
        #expect(index.node("x")?.modifiedSeconds == 7)
    }

    @Test func aFileOverADirectoryTakesTheWholeDirectoryAway() throws {
        let index = try TreeIndex([.file("d/one"), .file("d/sub/two"), .file("d", size: 3)])
        #expect(index.paths == ["", "d"])
        #expect(index.view.nodeCount == 5)
        #expect((2..<5).allSatisfy { index.view.node($0).isDead })
    }

    @Test func aPathThatComesBackGetsItsOldOrdinalAndNothingElseDoes() throws {
        var builder = TreeBuilder()
        let inner = try builder.add(.file("d/one", mtime: 5))
        try builder.add(.file("d"))
        #expect(builder.find([UInt8]("d/one")) == nil)
        try builder.add(.directory("d"))
        #expect(builder.find([UInt8]("d/one")) == nil)
        #expect(try builder.add(.file("d/one", mtime: 6)) == inner)
        let index = try TreeIndex(validating: builder.finish(.test).bytes)
        #expect(index.paths == ["", "d", "d/one"])
        #expect(index.node("d")?.flags == .opaque)
        #expect(index.node("d/one")?.modifiedSeconds == 6)
    }

    @Test func aMemberWithinANonDirectoryIsAnErrorThatNamesBoth() throws {
        for blocker in [ArchiveEntry.symlink("a/l", to: "/etc"), .file("a/l"), .link("a/l", to: "elsewhere")] {
            var builder = try TreeBuilder([blocker])
            let error = #expect(throws: TreeIndexError.self) { try builder.add(.file("a/l/passwd")) }
            #expect(error == .parentIsNoDirectory(path: [UInt8]("a/l/passwd"), blocker: [UInt8]("a/l")))
        }
    }

    @Test func directoryLinkCountsIncludeSubdirectories() throws {
        let index = try TreeIndex([.directory("d"), .directory("d/a"), .directory("d/b"), .file("d/f"), .directory("d/a/x")])
        #expect(index.node("d")?.linkCount == 4)
        #expect(index.node("d/a")?.linkCount == 3)
        #expect(index.node("")?.linkCount == 3)
    }

    @Test func childrenAreSortedByBytes() throws {
        let names = ["b", "a", "ab", "B", "a-", "\u{e9}", "a.b"]
        let index = try TreeIndex(names.map { .file($0) })
        let root = index.view.node(0)
        let listed = (0..<root.childCount).map { Array(index.view.name(of: index.view.node(index.view.child(of: root, at: $0)))) }
        #expect(listed == names.map { [UInt8]($0) }.sorted { $0.lexicographicallyPrecedes($1) })
        #expect(names.allSatisfy { index.view.find([UInt8]($0)) != nil })
        #expect(["", "aa", "zz", "a-b"].allSatisfy { name in
            [UInt8](name).withUnsafeBytes { index.view.child(of: 0 as Ordinal, named: $0) } == nil
        })
    }

    @Test func attributesAreSortedAndTheLaterOfTwoCounts() throws {
        var entry = ArchiveEntry.file("f")
        entry.attributes = [
            ExtendedAttribute(name: [UInt8]("user.z"), value: [1]), ExtendedAttribute(name: [UInt8]("user.a"), value: []),
            ExtendedAttribute(name: [UInt8]("user.z"), value: [2, 0]),
        ]
        var twin = entry
        twin.path = [UInt8]("g")
        let index = try TreeIndex([entry, twin])
        let node = try #require(index.node("f"))
        #expect(index.view.attributes(of: node).map { Array($0.name) } == [[UInt8]("user.a"), [UInt8]("user.z")])
        #expect([UInt8]("user.z").withUnsafeBytes { index.view.attribute(of: node, named: $0).map(Array.init) } == [2, 0])
        #expect([UInt8]("user.y").withUnsafeBytes { index.view.attribute(of: node, named: $0) } == nil)
        #expect(index.node("g")?.attributesOffset == node.attributesOffset)
    }

    @Test func limitsHoldWhateverTheArchiveSays() {
        var few = TreeLimits()
        few.nodes = 3
        var tight = TreeLimits()
        tight.heapBytes = 10
        var shallow = TreeLimits()
        shallow.depth = 2
        #expect(throws: TreeIndexError.tooMany("files", limit: 3)) { try TreeBuilder([.file("a/b/c")], limits: few) }
        #expect(throws: TreeIndexError.tooMany("bytes of names", limit: 10)) { try TreeBuilder([.file("01234567890")], limits: tight) }
        #expect(throws: TreeIndexError.self) { try TreeBuilder([.file("a/b/c")], limits: shallow) }
    }
}
