import Archive
import OCI
import Remote
import Store
import TestSupport
import Testing
import TreeIndex
@testable import Images

/// Indexes beside images in their registries: made here, used there, and never believed more than the layer itself.
@Suite struct RegistryIndexTests {
    /// A layer whose packing depends on nothing but its size, so that one with other bytes of the same sizes has the same index
    /// but for digests.
    private static func members(seed: UInt64 = 7, name: String = "d/b") -> [TarMember] {
        var random = SeededGenerator(seed: seed)
        return [.directory("d"), .file("d/a", "alpha")] + (0..<5).map { .file("\(name)\($0)", random.bytes(900_000)) } + [.symlink("d/l", to: "a")]
    }

    private func reader(_ maker: Bench, _ name: String = "reader", _ adjust: (inout ImageLibrary.Options) -> Void = { _ in }) throws -> Bench {
        try Bench(sharing: maker, storeName: name) { options in
            options.smallestIndexedLayer = 0
            adjust(&options)
        }
    }

    private func maker() throws -> Bench { try Bench { $0.smallestIndexedLayer = 0 } }

    /// The index that a store makes of a layer, for whoever wants to lie about another.
    private static func index(of fixture: LayerFixture) async throws -> [UInt8] {
        try await Bench().run { bench in
            try bench.add([fixture])
            let tree = try await bench.library.tree(of: try await bench.image().layers[0])
            return tree.index.rekeyed(contentKey: tree.contentKey, diffID: nil)
        }
    }

    /// The index with its header saying that it is of `layer`, and what else `change` makes of it; its checksum is right.
    /// Offsets are those of `IndexFormat`.
    private static func claiming(_ layer: LayerFixture, _ index: [UInt8], _ change: (inout [UInt8]) -> Void = { _ in }) -> [UInt8] {
        var bytes = index
        bytes.replaceSubrange(88..<120, with: layer.digest.bytes)
        withUnsafeBytes(of: UInt64(layer.blob.count).littleEndian) { bytes.replaceSubrange(152..<160, with: $0) }
        change(&bytes)
        bytes.replaceSubrange(16..<48, with: Digest(of: bytes[48...]).bytes)
        return bytes
    }

    /// Puts an index beside an image, as `index push` does.
    private func offer(_ index: [UInt8], beside image: Image, in bench: Bench, packed: [UInt8]? = nil, size: UInt64? = nil) async throws {
        let packed = try packed ?? index.withUnsafeBytes { try ZstdDocument.pack($0) }
        let source = try bench.remote.source(for: image.reference.repository)
        try await source.push(blob: packed)
        try await source.push(blob: IndexArtifact.config)
        let entry = IndexArtifact.Index(layer: image.layers[0].descriptor.digest, digest: Digest(of: packed), packedSize: UInt64(packed.count), size: size ?? UInt64(index.count))
        _ = try await source.push(manifest: IndexArtifact(indexes: [entry], profile: nil).manifest(of: image))
    }

