import OCI
import Remote
import Store
import Synchronization
import TestSupport
import Testing
import TreeIndex
@testable import Images

/// Layers with a table of contents: read in pieces, and trusted no further than the layer's own bytes bear it out.
@Suite struct TableLayerTests {
    static let large = SeededGenerator(seed: 11).copyBytes((17 << 18) + 77)

    static func lazy() -> LazyLayer {
        var random = SeededGenerator(seed: 12)
        return LazyLayer(
            [.directory("d"), .file("d/small", "small"), .file("d/large", large), .symlink("link", to: "d/small"), .hardLink("hard", to: "d/small")]
                + (0..<30).map { .file("d/f\($0)", random.bytes(90_000)) })
    }

    private func tree(_ bench: Bench, _ rest: String = "app:1") async throws -> ContentTree {
        ContentTree(layer: try await bench.library.tree(of: try await bench.image(rest).layers[0]))
    }

    @Test(arguments: ["estargz", "zstdchunked", "skopeo"])
    func layersOfOtherToolsAreReadByTheirTables(name: String) async throws {
        let layer = try await Self.fixture(name)
        try await Bench().run { bench in
            try bench.add([layer])
            let tree = try await tree(bench)
            #expect(tree.layers[0].format.hasTableOfContents)
            #expect(!bench.store.hasBlob(layer.digest))
            // The same layer without its annotations is streamed: both must hold the same.
            var plain = layer
            plain.annotations = nil
            try await Bench(sharing: bench, storeName: "other").run { other in
                try other.add([plain], to: "plain")
                let whole = try await self.tree(other, "plain:1")
                #expect(!whole.layers[0].format.hasTableOfContents)
                var files = 0
                for ordinal in 0..<Ordinal(tree.view.nodeCount) where tree.view.node(ordinal).kind == .regular && !tree.view.node(ordinal).isDead {
                    let path = tree.view.path(of: ordinal)
                    let lazy = try await tree.content(path)
                    let streamed = try await whole.content(path)
                    #expect(lazy == streamed)
                    files += 1
                }
                #expect(files > 5)
            }
            #expect(tree.isComplete)
        }
    }

    /// A real layer, with the DiffID of its tar.
    static func fixture(_ name: String) async throws -> LayerFixture {
        let folder = "\(#filePath)".split(separator: "/").dropLast(2).joined(separator: "/")
        func read(_ suffix: String) throws -> [UInt8] { try Shell.contents(ofFile: "/\(folder)/ArchiveTests/Fixtures/\(name).\(suffix)") }
        let blob = try read("layer")
        var annotations: [String: String] = [:]
        for line in String(decoding: try read("annotations"), as: UTF8.self).split(separator: "\n") {
            let parts = line.split(separator: "=", maxSplits: 1)
            annotations[String(parts[0])] = String(parts[1])
        }
        let type = blob.starts(with: [0x1f, 0x8b]) ? "gzip" : "zstd"
        let tar = try await Shell.check(type, ["-dc"], input: blob).bytes
        return LayerFixture(blob: blob, mediaType: "application/vnd.oci.image.layer.v1.tar+\(type)", diffID: Digest(of: tar), annotations: annotations)
    }

    @Test func onlyWhatIsReadIsFetched() async throws {
        try await Bench().run { bench in
            let lazy = Self.lazy()
            try bench.add([lazy.layer()])
            let tree = try await tree(bench)
            #expect(tree.layers[0].view.spanCount > 4)
            #expect(try bench.files("spans") == [])
            #expect(try await tree.content("d/f3") == lazy.members.first { $0.name == Array("d/f3".utf8) }?.content)
            await bench.library.settle()
            #expect(try bench.files("spans").count == 1)
            let hard = try #require(tree.view.find(Array("hard".utf8)))
            #expect(tree.view.canonical(hard) == tree.view.find(Array("d/small".utf8)))
            let here = tree.layers[0].storedBytes
            #expect(here.here > 0 && here.here < here.total)
        }
    }

    @Test func aLargeFileBecomesAnObjectWithItsLastSpan() async throws {
        try await Bench().run { bench in
            try bench.add([Self.lazy().layer()])
            let tree = try await tree(bench)
            let ordinal = try #require(tree.view.find(Array("d/large".utf8)))
            try await tree.fetch(ordinal, at: 0, count: 1)
            #expect(!tree.hasObject(ordinal))
            #expect(tree.storedSize(ordinal) < UInt64(Self.large.count) && tree.storedSize(ordinal) > 0)
            #expect(try await tree.content("d/large") == Self.large)
            await bench.library.settle()
            #expect(tree.hasObject(ordinal))
            #expect(tree.storedSize(ordinal) == UInt64(Self.large.count))
            #expect(try tree.openObject(ordinal)?.readAll(limit: 1 << 24) == Self.large)
            // The object holds what the spans did. Others were fetched ahead.
            let spans = tree.layers[0].parts.exclusiveSpans(of: ordinal)
            #expect(spans.count > 2)
            #expect(try bench.store.presentSpans(tree.layers[0].contentKey).allSatisfy { !spans.contains(Int($0)) })
            #expect(try await tree.content("d/large") == Self.large)
        }
    }

