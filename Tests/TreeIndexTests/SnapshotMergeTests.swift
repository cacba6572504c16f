import Archive
import Testing

@testable import TreeIndex

@Suite struct SnapshotMergeTests {
    private func snapshot(_ layers: [ArchiveEntry]...) throws -> TreeIndex {
        try TreeIndex.snapshot(of: layers.map { try TreeIndex($0) })
    }

    @Test func noLayersMakeAnEmptyTree() throws {
        let index = try TreeIndex.snapshot(of: [])
        #expect(index.paths == [""])
        #expect(index.isSnapshot)
        #expect(index.matches(layers: []))
    }

    @Test func whiteoutsDeleteFromLowerLayersOnly() throws {
        let index = try snapshot([.file("d/x"), .file("d/y")], [.file("d/.wh.x")], [.file("d/x", mtime: 9)])
        #expect(index.paths == ["", "d", "d/x", "d/y"])
        #expect(index.node("d/x")?.modifiedSeconds == 9)
    }

    @Test func aWhiteoutOfNothingLeavesNoTrace() throws {
        #expect(try snapshot([.file("a")], [.file(".wh.b")]).paths == ["", "a"])
    }

    @Test func anOpaqueDirectoryHidesWhatIsBelowWhereverItsMarkerStands() throws {
        let index = try snapshot([.file("d/low")], [.file("d/own"), .file("d/.wh..wh..opq")], [.file("d/high")])
        #expect(index.paths == ["", "d", "d/high", "d/own"])
        #expect(index.node("d")?.flags.contains(.opaque) == false)
    }

    @Test func theTopmostLayerThatDescribesADirectorySaysWhatItIsLike() throws {
        let index = try snapshot([.directory("d", mode: 0o700, mtime: 5)], [.directory("d", mode: 0o711, mtime: 6)], [.file("d/f")])
        #expect(index.node("d")?.mode == 0o711)
        #expect(index.node("d")?.layerSlot == 1)
        #expect(index.node("d/f")?.layerSlot == 2)
        #expect(index.node("d")?.flags == [])
    }

    @Test func anOpaqueMarkerHidesEntriesButNotWhatTheDirectoryIsLike() throws {
        let index = try snapshot([.directory("d", mode: 0o700), .file("d/low")], [.file("d/.wh..wh..opq")])
        #expect(index.paths == ["", "d"])
        #expect(index.node("d")?.mode == 0o700)
    }

    @Test func whatIsNoDirectoryReplacesOneAndHidesAllBelow() throws {
        let index = try snapshot([.file("d/one")], [.symlink("d", to: "x")], [.file("d/two")])
        #expect(index.paths == ["", "d", "d/two"])
        #expect(index.node("d")?.flags == .implicit)
    }