    private func check(_ bench: Bench, _ members: [TarMember], _ rest: String = "app:1") async throws {
        let tree = try await bench.library.snapshot(of: try await bench.image(rest))
        for member in members where member.kind == .file { #expect(try await tree.content(member.name) == member.content) }
    }

    // MARK: - Honest ones

    @Test(arguments: StreamedLayerTests.Packing.allCases)
    func anotherStoreStartsWithThePushedIndex(packing: StreamedLayerTests.Packing) async throws {
        let members = Self.members()
        try await maker().run { maker in
            try maker.add([try await packing.pack(members.tar)])
            let report = try await maker.library.pushIndexes(of: try await maker.image(), as: .larder, profile: true)
            #expect(report.layers.count == 1)
            try await reader(maker).run { reader in
                let image = try await reader.image()
                let layer = try await reader.library.tree(of: image.layers[0])
                #expect(layer.indexSource == .registry)
                #expect(reader.library.status(of: image).layers[0].indexSource == "registry")
                let tree = try await reader.library.snapshot(of: image)
                #expect(try await tree.content("d/a") == Array("alpha".utf8))
                // Of one zstd frame nothing can be had alone.
                #expect(reader.streamCount == 0 && (packing == .zstd || !layer.isComplete))
                try await check(reader, members)
                #expect(reader.streamCount == 0)
                await reader.library.settle()
                try await reader.library.sealOrSettle(layer)
                #expect(try reader.library.sealedTree(of: image.layers[0]) === layer, "what was proven is the same tree")
            }
        }
    }

    @Test func whatWasAdoptedServesWithoutTheRegistry() async throws {
        let members = Self.members()
        try await maker().run { maker in
            try maker.add([try await LayerFixture.gzip(members)])
            _ = try await maker.library.pushIndexes(of: try await maker.image(), as: .larder, profile: false)
            try await reader(maker).run { reader in
                try await check(reader, members)
                await reader.library.settle()
            }
            try maker.loseSource()
            try await reader(maker).run { reader in
                try await check(reader, members)
                #expect(reader.streamCount == 0)
            }
            try await reader(maker) { $0.indexTrust = .local }.run { try await check($0, members) }
        }
    }

    @Test func theSameIndexesMakeTheSameArtifact() async throws {
        let members = Self.members()
        try await maker().run { maker in
            try maker.add([try await LayerFixture.gzip(members)])
            let first = try await maker.library.pushIndexes(of: try await maker.image(), as: .larder, profile: false)
            let again = try await maker.library.pushIndexes(of: try await maker.image(), as: .larder, profile: false)
            #expect(again.digest == first.digest)
            try await reader(maker, "third").run { third in
                // By way of a registry and back.
                try await check(third, members)
                let image = try await third.image()
                let pushed = try await third.library.pushIndexes(of: image, as: .larder, profile: false)
                #expect(pushed.digest == first.digest)
                #expect(try await third.library.indexes(of: image).map(\.digest) == [first.digest])
                try await third.library.removeIndex(first.digest, of: image)
                #expect(try await third.library.indexes(of: image).isEmpty)
            }
        }
    }

    @Test func aSOCIIndexOfOursIsReadAsOne() async throws {
        let members = Self.members()
        try await maker().run { maker in
            try maker.add([try await LayerFixture.gzip(members)])
            let report = try await maker.library.pushIndexes(of: try await maker.image(), as: .soci, profile: false)
            #expect(report.format == "soci" && report.layers.count == 1)
            try await reader(maker).run { reader in
                try await check(reader, members)
                #expect(try await reader.library.tree(of: try await reader.image().layers[0]).indexSource == .soci)
                #expect(reader.streamCount == 0)
                #expect(try await reader.library.indexes(of: try await reader.image()).map(\.format) == ["soci"])
            }
        }
    }

    @Test func smallLayersAreReadWhole() async throws {
        try await Bench().run { maker in
            try maker.add([try await LayerFixture.gzip([.file("a", "alpha")])])
            await #expect(throws: ImageError.self) { try await maker.library.pushIndexes(of: try await maker.image(), as: .larder, profile: true) }
        }
    }

    // MARK: - Whom to believe

    @Test func thePolicyDecidesWhoIsBelieved() async throws {
        let members = Self.members()
        try await maker().run { maker in
            try maker.add([try await LayerFixture.gzip(members)])
            _ = try await maker.library.pushIndexes(of: try await maker.image(), as: .larder, profile: false)
            try await reader(maker, "local") { $0.indexTrust = .local }.run { reader in
                let tree = try await reader.library.tree(of: try await reader.image().layers[0])
                #expect(tree.indexSource == .stream)
            }
            try await reader(maker, "none").run { reader in
                let tree = try await reader.library.tree(of: try await reader.image().layers[0])
                #expect(tree.indexSource == .registry)
            }
            try await reader(maker, "none") { $0.indexTrust = .none }.run { reader in
                let tree = try await reader.library.tree(of: try await reader.image().layers[0])
                #expect(tree.indexSource == .stream, "an adopted index is not used either")
                try await check(reader, members)
            }
        }
    }

    @Test func whatOneRepositoryClaimsIsNotUsedForAnother() async throws {
        let members = Self.members()
        let layer = try await LayerFixture.gzip(members)
        let lie = Self.claiming(layer, try await Self.index(of: try await LayerFixture.gzip(Self.members(name: "d/x"))))
        try await maker().run { maker in
            try maker.add([layer], to: "app")
            try maker.add([layer], to: "other")
            try await offer(lie, beside: try await maker.image("other:1"), in: maker)
            try await reader(maker).run { reader in
                let claimed = try await reader.library.tree(of: try await reader.image("other:1").layers[0])
                #expect(claimed.indexSource == .registry)
                let own = try await reader.library.tree(of: try await reader.image("app:1").layers[0])
                #expect(own.indexSource == .stream && own.contentKey != claimed.contentKey)
                try await check(reader, members)
            }
        }
    }

    // MARK: - Lies

    /// The blob or its size is nonsense: nothing of it is used, and nothing is lost.
    @Test func whatIsNoIndexOfThisLayerIsNotUsed() async throws {
        let members = Self.members()
        let layer = try await LayerFixture.gzip(members)
        let index = try await Self.index(of: layer)
        let packed = try index.withUnsafeBytes { try ZstdDocument.pack($0) }
        let cases: [(name: String, index: [UInt8], packed: [UInt8]?, size: UInt64?)] = [
            ("truncated", index, Array(packed.prefix(packed.count / 2)), nil),
            ("truncated inside", Array(index.prefix(index.count / 2)), nil, nil),
            ("not zstd", index, Array("nonsense".utf8), nil),
            ("said to be huge", index, packed, 1 << 60),
            ("said to be small", index, packed, 10),
            ("no index", [UInt8](repeating: 7, count: 5000), nil, nil),
            ("empty", [], nil, nil),
            ("of another layer", Self.claiming(try await LayerFixture.gzip([.file("z", "z")]), index), nil, nil),
            ("of another size", Self.claiming(layer, index) { $0[152] ^= 1 }, nil, nil),
            ("a wrong checksum", { var bytes = index; bytes[200] ^= 1; return bytes }(), nil, nil),
        ]
        try await maker().run { maker in
            for (number, item) in cases.enumerated() {
                try maker.add([layer], to: "app\(number)")
                try await offer(item.index, beside: try await maker.image("app\(number):1"), in: maker, packed: item.packed, size: item.size)
                try await reader(maker, "reader\(number)").run { reader in
                    let tree = try await reader.library.tree(of: try await reader.image("app\(number):1").layers[0])
                    #expect(tree.indexSource == .stream, "\(item.name)")
                    try await check(reader, members, "app\(number):1")
                }
            }
        }
    }

    /// Every name and size is right, the content is not: whoever reads gets the layer's own bytes, in the tree that is shown.
    @Test func anIndexThatLiesAboutContentIsFoundOutByTheFirstReader() async throws {
        let members = Self.members(), others = Self.members(seed: 8)
        let layer = LayerFixture.plain(members)
        let lie = Self.claiming(layer, try await Self.index(of: LayerFixture.plain(others)))
        try await maker().run { maker in
            try maker.add([layer])
            try await offer(lie, beside: try await maker.image(), in: maker)
            try await reader(maker).run { reader in
                let image = try await reader.image()
                let shown = try await reader.library.snapshot(of: image)
                let lying = shown.layers[0]
                #expect(lying.indexSource == .registry)
                try await check(reader, members)
                for member in members where member.kind == .file { #expect(try await shown.content(member.name) == member.content, "without a new look") }
                #expect(reader.streamCount == 1)
                #expect(reader.store.isRefused(lying.contentKey))
                #expect(try reader.store.presentSpans(lying.contentKey).isEmpty)
                #expect(try reader.files("quarantine").count == 1)
                #expect(try await reader.library.tree(of: image.layers[0]).indexSource == .stream)
            }
        }
    }

    /// Names are wrong and digests right: only the whole layer tells. From then on names are right for who looks anew.
    @Test func anIndexThatLiesAboutNamesIsFoundOutWhenTheLayerIsWhole() async throws {
        let members = Self.members(name: "d/some-file-")
        let layer = try await LayerFixture.gzip(members)
        let name = Array("some-file-4".utf8)
        let lie = Self.claiming(layer, try await Self.index(of: layer)) { bytes in
            guard let place = bytes.firstRange(of: name) else { return }
            bytes[place.upperBound - 1] = UInt8(ascii: "7")
        }
        try await maker().run { maker in
            try maker.add([layer])
            try await offer(lie, beside: try await maker.image(), in: maker)
            try await reader(maker).run { reader in
                let image = try await reader.image()
                let shown = try await reader.library.snapshot(of: image)
                #expect(shown.view.find(Array("d/some-file-7".utf8)) != nil && shown.view.find(Array("d/some-file-4".utf8)) == nil)
                let lying = shown.layers[0]
                try await lying.fetcher.bring(0..<lying.view.spanCount, for: .pull)
                await reader.library.settle()
                await #expect(throws: SealError.self) { try await reader.library.sealOrSettle(lying) }
                #expect(reader.store.isRefused(lying.contentKey))
                try await check(reader, members)
                #expect(try await reader.library.tree(of: image.layers[0]).indexSource == .stream)
            }
            // Not even where the layer has gone again.
            let again = try reader(maker)
            try await again.run { reader in
                let image = try await reader.image()
                try reader.store.remove(.tree(image.layers[0].descriptor.digest))
                try reader.store.remove(.blob(image.layers[0].descriptor.digest))
                #expect(try await reader.library.tree(of: image.layers[0]).indexSource != .registry)
            }
        }
    }

    /// Another tree altogether: a reader of what is shown gets an error and no wrong byte, and a new look gets the truth.
    @Test func anIndexOfAnotherTreeNeverShowsAWrongByte() async throws {
        let members = Self.members()
        let layer = LayerFixture.plain(members)
        let lie = Self.claiming(layer, try await Self.index(of: LayerFixture.plain(Self.members(seed: 9, name: "d/y"))))
        try await maker().run { maker in
            try maker.add([layer])
            try await offer(lie, beside: try await maker.image(), in: maker)
            try await reader(maker).run { reader in
                let shown = try await reader.library.snapshot(of: try await reader.image())
                #expect(shown.layers[0].indexSource == .registry)
                await #expect(throws: ImageError.self) { try await shown.content("d/y1") }
                await #expect(throws: ImageError.self, "and again") { try await shown.content("d/y2") }
                #expect(reader.streamCount == 1)
                try await check(reader, members)
            }
        }
    }
}
