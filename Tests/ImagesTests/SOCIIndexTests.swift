import OCI
import Remote
import TestSupport
import Testing
import TreeIndex
@testable import Archive
@testable import Images

/// What becomes of zTOCs: indexes as the layers' own bytes would make them, or an error.
@Suite struct SOCIIndexTests {
    private static let contentKey = Digest(of: Array("a key".utf8))

    private static func layer(_ fixture: LayerFixture) throws -> ImageLayer { try layer(UInt64(fixture.blob.count), fixture.digest, fixture.diffID) }

    private static func layer(_ size: UInt64, _ digest: Digest = Digest(of: [UInt8]()), _ diffID: Digest = Digest(of: [UInt8]())) throws -> ImageLayer {
        let reference = try #require(Reference("lay.out/app:1"))
        return ImageLayer(descriptor: Descriptor(mediaType: "application/vnd.oci.image.layer.v1.tar", digest: digest, size: size), diffID: diffID, repository: reference.repository)
    }

    private static func scan(_ blob: [UInt8], spanSize: UInt64) throws -> ZTOC {
        try ZTOCScan(size: UInt64(blob.count), spanSize: spanSize) { offset, buffer in
            let part = blob.dropFirst(Int(clamping: offset)).prefix(buffer.count)
            buffer.copyBytes(from: part)
            return part.count
        }.run(buildTool: "test")
    }

    private static func tree(_ ztoc: ZTOC, _ layer: ImageLayer) throws -> TreeIndex {
        try TreeIndex(validating: try SOCIIndex.tree(from: ztoc.bytes, layer: layer, contentKey: contentKey).bytes)
    }

    /// A zTOC of nothing but spans.
    private static func empty(_ compression: ZTOC.Compression, compressed: UInt64, uncompressed: UInt64, spans: Int) -> ZTOC {
        ZTOC(buildTool: [], compressedSize: compressed, uncompressedSize: uncompressed, entries: [], compression: compression, spanDigests: Array(repeating: Digest(of: [UInt8]()), count: spans))
    }

    private static func point(_ compressed: UInt64, _ uncompressed: UInt64) -> ZTOC.Point {
        ZTOC.Point(compressedOffset: compressed, uncompressedOffset: uncompressed, bits: 0, window: [UInt8](repeating: 0, count: PackedWindow.size)[...])
    }

    private func reason(_ body: () throws -> Void) -> ArchiveError.Reason? {
        do { try body() } catch let error as ArchiveError { return error.reason } catch { Issue.record("\(error)") }
        return nil
    }

    // MARK: - Honest ones

    @Test(arguments: [StreamedLayerTests.Packing.plain, .gzip])
    func theIndexIsTheOneThatTheLayerItselfMakes(packing: StreamedLayerTests.Packing) async throws {
        var random = SeededGenerator.named("theIndexIsTheOneThatTheLayerItselfMakes \(packing)")
        let tar = StreamedLayerTests.members(&random).tar
        let fixture = try await packing.pack(tar)
        try await Bench().run { bench in
            try bench.add([fixture])
            let streamed = try await bench.library.tree(of: try await bench.image().layers[0])
            for spanSize in [60_000, 1 << 20, ZTOC.spanSize] {
                let index = try Self.tree(try Self.scan(fixture.blob, spanSize: spanSize), try Self.layer(fixture))
                #expect(TreeIndex.difference(index, streamed.index) == nil)
                #expect(index.identity?.contentKey == Self.contentKey && index.identity?.blobDigest == fixture.digest && index.identity?.diffID == nil)
                expectSpans(of: index, fixture, tar)
            }
        }
    }

    /// They follow each other from the first byte of the tar on, and each digest is of the blob's own bytes.
    private func expectSpans(of index: TreeIndex, _ fixture: LayerFixture, _ tar: [UInt8]) {
        let view = index.view
        var end: UInt64 = 0
        for number in 0..<view.spanCount {
            let span = view.span(number)
            #expect(span.contentStart == end && span.length > 0 && span.flags.contains(.digestOfSource))
            let source = fixture.blob.dropFirst(Int(span.sourceOffset)).prefix(Int(span.sourceLength))
            #expect(UInt64(source.count) == span.sourceLength && Digest(of: source) == span.digest)
            end += span.length
        }
        // soci stops counting at the end of the archive: what may be left of the tar is zeros.
        #expect(end <= UInt64(tar.count) && tar.dropFirst(Int(clamping: end)).allSatisfy { $0 == 0 })
    }

