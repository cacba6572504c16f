import OCI
import Testing
@testable import Archive

@Suite struct DecompressionTests {
    private func compress(_ bytes: [UInt8], _ tool: String) throws -> [UInt8] {
        let scratch = try Scratch()
        try scratch.write(bytes, to: "in")
        try scratch.run("\(tool) -c in > out")
        return try scratch.read("out")
    }

    private static let text = (0..<30_000).flatMap { Array("line \($0 &* 2_654_435_761)\n".utf8) }

    @Test func theCompressionIsToldFromTheBytes() {
        #expect(Compression.detect([0x1F, 0x8B]) == .gzip)
        #expect(Compression.detect([0x28, 0xB5, 0x2F, 0xFD, 0]) == .zstd)
        #expect(Compression.detect([0x5A, 0x2A, 0x4D, 0x18]) == .zstd)
        #expect(Compression.detect([0x28, 0xB5, 0x2F]) == .none)
        #expect(Compression.detect(Array("usr/".utf8)) == .none)
        #expect(Compression.detect([UInt8]()) == .none)
    }

    @Test(arguments: ["gzip", "zstd -q"])
    func severalStreamsInARowAreOne(tool: String) throws {
        let one = try compress(Self.text, tool), none = try compress([], tool)
        let skippable: [UInt8] = tool == "gzip" ? [] : [0x51, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, 9, 9, 9]
        let bytes = skippable + none + one + skippable + none + one + none + skippable
        let reader = try Compression.detect(bytes).reader(over: DribblingReader(bytes, seed: 5))
        #expect(try readAll(reader) == Self.text + Self.text)
    }

    @Test func zerosAfterGzipArePaddingAndNothingElseIs() throws {
        let gzip = try compress(Self.text, "gzip")
        #expect(try readAll(GzipReader(MemoryReader(gzip + [UInt8](repeating: 0, count: 600_000)))) == Self.text)
        for tail in [[1], [0, 0, 1], [0] + gzip, [0x1F]] as [[UInt8]] {
            #expect(throws: ArchiveError.self) { try readAll(GzipReader(MemoryReader(gzip + tail))) }
        }
    }

    @Test func aWrongCRCOrLengthIsAnError() throws {
        let gzip = try compress(Self.text, "gzip")
        for position in 1...8 {
            var bytes = gzip
            bytes[bytes.count - position] ^= 0x10
            #expect { try readAll(GzipReader(MemoryReader(bytes))) } throws: { ($0 as? ArchiveError)?.reason == .malformed }
        }
        var zstd = try compress(Self.text, "zstd -q --check")
        zstd[zstd.count - 1] ^= 1
        #expect { try readAll(ZstdReader(MemoryReader(zstd))) } throws: { ($0 as? ArchiveError)?.reason == .malformed }
    }

    @Test(arguments: ["gzip -1", "gzip -9", "gzip -9 --rsyncable"])
    func inflatingCanStartAtEveryCheckpoint(tool: String) throws {
        let halves = [Array(Self.text.prefix(500_001)), Array(Self.text.dropFirst(500_001))]
        let source = try halves.flatMap { try compress($0, tool) }
        var checkpoints: [Checkpoint] = []
        let reader = try LayerReader(DribblingReader(source, seed: 9), cutsEvery: 60_000) { checkpoints.append($0) }
        #expect(try readAll(reader) == Self.text)
        #expect(checkpoints.count >= 3 && checkpoints[0].startsMember && checkpoints.contains { $0.bits > 0 })
        for (one, next) in zip(checkpoints, checkpoints.dropFirst()) {
            #expect(next.uncompressedOffset - one.uncompressedOffset >= 60_000)
        }
        for checkpoint in checkpoints {
            let expected = Array(Self.text[Int(checkpoint.uncompressedOffset)...])
            #expect(try decode(source, checkpoint, length: expected.count) == expected, "from \(checkpoint.uncompressedOffset)")
        }
        // A window that is not the right one gives an error or other bytes, which is what digests are for; never a trap.
        var wrong = try #require(checkpoints.last)
        wrong.window = []
        wrong.bits = 7
        _ = try? decode(source, wrong, length: 10_000)
        wrong.bits = 8
        #expect(throws: ArchiveError.self) { try decode(source, wrong, length: 1) }
    }

