import OCI
import Testing
@testable import Archive

/// Streams cut at their checkpoints: every piece decodes by itself, from its own source range and packed window.
@Suite struct CheckpointTests {
    @Test func everySpanOfGzipStreamsOfAllKindsDecodesByItself() throws {
        var generator = SeededGenerator("everySpanOfGzipStreamsOfAllKindsDecodesByItself")
        let scratch = try Scratch()
        let count = 20
        try scratch.run("python3 '\(fixture("gzip-streams.py"))' \(generator.seed) \(count) .")
        var (spans, windows, unaligned) = (0, 0, 0)
        for number in 0..<count {
            let source = try scratch.read("\(number).gz"), raw = try scratch.read("\(number).raw")
            // Every block of short streams, some of long ones.
            let every: UInt64 = raw.count < 30_000 ? 1 : 3_000
            for spacing in [every, 32 << 10, UInt64.random(in: 2_000...200_000, using: &generator)] {
                let cut = try CutStream(source, every: spacing, &generator)
                #expect(cut.compression == .gzip && cut.output == raw, "stream \(number)")
                for (index, point) in cut.checkpoints.enumerated() where !cut.range(index).isEmpty {
                    let expected = Array(raw[cut.range(index)])
                    let decoded = try decode(source[cut.sourceRange(index)], .gzip, point, expected.count, digest: Digest(of: expected))
                    #expect(decoded == expected, "stream \(number), span \(index) at \(point.uncompressedOffset), spacing \(spacing)")
                    #expect(point.window.count <= PackedWindow.packedLimit)
                    spans += 1
                    windows += point.window.isEmpty ? 0 : 1
                    unaligned += point.bits == 0 ? 0 : 1
                }
            }
        }
        #expect(spans > 300 && windows > 50 && unaligned > 50, "\(spans) spans, \(windows) windows, \(unaligned) inside a byte")
    }

    @Test(arguments: ["gzip -1", "gzip -6", "gzip -9", "gzip -6 --rsyncable"])
    func spansOfWhatGzipWritesDecodeAndTheirWindowsAreSmall(tool: String) throws {
        var generator = SeededGenerator("spansOfWhatGzipWritesDecodeAndTheirWindowsAreSmall")
        let scratch = try Scratch()
        try scratch.run("(cd / && tar cf - usr/lib/python3* usr/share 2>/dev/null || true) | head -c 12000000 > part; \(tool) -c part > out")
        let source = try scratch.read("out"), raw = try scratch.read("part")
        let cut = try CutStream(source, every: 1 << 20, &generator)
        #expect(cut.output == raw && raw.count > 4 << 20)
        for (index, point) in cut.checkpoints.enumerated() where !cut.range(index).isEmpty {
            let expected = Array(raw[cut.range(index)])
            #expect(try decode(source[cut.sourceRange(index)], .gzip, point, expected.count) == expected, "span \(index)")
            // The fast way does it alone.
            var fast = [UInt8](repeating: 0xAA, count: expected.count)
            let window = try PackedWindow.unpack(point.window)
            let isDone = source[cut.sourceRange(index)].withUnsafeBytes { source in
                fast.withUnsafeMutableBytes { StretchInflater().inflate(source, bits: point.bits, window: window, startsMember: point.startsMember, into: $0) }
            }
            #expect(isDone && fast == expected, "span \(index) by ISA-L")
        }
        let packed = cut.checkpoints.reduce(0) { $0 + $1.window.count }
        #expect(cut.checkpoints.count > raw.count >> 21 && packed > 0)
        #expect(packed < cut.checkpoints.count * 8 << 10, "\(packed) bytes of \(cut.checkpoints.count) windows")
    }

