import Archive
import OCI
import Store
import TestSupport
import Testing
import TreeIndex
@testable import Images

/// The content space of a plain layer is its tar: every span comes back from its own range of the blob, and all of them
/// together prove the layer.
@Suite struct TarSpaceTests {
    private func tree(_ bench: Bench) async throws -> LayerTree { try await bench.library.tree(of: try await bench.image().layers[0]) }

    @Test(arguments: MixedLayer.Packing.allCases)
    func everySpanIsDecompressedFromItsOwnRange(packing: MixedLayer.Packing) async throws {
        var random = SeededGenerator.named("everySpanIsDecompressedFromItsOwnRange \(packing)")
        let mixed = try await MixedLayer(&random)
        let layer = try await mixed.packed(packing)
        try await Bench().run { bench in
            try bench.add([layer])
            let tree = try await tree(bench)
            #expect(tree.servesSpans == packing.servesSpans)
            #expect(tree.view.contentSize == UInt64(mixed.tar.count))
            #expect(tree.isComplete && tree.storedBytes == (here: tree.view.contentSize, total: tree.view.contentSize))
            try await expectFiles(of: mixed, in: tree)
            for number in 0..<tree.view.spanCount {
                let span = tree.view.span(number)
                #expect(span.length <= UInt64(LayerUnpacker.spanLimit))
                let wanted = mixed.tar[Int(span.contentStart)..<Int(span.contentEnd)]
                #expect(span.digest == Digest(of: Array(wanted)))
                guard packing.servesSpans else { continue }
                let source = Array(layer.blob[Int(span.sourceOffset)..<Int(span.sourceOffset + span.sourceLength)])
                #expect(try decode(number, tree, source, at: span.sourceOffset) == Array(wanted), "span \(number)")
                // Also out of a larger range, and never from a damaged one.
                let before = UInt64(min(1000, Int(span.sourceOffset)))
                let wide = Array(layer.blob[Int(span.sourceOffset - before)..<min(layer.blob.count, Int(span.sourceOffset + span.sourceLength) + 1000)])
                #expect(try decode(number, tree, wide, at: span.sourceOffset - before) == Array(wanted), "span \(number)")
                var damaged = source
                damaged[damaged.count / 2] ^= 0x10
                if let content = try? decode(number, tree, damaged, at: span.sourceOffset) { #expect(content == Array(wanted), "span \(number)") }
                #expect(throws: ArchiveError.self) { try decode(number, tree, source.dropLast(), at: span.sourceOffset) }
            }
        }
    }

    private func decode(_ number: Int, _ tree: LayerTree, _ source: [UInt8], at offset: UInt64) throws -> [UInt8] {
        var content = [UInt8](repeating: 0, count: Int(tree.view.span(number).length))
        try source.withUnsafeBytes { source in
            try content.withUnsafeMutableBytes { try SpanContent.decode(number, of: tree, from: source, at: offset, into: $0) }
        }
        return content
    }

    private func expectFiles(of mixed: MixedLayer, in layer: LayerTree) async throws {
        let tree = ContentTree(layer: layer)
        for (path, content) in mixed.files { #expect(try await tree.content(path) == content, "\(String(decoding: path, as: UTF8.self))") }
    }

    @Test(arguments: MixedLayer.Packing.allCases)
    func evictedContentComesBackByItsRanges(packing: MixedLayer.Packing) async throws {
        var random = SeededGenerator.named("evictedContentComesBackByItsRanges \(packing)")
        let mixed = try await MixedLayer(&random)
        let layer = try await mixed.packed(packing)
        try await Bench().run { bench in
            try bench.add([layer])
            let before = try await tree(bench).index
            // At least one that somebody reads: some spans, and one of the objects, hold only what was replaced.
            let objects = Set(mixed.files.values.map { "files/sha256/\(Digest(of: $0).hex)" })
            let read = try #require(try bench.files("files/sha256").filter(objects.contains).randomElement(using: &random))
            for name in try bench.files("spans", "files/sha256") where name == read || Bool.random(using: &random) {
                try bench.directory.directory().remove("store/\(name)")
            }
            try bench.store.remove(.blob(layer.digest))
            // A store that another process opens: nothing is cached here.
            try await Bench(sharing: bench).run { other in
                let tree = try await tree(other)
                #expect(TreeIndex.difference(before, tree.index) == nil && before.view.spanCount == tree.view.spanCount)
                try await expectFiles(of: mixed, in: tree)
                // By range where that is possible, so that the blob was not fetched; otherwise by one more stream.
                #expect(other.streamCount == (packing.servesSpans ? 0 : 1))
                #expect(other.store.hasBlob(layer.digest) == (other.streamCount == 1))
            }
        }
    }

    // MARK: - Indexes from elsewhere

    /// The layer's tree by an index that another has made, in a store that has nothing else of the layer.
    private func adopt(_ index: TreeIndex, _ bench: Bench, diffID: Digest? = nil) async throws -> LayerTree {
        var layer = try await bench.image().layers[0]
        if let diffID { layer = ImageLayer(descriptor: layer.descriptor, diffID: diffID, repository: layer.repository) }
        let key = Digest(of: Array("adopted".utf8))
        let adopted = try TreeIndex(validating: index.rekeyed(contentKey: key, diffID: nil))
        return try LayerTree(adopted, try #require(adopted.identity), layer: layer, supply: bench.library.supply) {}
    }

    /// Streams the layer in a store of its own and gives its index.
    private func index(of bench: Bench) async throws -> TreeIndex {
        try await Bench(sharing: bench, storeName: "maker").run { try await tree($0).index }
    }

    @Test(arguments: MixedLayer.Packing.allCases.filter(\.servesSpans))
    func aLayerIsSealedByItsSpansAlone(packing: MixedLayer.Packing) async throws {
        var random = SeededGenerator.named("aLayerIsSealedByItsSpansAlone \(packing)")
        let mixed = try await MixedLayer(&random)
        let layer = try await mixed.packed(packing)
        try await Bench().run { bench in
            try bench.add([layer])
            let tree = try await adopt(try await index(of: bench), bench)
            // Nobody reads what was replaced, and still it is part of the proof.
            let unread = (0..<tree.view.spanCount).filter { tree.view.span($0).flags.contains(.exclusive) && tree.largeFile(at: $0) == nil }
            #expect(!unread.isEmpty)
            try await tree.fetcher.bring((0..<tree.view.spanCount).filter { !unread.contains($0) }, for: .fill)
            try await bench.library.sealIfComplete(tree)
            #expect(!tree.isComplete && !bench.store.hasTree(layer.digest))
            try await tree.fetcher.bring(unread, for: .fill)
            try await tree.assembleObjects()
            try await expectFiles(of: mixed, in: tree)
            #expect(tree.isComplete)
            try await bench.library.sealIfComplete(tree)
            let sealed = try #require(try bench.store.openTree(layer.digest))
            #expect(sealed.identity?.diffID == layer.diffID && sealed.identity?.contentKey == tree.contentKey)
            #expect(bench.streamCount == 0 && !bench.store.hasBlob(layer.digest))
        }
    }

    @Test func aDamagedSpanIsFetchedAgainBeforeTheLayerIsSealed() async throws {
        var random = SeededGenerator.named("aDamagedSpanIsFetchedAgainBeforeTheLayerIsSealed")
        let layer = try await MixedLayer(&random).packed(.gzip)
        try await Bench().run { bench in
            try bench.add([layer])
            let tree = try await adopt(try await index(of: bench), bench)
            try await tree.fetcher.bring(0..<tree.view.spanCount, for: .fill)
            await tree.supply.fresh.settle()
            let name = "store/" + (try #require(try bench.files("spans").randomElement(using: &random)))
            var bytes = try Shell.contents(ofFile: bench.directory.path + "/" + name)
            bytes[Int.random(in: 0..<bytes.count, using: &random)] ^= 1
            try bench.directory.directory().remove(name)
            try bench.directory.write(name, bytes)
            try await bench.library.sealIfComplete(tree)
            #expect(!tree.isComplete && !bench.store.hasTree(layer.digest))
            try await tree.fetcher.bring(0..<tree.view.spanCount, for: .fill)
            try await bench.library.sealIfComplete(tree)
            #expect(bench.store.hasTree(layer.digest))
        }
    }

    enum Lie: CaseIterable {
        case diffID, places, mode, name, missing, size
    }

    @Test(arguments: Lie.allCases)
    func anIndexThatLiesIsNotSealed(lie: Lie) async throws {
        let first = SeededGenerator(seed: 31).copyBytes(5000)
        let second = SeededGenerator(seed: 32).copyBytes(5000)
        let layer = LayerFixture.plain([.file("a", first), .file("b", second), .file("c", "c")])
        try await Bench().run { bench in
            try bench.add([layer])
            let truth = try await index(of: bench)
            var builder = TreeBuilder()
            let reader = TarReader(MemoryReader(layer.blob))
            var places: [(Ordinal, UInt64)] = []
            while var entry = try reader.next() {
                if lie == .missing, entry.path == [UInt8(ascii: "c")] { continue }
                if lie == .mode, entry.path == [UInt8(ascii: "b")] { entry.mode = 0o4755 }
                if lie == .name, entry.path == [UInt8(ascii: "b")] { entry.path = [UInt8(ascii: "x")] }
                if lie == .size, entry.path == [UInt8(ascii: "b")] { entry.size = 4999 }
                places.append((try #require(try builder.add(entry)), reader.position))
            }
            if lie == .places { (places[0].1, places[1].1) = (places[1].1, places[0].1) }
            for (ordinal, place) in places { try builder.setContent(ordinal, at: place) }
            for number in 0..<truth.view.spanCount { try builder.append(truth.view.span(number), start: SpanEntry(kind: .member)) }
            let claimed = try TreeIndex(validating: try builder.finish(try #require(truth.identity)).bytes)
            let tree = try await adopt(claimed, bench, diffID: lie == .diffID ? Digest(of: [1]) : nil)
            try await tree.fetcher.bring(0..<tree.view.spanCount, for: .fill)
            #expect(tree.isComplete)
            await #expect(throws: SealError.self) { try await bench.library.sealIfComplete(tree) }
            #expect(!bench.store.hasTree(layer.digest))
            // The truth is sealed in the same way.
            let honest = try await adopt(truth, bench)
            try await bench.library.sealIfComplete(honest)
            #expect(bench.store.hasTree(layer.digest))
        }
    }

    // MARK: - Verification

    @Test func spansAreVerifiedAgainstTheirIndex() async throws {
        var random = SeededGenerator.named("spansAreVerifiedAgainstTheirIndex")
        let layer = try await MixedLayer(&random).packed(.gzip)
        try await Bench().run { bench in
            try bench.add([layer])
            let tree = try await tree(bench)
            let sound = try await bench.store.verify(repair: false)
            #expect(sound.isSound && sound.findings.isEmpty, "\(sound.findings)")
            let name = try #require(try bench.files("spans").randomElement(using: &random))
            var bytes = try Shell.contents(ofFile: bench.store.path + "/" + name)
            bytes[Int.random(in: 0..<bytes.count, using: &random)] ^= 1
            try bench.directory.directory().remove("store/\(name)")
            try bench.directory.write("store/\(name)", bytes)
            #expect(try await bench.store.verify(repair: false).findings.map(\.path) == [name])
            _ = try await bench.store.verify(repair: true)
            #expect(try !tree.isCompleteNow())
        }
    }
}
