import OCI
import Testing
@testable import Archive

/// A layer's table of contents says the same as its tar stream, and its chunks hold the same bytes.
@Suite struct LayerTOCTests {
    /// A blob with its annotations, read as Larder would over a network.
    struct Layer {
        var blob: [UInt8]
        var annotations: [String: String]

        init(blob: [UInt8], annotations text: [UInt8]) {
            self.blob = blob
            annotations = [:]
            for line in String(decoding: text, as: UTF8.self).split(separator: "\n") {
                let parts = line.split(separator: "=", maxSplits: 1)
                annotations[String(parts[0])] = String(parts[1])
            }
        }

        func bytes(_ range: Range<UInt64>) -> [UInt8] { Array(blob[Int(range.lowerBound)..<Int(range.upperBound)]) }

        func location() throws -> TOCLocation? {
            switch try LayerTOC(annotations: annotations, blobSize: UInt64(blob.count)) {
            case .located(let location): location
            case .footer(let footer): try footer.locate(bytes(footer.range))
            case nil: nil
            }
        }

        func expectTableEqualsTar() throws {
            let location = try #require(try location())
            let table = try location.decode(bytes(location.range))
            let tar = try TarReader(LayerReader(MemoryReader(blob))).readMembers().filter { !TableOfContents.isHidden($0.entry.path) }
            #expect(table.entries.map { Self.comparable($0.entry) } == tar.map { Self.comparable($0.entry) })
            for (entry, member) in zip(table.entries, tar) {
                let content = try self.content(of: entry)
                #expect(content == member.content, "\(ArchiveError.printable(entry.entry.path))")
                if let digest = entry.digest { #expect(Digest(of: content) == digest) }
            }
        }

        func content(of entry: TOCEntry) throws -> [UInt8] {
            var content = [UInt8](repeating: 0xAA, count: Int(entry.entry.size))
            for chunk in entry.chunks {
                let source = chunk.isZeros ? [] : bytes(chunk.sourceOffset..<chunk.sourceEnd)
                let range = Int(chunk.offset)..<Int(chunk.offset + chunk.length)
                try source.withUnsafeBytes { source in
                    try content.withUnsafeMutableBytes {
                        try ChunkDecoder.decode(chunk, from: source, Compression.detect(blob.prefix(4)), into: UnsafeMutableRawBufferPointer(rebasing: $0[range]))
                    }
                }
            }
            return content
        }

        /// What both sides can know: eStargz rounds times to seconds, and a tar has its holes elsewhere.
        private static func comparable(_ entry: ArchiveEntry) -> ArchiveEntry {
            var entry = entry
            entry.modified = Timestamp(seconds: entry.modified.seconds + (entry.modified.nanoseconds >= 500_000_000 ? 1 : 0))
            entry.extents = nil
            entry.attributes.sort { $0.name.lexicographicallyPrecedes($1.name) }
            return entry
        }
    }

    private func real(_ name: String) throws -> Layer {
        Layer(blob: try readFile(fixture(name + ".layer")), annotations: try readFile(fixture(name + ".annotations")))
    }

    private func made(_ form: String, seed: UInt32) throws -> Layer {
        let scratch = try Scratch()
        try scratch.run("python3 '\(fixture("make-lazy-layer.py"))' layer annotations \(form) \(seed)")
        return Layer(blob: try scratch.read("layer"), annotations: try scratch.read("annotations"))
    }

    /// The same image through `ctr-remote image convert` (stargz-snapshotter) and `skopeo copy --dest-compress-format`
    /// (containers/storage).
    @Test(arguments: [("estargz", TOCLocation.Format.eStargz, UInt64?(0)), ("zstdchunked", .zstdChunked, 0), ("skopeo", .zstdChunked, nil)])
    func layersOfOtherToolsReadTheSameBothWays(name: String, format: TOCLocation.Format, prefetch: UInt64?) throws {
        let layer = try real(name)
        #expect(try layer.location()?.format == format)
        try layer.expectTableEqualsTar()
        let location = try #require(try layer.location())
        #expect(try location.decode(layer.bytes(location.range)).prefetchLength == prefetch)
    }

    @Test func aLargeFileOfTheRealLayerHasSeveralChunks() throws {
        let layer = try real("estargz")
        let location = try #require(try layer.location())
        let table = try location.decode(layer.bytes(location.range))
        #expect(table.entries.contains { $0.chunks.count == 4 && $0.entry.size == 60_000 })
    }