    @Test func aWindowHoldsWhatIsReferredToAndNothingElse() throws {
        // Blocks are ended without forgetting (Z_SYNC_FLUSH), so what comes after refers back to the one phrase before. It does not begin
        // with a zero: those are left out at the beginning of a window.
        let scratch = try Scratch()
        try scratch.run("""
            python3 -c "
            import random, zlib
            noise = bytes(random.randrange(1, 128) for _ in range(30000))
            phrase = noise[11000:11040]
            data = noise + phrase + bytes(random.randrange(128, 256) for _ in range(40000))
            encoder = zlib.compressobj(9, zlib.DEFLATED, 31)
            packed = encoder.compress(noise) + encoder.flush(zlib.Z_SYNC_FLUSH) + encoder.compress(data[30000:]) + encoder.flush()
            open('in', 'wb').write(data)
            open('out', 'wb').write(packed)
            "
            """)
        let source = try scratch.read("out"), raw = try scratch.read("in")
        var generator = SeededGenerator(seed: 1)
        // With 30,000 the block ends just where a checkpoint is due.
        #expect(try CutStream(source, every: 29_999, &generator).checkpoints.map(\.uncompressedOffset).prefix(2) == [0, 30_000])
        let cut = try CutStream(source, every: 30_000, &generator)
        let point = try #require(cut.checkpoints.first { $0.uncompressedOffset == 30_000 })
        let window = try PackedWindow.unpack(point.window)
        #expect(Array(window.prefix(40)) == Array(raw[11_000..<11_040]) && window.count == 19_000)
        #expect(window.dropFirst(40).allSatisfy { $0 == 0 })
        #expect(point.window.count < 100)
    }

    @Test func damageNeverPassesTheDigestAndNeverTraps() throws {
        var generator = SeededGenerator("damageNeverPassesTheDigestAndNeverTraps")
        let scratch = try Scratch()
        try scratch.run("python3 '\(fixture("gzip-streams.py"))' \(generator.seed) 12 .")
        var caught = 0
        for number in 0..<12 {
            let source = try scratch.read("\(number).gz")
            let cut = try CutStream(source, every: 20_000, &generator)
            for (index, point) in cut.checkpoints.enumerated() where !cut.range(index).isEmpty {
                let expected = Array(cut.output[cut.range(index)])
                for _ in 0..<4 {
                    var (damaged, bytes) = (point, Array(source[cut.sourceRange(index)]))
                    switch Int.random(in: 0..<5, using: &generator) {
                    case 0: damaged.bits = UInt8.random(in: 0...9, using: &generator)
                    case 1: damaged.startsMember.toggle()
                    case 2: bytes[Int.random(in: 0..<bytes.count, using: &generator)] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
                    case 3: bytes.removeLast(Int.random(in: 0..<bytes.count, using: &generator))
                    default:
                        if damaged.window.isEmpty { continue }
                        damaged.window[Int.random(in: 0..<damaged.window.count, using: &generator)] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
                    }
                    guard let decoded = try? decode(bytes[...], .gzip, damaged, expected.count, digest: Digest(of: expected)) else {
                        caught += 1
                        continue
                    }
                    #expect(decoded == expected, "stream \(number), span \(index)")
                }
            }
        }
        #expect(caught > 20)
    }

    @Test func zstdIsCutAtFramesOnly() throws {
        var generator = SeededGenerator("zstdIsCutAtFramesOnly")
        let scratch = try Scratch()
        try scratch.run("for i in $(seq 1 40); do seq $i $((i * 500)) > piece; cat piece >> in; zstd -qc -$((i % 19 + 1)) piece >> out; [ $((i % 5)) != 0 ] || printf '\\120\\052\\115\\030\\003\\000\\000\\000abc' >> out; done")
        let source = try scratch.read("out"), raw = try scratch.read("in")
        for spacing in [1, 30_000, 100_000] as [UInt64] {
            let cut = try CutStream(source, every: spacing, &generator)
            #expect(cut.compression == .zstd && cut.output == raw)
            #expect(cut.checkpoints.count >= (spacing == 1 ? 40 : 10) && cut.checkpoints.allSatisfy { $0.startsMember && $0.window.isEmpty })
            for (index, point) in cut.checkpoints.enumerated() where !cut.range(index).isEmpty {
                let expected = Array(raw[cut.range(index)])
                #expect(try decode(source[cut.sourceRange(index)], .zstd, point, expected.count) == expected, "span \(index)")
            }
        }
        try scratch.run("zstd -qc in > single")
        #expect(try CutStream(scratch.read("single"), every: 1000, &generator).checkpoints.count == 1)
    }