    @Test func aHardLinkKeepsItsInodeWhenItsFirstNameIsReplaced() throws {
        let index = try snapshot(
            [.file("a", size: 5, mtime: 50), .link("b", to: "a"), .link("z", to: "a")], [.file("a", size: 6, mtime: 60)])
        #expect(index.node("a")?.modifiedSeconds == 60)
        #expect(index.node("b")?.modifiedSeconds == 50)
        #expect(index.node("z")?.linkCount == 2)
        let inodes = try ["b", "z"].map { index.view.canonical(try #require(index.view.find([UInt8]($0)))) }
        #expect(inodes[0] == inodes[1])
    }

    @Test func aLinkIntoALowerLayerIsOneMoreNameOfThatInode() throws {
        let index = try snapshot([.file("low", size: 5)], [.link("d/high", to: "low")], [.link("top", to: "d/high")])
        #expect(index.node("top")?.linkCount == 3)
        #expect(index.node("top")?.layerSlot == 0)
        #expect(index.node("top")?.size == 5)
    }

    @Test func aLinkIntoALowerLayerOutlivesItsTarget() throws {
        let index = try snapshot([.file("low", size: 5)], [.link("high", to: "low")], [.file(".wh.low")])
        #expect(index.paths == ["", "high"])
        #expect(index.node("high")?.linkCount == 1)
        #expect(index.node("high")?.size == 5)
    }

    @Test func aLinkToNothingIsAnErrorThatNamesIt() throws {
        let layers = try [[ArchiveEntry.file("x")], [.link("d/l", to: "gone"), .file(".wh.x")]].map { try TreeIndex($0) }
        #expect(throws: TreeIndexError.unresolvedLink(path: [UInt8]("d/l"), target: [UInt8]("gone"))) {
            try TreeIndex.snapshot(of: layers)
        }
    }

    @Test func nodesSayWhichInodeOfWhichLayerTheyAre() throws {
        let low = try TreeIndex([.file("a", size: 1, mtime: 11), .file("b", size: 2, mtime: 12)])
        let high = try TreeIndex([.file("b", size: 3, mtime: 13), .link("c", to: "b")])
        let index = try TreeIndex.snapshot(of: [low, high])
        #expect(index.matches(layers: [low, high]))
        #expect(!index.matches(layers: [high, low]))
        #expect(!index.matches(layers: [low]))
        for (name, layer) in [("a", low), ("b", high), ("c", high)] {
            let node = try #require(index.node(name))
            #expect(layer.view.node(node.layerOrdinal).modifiedSeconds == node.modifiedSeconds)
        }
        #expect(index.view.layer(1).treeKey == .fake(101))
        #expect(index.view.layer(1).blobDigest == .fake(2))
    }

    @Test func entriesOfADirectoryAreNeighbours() throws {
        let view = try snapshot([.file("d/x"), .file("a"), .file("d/y")], [.file("d/z"), .file("b")]).view
        for ordinal in 0..<Ordinal(view.nodeCount) {
            let node = view.node(ordinal)
            for position in 0..<max(0, node.childCount - 1) {
                #expect(view.child(of: node, at: position + 1) == view.child(of: node, at: position) + 1)
            }
        }
    }

    @Test func aSnapshotIsNoLayer() throws {
        let low = try snapshot([.file("a")])
        #expect(throws: TreeIndexError.self) { try TreeIndex.snapshot(of: [low]) }
        #expect(low.identity == nil)
    }

    @Test func randomLayersMergeAsUnpackingThemWould() throws {
        var random = SeededRandom.announced("randomLayersMergeAsUnpackingThemWould")
        var (merged, refused) = (0, 0)
        for _ in 0..<2000 {
            var serial: Int64 = 1000
            var layers: [[ArchiveEntry]] = []
            var model: NaiveFilesystem? = NaiveFilesystem()
            for _ in 0..<Int.random(in: 1...5, using: &random) {
                // Most random layers have a flaw: try for one without, but let some through.
                var layer: [ArchiveEntry] = []
                var next: NaiveFilesystem?
                for _ in 0..<(random.chance(95) ? 40 : 1) where next == nil {
                    layer = RandomLayer.entries(count: Int.random(in: 0...9, using: &random), serial: &serial, &random)
                    next = NaiveFilesystem.applying(layers + [layer])
                }
                layers.append(layer)
                model = next
                if model == nil { break }
            }
            let story = layers.enumerated().map { slot, layer in
                layer.map { "\n  layer \(slot): \($0.kind) \(text($0.path)) \(text($0.linkTarget))" }.joined()
            }.joined()
            do {
                let indexes = try layers.map { try TreeIndex($0) }
                let index = try TreeIndex.snapshot(of: indexes)
                try #require(index.listing == model?.listing, "\(story)")
                try #require(index.matches(layers: indexes), "\(story)")
                merged += 1
            } catch let error as TreeIndexError {
                try #require(model == nil, "\(error)\(story)")
                refused += 1
            }
        }
        #expect(merged > 1000 && refused > 20, "\(merged) merged, \(refused) refused: the generator is one-sided")
    }
}

extension NaiveFilesystem {
    /// nil where one of the layers cannot be unpacked.
    static func applying(_ layers: [[ArchiveEntry]]) -> NaiveFilesystem? {
        var model = NaiveFilesystem()
        do {
            for layer in layers { try model.apply(layer) }
        } catch {
            return nil
        }
        return model
    }
}