    @Test(arguments: ["podman", "grouped", "legacy"])
    func layersMadeByHandReadTheSameBothWays(form: String) throws {
        var generator = SeededGenerator("layersMadeByHandReadTheSameBothWays \(form)")
        for _ in 0..<8 {
            let seed = UInt32.random(in: 0...UInt32.max, using: &generator)
            try made(form, seed: seed).expectTableEqualsTar()
        }
    }

    @Test func zerosAreHoles() throws {
        let layer = try made("podman", seed: 3)
        let location = try #require(try layer.location())
        let sparse = try location.decode(layer.bytes(location.range)).entries.filter { $0.entry.extents != nil }
        #expect(!sparse.isEmpty)
        for entry in sparse {
            #expect(entry.entry.storedSize == entry.chunks.reduce(0) { $0 + ($1.isZeros ? 0 : $1.length) })
        }
    }

    @Test(arguments: ["estargz", "zstdchunked", "skopeo"])
    func aTableThatIsNotTheOneNamedIsRefused(name: String) throws {
        var layer = try real(name)
        let location = try #require(try layer.location())
        layer.blob[Int(location.range.lowerBound) + 40] ^= 1
        #expect(throws: ArchiveError.self) { try location.decode(layer.bytes(location.range)) }
        let other = Digest(of: [1]).description
        for key in layer.annotations.keys where key.hasSuffix("checksum") || key.hasSuffix("toc.digest") {
            var lying = try real(name)
            lying.annotations[key] = other
            let location = try #require(try lying.location())
            #expect { try location.decode(lying.bytes(location.range)) } throws: { ($0 as? ArchiveError)?.reason == .digestMismatch }
        }
    }

    @Test func theFooterLeadsToTheSameTableAsTheAnnotations() throws {
        var layer = try real("zstdchunked")
        let located = try #require(try layer.location())
        layer.annotations = layer.annotations.filter { $0.key == EStargz.digestAnnotation }
        let found = try #require(try layer.location())
        #expect(found.range == located.range)
        #expect(try found.decode(layer.bytes(found.range)) == located.decode(layer.bytes(located.range)))
    }

    @Test func withoutADigestThereIsNoTable() throws {
        #expect(try LayerTOC(annotations: [:], blobSize: 1000) == nil)
        #expect(try LayerTOC(annotations: ["io.containers.zstd-chunked.manifest-position": "500:10:10:1"], blobSize: 1000) == nil)
    }

    @Test(arguments: ["", "1:2:3", "1:2:3:4:5", "-5:10:10:1", "a:b:c:1", "500:600:10:1", "18446744073709551615:1:1:1", "0:10:10:1", "500:0:0:1", "500:10:10:2"])
    func absurdPositionsAreErrors(position: String) {
        let annotations = [
            "io.github.containers.zstd-chunked.manifest-position": position,
            "io.github.containers.zstd-chunked.manifest-checksum": Digest(of: [0]).description,
        ]
        #expect(throws: ArchiveError.self) { try LayerTOC(annotations: annotations, blobSize: 1000) }
    }

    @Test func footersThatAreNoneAreErrors() throws {
        let external = [0x1F, 0x8B, 8, 4, 0, 0, 0, 0, 0, 0xFF, 21, 0] + Array("SG".utf8) + [17, 0] + Array("STARGZEXTERNALTOC".utf8)
            + [1, 0, 0, 0xFF, 0xFF] + [UInt8](repeating: 0, count: 8)
        #expect(external.count == 46)
        #expect { try EStargz.footer(external) } throws: { ($0 as? ArchiveError)?.reason == .unsupported }
        #expect { try EStargz.footer([]) } throws: { ($0 as? ArchiveError)?.reason == .malformed }
        let real = Array(try real("estargz").blob.suffix(51))
        #expect(try EStargz.footer(real).length == 51)
        for position in Array(0..<4) + Array(10..<51) {
            var damaged = real
            damaged[position] ^= 0x80
            #expect(throws: ArchiveError.self, "byte \(position)") { try EStargz.footer(damaged) }
        }
        let outside = TOCFooter(blobSize: 100, jsonDigest: Digest(of: [0]))
        #expect { try outside.locate(real) } throws: { ($0 as? ArchiveError)?.reason == .malformed }
    }
}
