import Archive
import Testing

@testable import TreeIndex

@Suite struct WhiteoutTests {
    @Test func aWhiteoutIsANodeOfTheNameItDeletes() throws {
        let index = try TreeIndex([.file("d/.wh.gone")])
        #expect(index.paths == ["", "d", "d/gone"])
        #expect(index.node("d/gone")?.kind == .whiteout)
        #expect(index.node("d")?.flags == .implicit)
    }

    @Test(arguments: [[ArchiveEntry.file(".wh.f"), .file("f")], [.file("f"), .file(".wh.f")]])
    func aRealFileWinsOverItsWhiteoutInEitherOrder(entries: [ArchiveEntry]) throws {
        let index = try TreeIndex(entries)
        #expect(index.node("f")?.kind == .regular)
        #expect(index.view.nodeCount == 2)
    }

    @Test(arguments: [
        [ArchiveEntry.file(".wh.d"), .directory("d")], [.directory("d"), .file(".wh.d")],
    ])
    func aRealDirectoryWinsOverItsWhiteoutAndIsOpaque(entries: [ArchiveEntry]) throws {
        #expect(try TreeIndex(entries).node("d")?.flags == .opaque)
    }

    @Test(arguments: [[ArchiveEntry.file(".wh.d"), .file("d/f")], [.file("d/f"), .file(".wh.d")]])
    func aDirectoryImpliedBesideItsWhiteoutOwesNothingToLowerLayers(entries: [ArchiveEntry]) throws {
        let node = try #require(try TreeIndex(entries).node("d"))
        #expect(node.flags == .opaque)
        #expect(node.mode == 0o755)
    }

    @Test func anOpaqueMarkerMarksItsDirectoryAndIsNoEntry() throws {
        var builder = TreeBuilder()
        #expect(try builder.add(.file("d/.wh..wh..opq")) == nil)
        #expect(try builder.add(.file("./.wh..wh..opq")) == nil)
        let index = try TreeIndex(validating: builder.finish(.test).bytes)
        #expect(index.paths == ["", "d"])
        #expect(index.node("d")?.flags == [.opaque, .implicit])
        #expect(index.node("")?.flags.contains(.opaque) == true)
    }

    @Test(arguments: [".wh..wh.plnk", ".wh..wh.aufs", ".wh..wh.plnk/12.34", ".wh..wh.orph/x"])
    func theBookkeepingOfAufsIsNoContent(path: String) throws {
        var builder = TreeBuilder()
        #expect(try builder.add(.file(path)) == nil)
        #expect(builder.nodeCount == 1)
    }

    @Test func aMemberBelowAWhiteoutReplacesIt() throws {
        let index = try TreeIndex([.file(".wh.a"), .symlink("a", to: "b")])
        #expect(index.node("a")?.kind == .symlink)
    }
}
