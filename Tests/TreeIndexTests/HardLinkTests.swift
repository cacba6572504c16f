import Archive
import Testing

@testable import TreeIndex

@Suite struct HardLinkTests {
    @Test func aLinkIsOneMoreNameAlsoThroughAnotherLink() throws {
        let index = try TreeIndex([.file("a", size: 5), .link("b", to: "./a"), .link("c", to: "/b")])
        let view = index.view
        #expect(view.canonical(2) == 1)
        #expect(view.canonical(3) == 1)
        #expect(index.node("c")?.linkCount == 3)
        #expect(index.node("c")?.size == 5)
    }

    @Test func symlinksAndDevicesHaveHardLinksToo() throws {
        let index = try TreeIndex([
            .symlink("s", to: "t"), .link("s2", to: "s"), ArchiveEntry(path: [UInt8]("p"), kind: .fifo), .link("p2", to: "p"),
        ])
        #expect(index.node("s2")?.kind == .symlink)
        #expect(index.node("p2")?.linkCount == 2)
    }

    @Test func anInodeOutlivesItsFirstName() throws {
        let index = try TreeIndex([
            .file("a", size: 5, mtime: 50), .link("b", to: "a"), .link("c", to: "a"), .file("a", size: 6, mtime: 60),
        ])
        #expect(index.node("a")?.size == 6)
        #expect(index.node("a")?.linkCount == 1)
        #expect(index.node("b")?.modifiedSeconds == 50)
        #expect(index.node("c")?.linkCount == 2)
        #expect(index.view.canonical(2) == index.view.canonical(3))
        #expect(index.view.content(of: try #require(index.node("c")), at: 0) == ContentRun(contentOffset: 0, length: 5))
    }

    @Test func anInodeOutlivesTheDirectoryOfItsFirstName() throws {
        let index = try TreeIndex([.file("d/a", size: 5), .link("b", to: "d/a"), .symlink("d", to: "b")])
        #expect(index.paths == ["", "b", "d"])
        #expect(index.node("b")?.kind == .regular)
        #expect(index.node("b")?.size == 5)
        #expect(index.node("b")?.linkCount == 1)
    }

    @Test func aNameThatChangesItsInodeLeavesTheOldOne() throws {
        let index = try TreeIndex([.file("a", size: 1), .file("b", size: 2), .link("c", to: "a"), .link("c", to: "b")])
        #expect(index.node("a")?.linkCount == 1)
        #expect(index.node("b")?.linkCount == 2)
        #expect(index.node("c")?.size == 2)
    }

    @Test(arguments: ["a", "b", "c", "d"])
    func anyOfFourNamesCanLeaveTheOthers(leaver: String) throws {
        let index = try TreeIndex([
            .file("a", size: 1, mtime: 50), .link("b", to: "a"), .link("c", to: "a"), .link("d", to: "b"), .file(leaver, mtime: 60),
        ])
        #expect(index.node(leaver)?.linkCount == 1)
        #expect(index.node(leaver)?.modifiedSeconds == 60)
        for name in ["a", "b", "c", "d"] where name != leaver {
            #expect(index.node(name)?.linkCount == 3)
            #expect(index.node(name)?.modifiedSeconds == 50)
        }
    }

    @Test func aLinkToItsOldNameJoinsAgain() throws {
        let index = try TreeIndex([.file("a", size: 1), .link("b", to: "a"), .link("a", to: "b")])
        #expect(index.node("a")?.linkCount == 2)
        #expect(index.view.canonical(1) == index.view.canonical(2))
    }

    @Test func contentGivenToALinkIsItsInodes() throws {
        var builder = TreeBuilder()
        try builder.add(.file("a", size: 4))
        let link = try #require(try builder.add(.link("b", to: "a")))
        try builder.append(ContentSpan(contentStart: 0, length: 4, sourceOffset: 0, sourceLength: 4))
        try builder.setContent(link, at: 0)
        #expect(try TreeIndex(validating: builder.finish(.test).bytes).node("a")?.contentOffset == 0)
    }

    @Test func aLinkToALaterMemberIsResolvedAtTheEnd() throws {
        let index = try TreeIndex([.link("x", to: "y"), .link("y", to: "z"), .file("z", size: 3)])
        #expect(index.node("x")?.linkCount == 3)
        #expect(index.node("x")?.size == 3)
    }

    @Test func aLinkOutOfTheLayerDanglesAndChainsAreShortened() throws {
        let index = try TreeIndex([.link("x", to: "y"), .link("y", to: "./lower/file")])
        for name in ["x", "y"] {
            let node = try #require(index.node(name))
            #expect(node.kind == .danglingLink)
            #expect(text(index.view.linkTarget(of: node)) == "lower/file")
        }
    }

    @Test func ringsSelfLinksAndLinksToDirectoriesAreErrors() throws {
        let bad: [[ArchiveEntry]] = [
            [.link("a", to: "b"), .link("b", to: "a")], [.link("a", to: "b"), .link("b", to: "c"), .link("c", to: "a")],
            [.link("a", to: "./a")], [.directory("d"), .link("a", to: "d")], [.link("a", to: "d"), .directory("d")],
            [.link("a", to: "/")],
        ]
        for entries in bad {
            let error = #expect(throws: TreeIndexError.self) { try TreeIndex(entries) }
            guard case .badLink = error else {
                Issue.record("\(entries.map { text($0.path) }): \(String(describing: error))")
                continue
            }
        }
    }

    @Test func aHundredThousandNamesComeAndGoInLinearTime() throws {
        // Quadratic handling of names would make this 10^10 steps.
        var builder = try TreeBuilder([.file("0")])
        for number in 1..<100_000 { try builder.add(.link("\(number)", to: "\(number - 1)")) }
        for number in 0..<99_999 { try builder.add(.file("\(number)")) }
        let index = try TreeIndex(validating: builder.finish(.test).bytes)
        #expect(index.node("99999")?.linkCount == 1)
        #expect(index.node("99999")?.kind == .regular)
    }

    @Test func aLongChainOfDanglingLinksIsResolvedInLinearTime() throws {
        let entries = (0..<100_000).map { ArchiveEntry.link("\($0)", to: "\($0 + 1)") }
        let index = try TreeIndex(entries)
        #expect(text(index.view.linkTarget(of: try #require(index.node("0")))) == "100000")
    }
}
