import OCI
import Testing
@testable import Archive

/// zTOCs beside those of an encoder and a decoder that share nothing with ours (Tests/Fixtures/soci-encode).
@Suite struct SOCITests {
    private static let encoder = fixture("../../Fixtures/soci-encode")

    /// Random archives in every compression that zTOCs know: gzip of one member, of several with headers of all kinds, none.
    private func layers(_ scratch: Scratch, _ generator: inout SeededGenerator) throws -> [String] {
        var names: [String] = []
        for format in ["USTAR", "GNU", "PAX"] {
            let seed = UInt32.random(in: 0...UInt32.max, using: &generator)
            let name = format.lowercased()
            try scratch.run("""
                python3 '\(fixture("make-tar.py"))' \(name).tar \(format) \(seed)
                gzip -\(UInt.random(in: 1...9, using: &generator)) < \(name).tar > \(name).gz
                python3 - \(name) \(seed) <<'END'
                import gzip, random, struct, sys, zlib
                name, choose = sys.argv[1], random.Random(int(sys.argv[2]))
                tar, out = open(name + ".tar", "rb").read(), b""
                while tar or choose.random() < 0.3:
                    cut = choose.randrange(0, 60_000)
                    deflate = zlib.compressobj(choose.randrange(10), zlib.DEFLATED, -15, choose.randrange(1, 10), choose.choice([0, 2, 3, 4]))
                    body = deflate.compress(tar[:cut]) + deflate.flush()
                    flags = choose.choice([0, 0, 4, 8, 16, 30])
                    head = struct.pack("<BBBBIBB", 31, 139, 8, flags, 0, 0, 255)
                    if flags & 4: head += struct.pack("<H", 20) + bytes(20)
                    if flags & 8: head += b"name\\0"
                    if flags & 16: head += b"x" * choose.randrange(500) + b"\\0"
                    if flags & 2: head += struct.pack("<H", zlib.crc32(head) & 0xFFFF)
                    out += head + body + struct.pack("<II", zlib.crc32(tar[:cut]), len(tar[:cut]))
                    tar = tar[cut:]
                open(name + ".members", "wb").write(out + bytes(choose.choice([0, 0, 700])))
                END
                """)
            names += [name + ".tar", name + ".gz", name + ".members"]
        }
        return names
    }