    /// Output from a checkpoint on.
    private func decode(_ source: [UInt8], _ checkpoint: Checkpoint, length: Int) throws -> [UInt8] {
        var output = [UInt8](repeating: 0, count: length)
        try source[Int(checkpoint.sourceOffset)...].withUnsafeBytes { source in
            try output.withUnsafeMutableBytes {
                try SpanDecoder.decode(
                    source, .gzip, bits: checkpoint.bits, window: PackedWindow.unpack(checkpoint.window), startsMember: checkpoint.startsMember, into: $0)
            }
        }
        return output
    }

    @Test func aStreamCutAfterACheckpointIsTruncated() throws {
        let source = try compress(Self.text, "gzip")
        var checkpoints: [Checkpoint] = []
        _ = try readAll(LayerReader(MemoryReader(source), cutsEvery: 60_000) { checkpoints.append($0) })
        let last = try #require(checkpoints.last)
        let length = Self.text.count - Int(last.uncompressedOffset)
        for (missing, more) in [(1, 1), (8, 1), (12, 0), (1000, 0)] {
            let bytes = Array(source.dropLast(missing))
            #expect("without \(missing)") { try decode(bytes, last, length: length + more) } throws: { ($0 as? ArchiveError)?.reason == .truncated }
        }
    }

    @Test func anEmptyStreamIsTruncated() {
        #expect { try readAll(GzipReader(MemoryReader([]))) } throws: { ($0 as? ArchiveError)?.reason == .truncated }
        #expect { try readAll(ZstdReader(MemoryReader([]))) } throws: { ($0 as? ArchiveError)?.reason == .truncated }
    }

    @Test func aZstdWindowOverTheLimitIsRefused() {
        // A frame header that states a window of 256 MiB: descriptor 0, window byte (28 - 10) << 3.
        let bytes: [UInt8] = [0x28, 0xB5, 0x2F, 0xFD, 0x00, 18 << 3, 1, 0, 0]
        #expect { try readAll(ZstdReader(MemoryReader(bytes))) } throws: { ($0 as? ArchiveError)?.reason == .limitExceeded }
    }

    @Test(arguments: ["gzip", "zstd -q"])
    func aChunkIsCutOutOfItsSource(tool: String) throws {
        let source = try compress(Array(Self.text.prefix(100_000)), tool) + compress(Array(Self.text.dropFirst(100_000)), tool)
        let compression = Compression.detect(source)
        var generator = SeededGenerator("aChunkIsCutOutOfItsSource")
        for _ in 0..<40 {
            let start = Int.random(in: 0..<Self.text.count, using: &generator)
            let length = Int.random(in: 0...Self.text.count - start, using: &generator)
            let expected = Array(Self.text[start..<start + length])
            var output = [UInt8](repeating: 0xAA, count: length + 1)
            try source.withUnsafeBytes { source in
                try output.withUnsafeMutableBytes { output in
                    let room = UnsafeMutableRawBufferPointer(rebasing: output[..<length])
                    try ChunkDecoder.decode(source, compression, skipping: UInt64(start), into: room, digest: Digest(of: expected))
                }
            }
            #expect(output == expected + [0xAA], "\(length) bytes at \(start)")
        }
    }

    @Test func aChunkThatIsNotWhatWasPromisedIsAnError() throws {
        let source = try compress(Self.text, "gzip")
        func reason(skipping: UInt64, length: Int, digest: Digest? = nil, source: [UInt8]) -> ArchiveError.Reason? {
            var output = [UInt8](repeating: 0, count: length)
            do throws(ArchiveError) {
                try ArchiveError.reading {
                    try source.withUnsafeBytes { source in
                        try output.withUnsafeMutableBytes { try ChunkDecoder.decode(source, .gzip, skipping: skipping, into: $0, digest: digest) }
                    }
                }
                return nil
            } catch {
                return error.reason
            }
        }
        #expect(reason(skipping: 0, length: 10, digest: Digest(of: Self.text.prefix(10)), source: source) == nil)
        #expect(reason(skipping: 0, length: 10, digest: Digest(of: Self.text.prefix(11)), source: source) == .digestMismatch)
        #expect(reason(skipping: 0, length: Self.text.count + 1, source: source) == .truncated)
        #expect(reason(skipping: UInt64.max, length: 1, source: source) == .truncated)
        #expect(reason(skipping: 0, length: Self.text.count, source: Array(source.dropLast(source.count / 2))) == .truncated)
        #expect(reason(skipping: 0, length: 1, source: [1, 2, 3]) == .malformed)
        #expect(reason(skipping: 0, length: 1, source: []) == .truncated)
    }
}