    /// soci stops counting at the end of the archive. What follows is no content, and the DiffID covers it.
    @Test func whatPadsTheTarIsItsTail() async throws {
        var random = SeededGenerator(seed: 3)
        let members = (0..<4).map { TarMember.file("f\($0)", random.bytes(700_000)) }
        let archive = members.tar, tar = archive + [UInt8](repeating: 0, count: 9_000)
        let fixture = try await LayerFixture.gzip(tar: tar)
        var ztoc = try Self.scan(fixture.blob, spanSize: 1 << 20)
        ztoc.uncompressedSize = UInt64(archive.count)
        try await Bench { $0.smallestIndexedLayer = 0 }.run { maker in
            try maker.add([fixture])
            try await offer(ztoc.bytes, beside: try await maker.image(), in: maker)
            try await Bench(sharing: maker, storeName: "reader") { $0.smallestIndexedLayer = 0 }.run { reader in
                let tree = try await reader.library.tree(of: try await reader.image().layers[0])
                #expect(tree.indexSource == .soci && SOCIIndex.mayHaveTail(tree))
                let last = tree.view.span(tree.view.spanCount - 1)
                let source = Array(fixture.blob[Int(last.sourceOffset)..<Int(last.sourceOffset + last.sourceLength)])
                let tail = try SOCIIndex.tail(of: tree, source: source)
                #expect(tail == Array(tar[archive.count...]))
                var wrong = source
                wrong[wrong.count / 2] ^= 1
                #expect(reason { _ = try SOCIIndex.tail(of: tree, source: wrong) } == .digestMismatch)
                try await tree.fetcher.bring(0..<tree.view.spanCount, for: .pull)
                await reader.library.settle()
                try await reader.library.sealOrSettle(tree)
                #expect(try reader.library.sealedTree(of: tree.layer) === tree)
            }
            try await Bench(sharing: maker, storeName: "streams") { $0.indexTrust = .none }.run { streams in
                let tree = try await streams.library.tree(of: try await streams.image().layers[0])
                #expect(tree.indexSource == .stream && !SOCIIndex.mayHaveTail(tree))
            }
        }
    }

    private func offer(_ ztoc: [UInt8], beside image: Image, in bench: Bench) async throws {
        let source = try bench.remote.source(for: image.reference.repository)
        try await source.push(blob: ztoc)
        try await source.push(blob: SOCIManifest.config)
        let bytes = try SOCIManifest.encode(
            subject: image.manifestDescriptor, ztocs: [(image.layers[0].descriptor, Digest(of: ztoc), UInt64(ztoc.count))], spanSize: 1 << 20, buildTool: "test")
        guard case .manifest(let manifest) = try ManifestDocument(decoding: bytes, mediaType: MediaType.manifest) else {
            Issue.record("no manifest")
            return
        }
        _ = try await source.push(manifest: manifest)
    }

    // MARK: - Others

    @Test func aZTOCOfALayerOfAnotherSizeIsRefused() throws {
        let fixture = LayerFixture.plain([.file("a", [1, 2, 3])])
        let ztoc = try Self.scan(fixture.blob, spanSize: ZTOC.spanSize)
        for size in [0, UInt64(fixture.blob.count) - 1, UInt64(fixture.blob.count) + 1, .max] {
            #expect(reason { _ = try Self.tree(ztoc, try Self.layer(size)) } == .malformed)
        }
        #expect(reason { _ = try Self.tree(ztoc, try Self.layer(UInt64(fixture.blob.count))) } == nil)
    }

    @Test func aSpanThatIsTooLargeToBeReadAtOnceIsRefused() throws {
        let limit = SOCIIndex.spanLimit
        for (size, expected) in [(limit, nil), (limit + 1, ArchiveError.Reason.limitExceeded)] {
            let plain = Self.empty(.none(spanSize: size), compressed: size, uncompressed: size, spans: 1)
            #expect(reason { _ = try Self.tree(plain, try Self.layer(size)) } == expected)
            let content = Self.empty(.gzip(spanSize: 1, checkpoints: [Self.point(10, 0)]), compressed: 100, uncompressed: size, spans: 1)
            #expect(reason { _ = try Self.tree(content, try Self.layer(100)) } == expected)
            let source = Self.empty(.gzip(spanSize: 1, checkpoints: [Self.point(10, 0)]), compressed: size + 10, uncompressed: 100, spans: 1)
            #expect(reason { _ = try Self.tree(source, try Self.layer(size + 10)) } == expected)
        }
    }

