import OCI
import Store
import TestSupport
import Testing
import TreeIndex
@testable import Images

/// Merged trees: what they hold, and whose they are.
@Suite struct SnapshotTests {
    private let base = LayerFixture.plain([.directory("etc"), .file("etc/name", "base"), .file("etc/gone", "x"), .file("both", "low")])
    private let top = LayerFixture.plain([.file("etc/.wh.gone", []), .file("both", "high"), .file("new", "n")])

    @Test func upperLayersCoverLowerOnes() async throws {
        try await Bench().run { bench in
            try bench.add([base, top])
            let image = try await bench.image()
            let tree = try await bench.library.snapshot(of: image)
            #expect(try await tree.content("both") == Array("high".utf8))
            #expect(try await tree.content("etc/name") == Array("base".utf8))
            #expect(tree.view.find(Array("etc/gone".utf8)) == nil)
            let lower = try await bench.library.snapshot(of: image, count: 1)
            #expect(try await lower.content("both") == Array("low".utf8))
            #expect(try await lower.content("etc/gone") == Array("x".utf8))
            let again = try await bench.library.snapshot(of: image)
            #expect(again === tree)
        }
    }

    @Test func imagesOfTheSameLayersShareATreeAndLiarsDoNot() async throws {
        try await Bench().run { bench in
            try bench.add([base])
            try bench.add([base], to: "same")
            // Other bytes under the DiffID of `base`: refused once the layer is streamed.
            let other = LayerFixture.plain([.file("both", "evil")])
            try bench.add([other], to: "liar", diffIDs: [base.diffID])
            let first = try await bench.library.snapshot(of: try await bench.image())
            let same = try await bench.library.snapshot(of: try await bench.image("same:1"))
            #expect(first === same)
            let liar = try await bench.image("liar:1")
            #expect(liar.chain == [ChainID.chain(of: [base.diffID])[0]])
            await #expect(throws: ImageError.self) { try await bench.library.snapshot(of: liar) }
            #expect(try await first.content("both") == Array("low".utf8))
        }
    }

    @Test func aTableOfContentsWithAnothersDiffIDGetsATreeOfItsOwn() async throws {
        try await Bench().run { bench in
            try bench.add([base])
            let evil = LazyLayer([.file("both", "evil")]).layer()
            try bench.add([evil], to: "liar", diffIDs: [base.diffID])
            let liar = try await bench.library.snapshot(of: try await bench.image("liar:1"))
            #expect(try await liar.content("both") == Array("evil".utf8))
            let honest = try await bench.library.snapshot(of: try await bench.image())
            #expect(try await honest.content("both") == Array("low".utf8))
        }
    }

    @Test func anIndexOfOtherLayersInTheWayIsMadeAnew() async throws {
        try await Bench().run { bench in
            try bench.add([base, top])
            try bench.add([base], to: "other")
            let image = try await bench.image()
            let layers = [try await bench.library.tree(of: image.layers[0]), try await bench.library.tree(of: image.layers[1])]
            let key = ImageLibrary.snapshotKey(layers.map(\.contentKey))
            let strange = try SnapshotMerge.merge([.init(index: layers[0].index, treeKey: layers[0].contentKey)])
            try bench.store.publishTree(strange, key)
            #expect(try await bench.library.snapshot(of: image).content("both") == Array("high".utf8))
        }
    }

    @Test func aSnapshotSurvivesItsProcess() async throws {
        try await Bench().run { bench in
            try bench.add([base, top])
            _ = try await bench.library.pull(try bench.reference())
            try bench.loseSource()
            try await Bench(sharing: bench).run { other in
                let tree = try await other.library.snapshot(of: try await other.image())
                #expect(tree.isComplete)
                #expect(try await tree.content("new") == Array("n".utf8))
            }
        }
    }
}