    @Test func aWrongChunkIsAnErrorThatNamesTheBlobAndIsNotPublished() async throws {
        var lazy = Self.lazy()
        lazy.adjust = { records in
            for index in records.indices {
                for field in records[index].indices where records[index][field].key == "chunkDigest" { records[index][field].value = LazyLayer.text("\(Digest(of: [9]))") }
            }
        }
        let layer = lazy.layer()
        try await Bench().run { bench in
            try bench.add([layer])
            let tree = try await tree(bench)
            await #expect { try await tree.content("d/small") } throws: { "\($0)".contains("\(layer.digest)") }
            #expect(try bench.files("spans", "files") == [])
            // The layer itself is right: sealing finds that the table lies, and the layer decides.
            _ = try await bench.library.pull(try bench.reference())
            let honest = try await self.tree(bench)
            #expect(try await honest.content("d/small") == Array("small".utf8))
            #expect(!honest.layers[0].format.hasTableOfContents)
        }
    }

    @Test func aPullSealsALayerThatWasReadByItsTable() async throws {
        let layer = Self.lazy().layer()
        try await Bench().run { bench in
            try bench.add([layer])
            let tree = try await tree(bench)
            _ = try await tree.content("d/f1")
            #expect(!bench.store.hasTree(layer.digest))
            let image = try await bench.library.pull(try bench.reference())
            let status = bench.library.status(of: image)
            #expect(status.complete)
            #expect(status.layers[0].sealed && status.layers[0].blobHere)
            #expect(status.layers[0].indexSource == "table-of-contents")
            // The tree that was open before goes on, with everything here.
            #expect(tree.isComplete)
            try bench.loseSource()
            #expect(try await tree.content("d/large") == Self.large)
        }
    }

    @Test(arguments: ["mode", "size of names", "missing entry", "content"])
    func aTableThatContradictsTheTarIsDiscardedAndTheLayerStreamed(lie: String) async throws {
        var lazy = Self.lazy()
        lazy.adjust = { records in
            func index(_ name: String) -> Int { records.firstIndex { $0.contains { $0.key == "name" && $0.value == LazyLayer.text(name) } } ?? 0 }
            switch lie {
            case "mode": records[index("d/f2")].append(("uid", "1234"))
            case "size of names":
                for field in records[index("d/f2")].indices where records[index("d/f2")][field].key == "name" { records[index("d/f2")][field].value = LazyLayer.text("d/other") ; break }
            case "missing entry": records.remove(at: index("link"))
            default:
                // Two files exchange their contents: every chunk is right by its digest.
                let (one, two) = (index("d/f2"), index("d/f3"))
                for key in ["offset", "chunkDigest", "digest"] {
                    guard let first = records[one].firstIndex(where: { $0.key == key }), let second = records[two].firstIndex(where: { $0.key == key }) else { continue }
                    let value = records[one][first].value
                    records[one][first].value = records[two][second].value
                    records[two][second].value = value
                }
            }
        }
        let layer = lazy.layer()
        try await Bench().run { bench in
            try bench.add([layer])
            #expect(try await tree(bench).layers[0].format.hasTableOfContents)
            _ = try await bench.library.pull(try bench.reference())
            let honest = try await tree(bench)
            #expect(!honest.layers[0].format.hasTableOfContents)
            for member in lazy.members where member.kind == .file { #expect(try await honest.content(member.name) == member.content) }
            #expect(honest.view.find(Array("link".utf8)) != nil)
            #expect(honest.view.find(Array("d/f2".utf8)).map { honest.view.node($0).uid } == 0)
        }
    }

    @Test func aTableThatHasLostANameIsNotUsed() async throws {
        let layer = LazyLayer([.file("a", "x"), .file(bytes: [0x66, 0xff, 0x66], Array("y".utf8))]).layer()
        try await Bench().run { bench in
            try bench.add([layer])
            let tree = try await tree(bench)
            #expect(!tree.layers[0].format.hasTableOfContents)
            #expect(try await tree.content([0x66, 0xff, 0x66]) == Array("y".utf8))
        }
    }

    @Test func oneImagesTableDoesNotSpoilAnothersLayer() async throws {
        let honest = Self.lazy().layer()
        // The same blob; a table that this image alone promises, which does not exist in it.
        var lying = honest
        lying.annotations = ["containerd.io/snapshot/stargz/toc.digest": "\(Digest(of: [7]))"]
        var plain = honest
        plain.annotations = nil
        try await Bench().run { bench in
            try bench.add([lying], to: "lying")
            try bench.add([honest], to: "honest")
            try bench.add([plain], to: "plain")
            #expect(try await tree(bench, "honest:1").layers[0].format.hasTableOfContents)
            #expect(try await tree(bench, "honest:1").content("d/small") == Array("small".utf8))
            let key = try #require(LayerTable(try await bench.image("honest:1").layers[0].descriptor)?.key)
            #expect(LayerTable(try await bench.image("lying:1").layers[0].descriptor)?.key != key)
            // Its table is refused; the layer is streamed and says the same to everybody.
            #expect(try await tree(bench, "lying:1").content("d/small") == Array("small".utf8))
            #expect(try await tree(bench, "plain:1").content("d/f1") == Self.lazy().members.first { $0.name == Array("d/f1".utf8) }?.content)
        }
    }

    @Test func aSpanAskedForByManyIsFetchedOnce() async throws {
        try await Bench().run { bench in
            try bench.add([Self.lazy().layer()])
            let tree = try await tree(bench)
            let ordinal = try #require(tree.view.find(Array("d/small".utf8)))
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<200 { group.addTask { try await tree.fetch(ordinal, at: 0, count: 5) } }
                try await group.waitForAll()
            }
            await bench.library.settle()
            #expect(try bench.files("spans").count == 1)
            #expect(try bench.files("tmp").filter { !$0.hasSuffix(".lock") } == [])
        }
    }
}