    private func scan(_ layer: [UInt8], spanSize: UInt64) throws -> ZTOC {
        try ZTOCScan(size: UInt64(layer.count), spanSize: spanSize) { offset, buffer in
            let start = min(Int(offset), layer.count)
            let count = min(buffer.count, layer.count - start)
            layer.withUnsafeBytes { buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[start..<start + count])) }
            return count
        }.run(buildTool: "test")
    }

    private func unpacked(_ layer: [UInt8]) throws -> [UInt8] {
        let reader = try LayerReader(MemoryReader(layer))
        var tar: [UInt8] = []
        let block = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
        defer { block.deallocate() }
        while case let count = try reader.read(into: block), count > 0 { tar += block[..<count] }
        return tar
    }

    @Test func anIndependentDecoderFindsTheLayerInOurs() throws {
        var generator = SeededGenerator("anIndependentDecoderFindsTheLayerInOurs")
        let scratch = try Scratch()
        for name in try layers(scratch, &generator) {
            for spanSize in [700, ZTOC.spanSize] {
                try scratch.write(scan(scratch.read(name), spanSize: spanSize).bytes, to: "ztoc")
                try scratch.run("'\(Self.encoder)' check \(name) ztoc > checked")
            }
        }
    }

    @Test func anotherEncodersSaysWhatTheLayerSays() throws {
        var generator = SeededGenerator("anotherEncodersSaysWhatTheLayerSays")
        let scratch = try Scratch()
        for name in try layers(scratch, &generator) {
            let layer = try scratch.read(name), tar = try unpacked(layer)
            // Version 1 takes a header of ten bytes for granted.
            for format in name.hasSuffix("members") ? [2] : [1, 2] {
                try scratch.run("'\(Self.encoder)' ztoc \(name) ztoc --span 3000 --format \(format)")
                let ztoc = try ZTOC(decoding: scratch.read("ztoc"))
                for number in 0..<ztoc.spanCount { try expectSpan(number, of: ztoc, layer, tar) }
                let reader = TarReader(MemoryReader(tar))
                for described in ztoc.entries {
                    let entry = try #require(try reader.next())
                    var member = try described.archiveEntry()
                    if member.path != entry.path, member.kind == .directory { member.path += [UInt8(ascii: "/")] }
                    #expect(sorted(member) == sorted(entry))
                    #expect(described.offset == reader.position)
                }
                #expect(try reader.next() == nil)
            }
        }
    }

    private func sorted(_ entry: ArchiveEntry) -> ArchiveEntry {
        var entry = entry
        entry.attributes.sort { $0.name.lexicographicallyPrecedes($1.name) }
        while entry.kind == .directory, entry.path.last == UInt8(ascii: "/") { entry.path.removeLast() }
        return entry
    }

    private func expectSpan(_ number: Int, of ztoc: ZTOC, _ layer: [UInt8], _ tar: [UInt8]) throws {
        let span = ztoc.span(number)
        let source = Array(layer[Int(span.source.lowerBound)..<Int(span.source.upperBound)])
        #expect(Digest(of: source) == span.digest)
        var content = [UInt8](repeating: 0, count: span.content.count)
        try content.withUnsafeMutableBytes { content in
            try source.withUnsafeBytes { source in
                if case .gzip(_, let points) = ztoc.compression {
                    try SpanDecoder.decode(source, .gzip, bits: points[number].bits, window: Array(points[number].window), startsMember: false, into: content)
                } else {
                    try SpanDecoder.decode(source, .none, startsMember: true, into: content)
                }
            }
        }
        #expect(content == Array(tar[Int(span.content.lowerBound)..<Int(span.content.upperBound)]))
    }

    @Test func bothEncodersCutAndDescribeALayerAlike() throws {
        var generator = SeededGenerator("bothEncodersCutAndDescribeALayerAlike")
        let scratch = try Scratch()
        for name in try layers(scratch, &generator) where !name.hasSuffix("members") {
            try scratch.run("'\(Self.encoder)' ztoc \(name) ztoc --span 5000")
            let theirs = try ZTOC(decoding: scratch.read("ztoc")), ours = try scan(scratch.read(name), spanSize: 5000)
            #expect(ours.spanDigests == theirs.spanDigests)
            // soci stops counting at the end of the archive, and so do spans that begin in what follows it.
            #expect(ours.uncompressedSize >= theirs.uncompressedSize)
            for number in 0..<min(ours.spanCount, theirs.spanCount) {
                #expect(ours.span(number).source == theirs.span(number).source)
                let starts = [ours, theirs].map { min($0.span(number).content.lowerBound, theirs.uncompressedSize) }
                #expect(starts[0] == starts[1])
            }
        }
    }

    @Test func damagedOnesAreRefusedOrHold() throws {
        var generator = SeededGenerator("damagedOnesAreRefusedOrHold")
        let scratch = try Scratch()
        for name in try layers(scratch, &generator) where !name.hasSuffix("members") {
            try scratch.run("'\(Self.encoder)' ztoc \(name) ztoc --span 50000")
            let whole = try scratch.read("ztoc")
            for _ in 0..<400 {
                var bytes = whole
                for _ in 0..<Int.random(in: 1...3, using: &generator) {
                    let position = Int.random(in: 0..<bytes.count, using: &generator)
                    switch Int.random(in: 0..<4, using: &generator) {
                    case 0: bytes[position] = UInt8.random(in: 0...255, using: &generator)
                    case 1: bytes[position] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
                    case 2: for offset in position..<min(position + 4, bytes.count) { bytes[offset] = 0xFF }
                    default: bytes.removeLast(Int.random(in: 0...min(bytes.count - 1, 64), using: &generator))
                    }
                }
                bytes.withUnsafeBytes(fuzzZTOC)
            }
        }
    }

    @Test func whatNoZTOCCanDescribeIsRefused() throws {
        let scratch = try Scratch()
        try scratch.run("""
            truncate -s 3M hole; printf x >> hole; tar -S --format=gnu -cf gnu.tar hole; tar -S --format=posix -cf posix.tar hole
            tar -cf plain.tar hole; zstd -q plain.tar -o plain.zst
            """)
        for name in ["gnu.tar", "posix.tar", "plain.zst"] {
            let layer = try scratch.read(name)
            let error = #expect(throws: ArchiveError.self) { try scan(layer, spanSize: ZTOC.spanSize) }
            #expect(error?.reason == .unsupported, "\(name)")
        }
    }

    @Test func recordsThatAllShareOneLongStringAreRefused() throws {
        let scratch = try Scratch()
        try scratch.run("""
            python3 - <<'END'
            import sys
            sys.path.insert(0, "\(fixture("../../Fixtures"))")
            from soci.flatbuffer import Builder
            b = Builder()
            name, kind, time, empty = b.string(b"n" * 4000), b.string(b"dir"), b.string(b"1970-01-01T00:00:00Z"), b.references([])
            entries = [b.table([("ref", name), ("ref", kind), ("q", 512 * i + 512)] + [None] * 7 + [("ref", time), None, None, ("ref", empty)]) for i in range(20000)]
            info = b.table([None, None, ("ref", b.references([b.string(b"sha256:" + b"0" * 64)])), ("ref", b.data(b"\\1\\0\\0\\0" + bytes(8)))])
            toc = b.table([("ref", b.references(entries))])
            open("ztoc", "wb").write(b.finish(b.table([("ref", b.string(b"0.9")), None, ("q", 1 << 20), ("q", 1 << 30), ("ref", toc), ("ref", info)])))
            END
            """)
        let error = #expect(throws: ArchiveError.self) { try ZTOC(decoding: scratch.read("ztoc")) }
        #expect(error?.reason == .limitExceeded)
    }

    @Test func timesAreWrittenAsGoDoes() {
        for (seconds, nanoseconds, text) in [
            (0, 0, "1970-01-01T00:00:00Z"), (-1, 999_999_999, "1969-12-31T23:59:59.999999999Z"), (951_782_400, 500_000_000, "2000-02-29T00:00:00.5Z"),
            (253_402_300_799, 0, "9999-12-31T23:59:59Z"), (-62_167_219_200, 1000, "0000-01-01T00:00:00.000001Z"),
        ] as [(Int64, UInt32, String)] {
            let time = Timestamp(seconds: seconds, nanoseconds: nanoseconds)
            #expect(RFC3339.format(time).map { String(decoding: $0, as: UTF8.self) } == text)
            #expect(RFC3339.parse(Array(text.utf8)) == time)
        }
        #expect(RFC3339.format(Timestamp(seconds: 253_402_300_800)) == nil)
        #expect(RFC3339.format(Timestamp(seconds: .min)) == nil)
    }
}