    @Test func spansWithoutContentAreLeftOutAndThoseBehindTheEndRefused() throws {
        let between = Self.empty(.gzip(spanSize: 1, checkpoints: [Self.point(10, 0), Self.point(20, 512), Self.point(30, 512)]), compressed: 100, uncompressed: 1024, spans: 3)
        let index = try Self.tree(between, try Self.layer(100))
        #expect((0..<index.view.spanCount).map { index.view.span($0).sourceOffset } == [10, 30])
        for end in [1024, 2048] as [UInt64] {
            let behind = Self.empty(.gzip(spanSize: 1, checkpoints: [Self.point(10, 0), Self.point(20, end)]), compressed: 100, uncompressed: 1024, spans: 2)
            #expect(reason { _ = try Self.tree(behind, try Self.layer(100)) } == .unsupported)
        }
    }

    /// A size or a count of which no memory could hold the half is an error, and no attempt.
    @Test func hugeSizesAreRefused() throws {
        let fixture = LayerFixture.plain([.file("a", [1, 2, 3]), .file("b", [4])])
        for change in [
            { $0.uncompressedSize = UInt64(Int64.max) }, { $0.compressedSize = UInt64(Int64.max) }, { $0.entries[0].size = UInt64(Int64.max) },
            { $0.entries[1].offset = UInt64(Int64.max) & ~511 }, { $0.compression = .none(spanSize: UInt64(Int64.max)); $0.compressedSize = 0 },
            { $0.entries[1].path = [UInt8](repeating: UInt8(ascii: "x"), count: 1 << 20) },
        ] as [(inout ZTOC) -> Void] {
            var ztoc = try Self.scan(fixture.blob, spanSize: ZTOC.spanSize)
            change(&ztoc)
            #expect(throws: (any Error).self) { try Self.tree(ztoc, try Self.layer(ztoc.compressedSize)) }
        }
    }

    /// Whoever makes a zTOC names files as he likes: nothing may lie outside of the tree, or be no name.
    @Test(arguments: ["../x", "a/../../x", "/etc/x", "./x", "a//x", "..", ".", "", "a/..", "x\0y"])
    func aPathLeadsNowhereElse(path: String) throws {
        let fixture = LayerFixture.plain([.file("a", [1])])
        var ztoc = try Self.scan(fixture.blob, spanSize: ZTOC.spanSize)
        ztoc.entries[0].path = Array(path.utf8)
        guard let index = try? Self.tree(ztoc, try Self.layer(fixture)) else { return }
        for ordinal in 1..<max(1, Ordinal(index.view.nodeCount)) {
            let name = Array(index.view.name(of: index.view.node(ordinal)))
            #expect(!name.isEmpty && name != Array("..".utf8) && name != Array(".".utf8) && !name.contains(UInt8(ascii: "/")) && !name.contains(0))
        }
    }

    /// Cut anywhere, or with any byte wrong: an index that holds what an index must, or an error.
    @Test(arguments: [StreamedLayerTests.Packing.plain, .gzip])
    func damageIsAnErrorOrAnIndexAndNeverTheEnd(packing: StreamedLayerTests.Packing) async throws {
        var random = SeededGenerator.named("damageIsAnErrorOrAnIndexAndNeverTheEnd \(packing)")
        let fixture = try await packing.pack([TarMember.file("a", random.bytes(2_000)), .file("d/b", random.bytes(3_000)), .symlink("l", to: "a")].tar)
        let layer = try Self.layer(fixture)
        let bytes = try Self.scan(fixture.blob, spanSize: 1_000).bytes
        #expect(throws: Never.self) { try SOCIIndex.tree(from: bytes, layer: layer, contentKey: Self.contentKey) }
        func look(_ damaged: [UInt8]) {
            guard let document = try? SOCIIndex.tree(from: damaged, layer: layer, contentKey: Self.contentKey) else { return }
            #expect(throws: Never.self, "what was built is valid") { try TreeIndex(validating: document.bytes) }
        }
        for _ in 0..<150 {
            look(Array(bytes.prefix(Int.random(in: 0..<bytes.count, using: &random))))
            var damaged = bytes
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                // Most of it are windows of checkpoints, in which everything is allowed.
                let limit = Bool.random(using: &random) ? damaged.count : min(damaged.count, 4_000)
                damaged[Int.random(in: 0..<limit, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            look(damaged)
        }
    }
}