    @Test func plainTarIsCutExactlyWhereAsked() throws {
        var generator = SeededGenerator("plainTarIsCutExactlyWhereAsked")
        let raw = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
        let cut = try CutStream(raw, every: 7_000, &generator)
        #expect(cut.compression == .none && cut.output == raw)
        #expect(cut.checkpoints == stride(from: 0, to: 100_000, by: 7_000).map {
            Checkpoint(compressedOffset: UInt64($0), uncompressedOffset: UInt64($0), startsMember: true)
        })
        #expect(try decode(raw[cut.sourceRange(3)], .none, cut.checkpoints[3], 7_000) == Array(raw[cut.range(3)]))
    }

    @Test func aPackedWindowFromAStrangerTakesNoMoreThanAWindow() throws {
        let scratch = try Scratch()
        try scratch.run("head -c 32769 /dev/zero | zstd -qc > large; head -c 90000000 /dev/zero | zstd -qc > bomb; head -c 32768 /dev/urandom > full; zstd -qc full > fits")
        for name in ["large", "bomb"] {
            #expect(throws: ArchiveError.self, "\(name)") { try PackedWindow.unpack(scratch.read(name)) }
        }
        #expect(try PackedWindow.unpack(scratch.read("fits")) == scratch.read("full"))
        #expect(throws: ArchiveError.self) { try PackedWindow.unpack([1, 2, 3]) }
        #expect(throws: ArchiveError.self) { try PackedWindow.unpack([UInt8](repeating: 0x28, count: PackedWindow.packedLimit + 1)) }
        #expect(try PackedWindow.unpack([]) == [])
    }

    @Test func packingKeepsAWindowAsItIs() throws {
        var generator = SeededGenerator("packingKeepsAWindowAsItIs")
        for length in [0, 1, 300, PackedWindow.size, PackedWindow.size + 5] {
            var window = (0..<length).map { _ in UInt8.random(in: 0...255, using: &generator) }
            if length > 100 { window.replaceSubrange(0..<100, with: repeatElement(0, count: 100)) }
            let packed = try PackedWindow.pack(window)
            #expect(packed.count <= PackedWindow.packedLimit)
            #expect(try PackedWindow.unpack(packed) == Array(window.suffix(PackedWindow.size).drop { $0 == 0 }))
        }
        #expect(try PackedWindow.pack([UInt8](repeating: 0, count: 32 << 10)).isEmpty)
    }
}

/// A whole stream read in pieces of random sizes, with the checkpoints that came out of it.
private struct CutStream {
    var compression = Compression.none
    var output: [UInt8] = []
    var checkpoints: [Checkpoint] = []
    let sourceSize: Int

    init(_ source: [UInt8], every spacing: UInt64, _ generator: inout SeededGenerator) throws {
        final class Tee { var total: UInt64 = 0, checkpoints: [Checkpoint] = [] }
        sourceSize = source.count
        let tee = Tee()
        let dribbles = Bool.random(using: &generator)
        let bytes: any ByteReader = dribbles ? DribblingReader(source, seed: generator.next()) : MemoryReader(source)
        let reader = try LayerReader(bytes, cutsEvery: spacing) { point in
            // Who copies what passes can cut right here.
            #expect(point.uncompressedOffset == tee.total)
            if let last = tee.checkpoints.last { #expect(point.uncompressedOffset - last.uncompressedOffset >= spacing) }
            tee.checkpoints.append(point)
        }
        var block = [UInt8](repeating: 0, count: Int.random(in: 1...3, using: &generator) == 1 ? 100 : 200_000)
        while true {
            let count = try block.withUnsafeMutableBytes { try reader.read(into: $0) }
            if count == 0 { break }
            output += block[..<count]
            tee.total += UInt64(count)
        }
        compression = reader.compression
        checkpoints = tee.checkpoints
        #expect(checkpoints.first?.uncompressedOffset == 0)
    }

    func range(_ index: Int) -> Range<Int> {
        let end = index + 1 < checkpoints.count ? Int(checkpoints[index + 1].uncompressedOffset) : output.count
        return Int(checkpoints[index].uncompressedOffset)..<end
    }

    func sourceRange(_ index: Int) -> Range<Int> {
        let end = index + 1 < checkpoints.count ? Int(checkpoints[index + 1].compressedOffset) : sourceSize
        return Int(checkpoints[index].sourceOffset)..<end
    }
}

private func decode(
    _ source: ArraySlice<UInt8>, _ compression: Compression, _ point: Checkpoint, _ length: Int, digest: Digest? = nil
) throws -> [UInt8] {
    var output = [UInt8](repeating: 0xAA, count: length)
    let window = try PackedWindow.unpack(point.window)
    try source.withUnsafeBytes { source in
        try output.withUnsafeMutableBytes {
            try SpanDecoder.decode(source, compression, bits: point.bits, window: window, startsMember: point.startsMember, into: $0, digest: digest)
        }
    }
    return output
}
