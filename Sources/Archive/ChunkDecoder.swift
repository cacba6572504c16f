import OCI

/// Turns a piece of a blob into a piece of a file.
public enum ChunkDecoder {
    /// Decompresses `source`, whole gzip members or zstd frames from the first on, passes over `innerOffset` bytes and fills
    /// `output` with what follows. What comes after that is not looked at.
    ///
    /// Throws `.truncated` where the source has less, `.malformed` where it does not decompress, `.digestMismatch` where
    /// `output` is not what `digest` names; `output` must not be used then.
    public static func decode(
        _ source: UnsafeRawBufferPointer, _ compression: Compression, skipping innerOffset: UInt64 = 0,
        into output: UnsafeMutableRawBufferPointer, digest: Digest? = nil
    ) throws(ArchiveError) {
        if compression == .gzip, innerOffset == 0, StretchInflater().inflate(source, bits: 0, window: [], startsMember: true, into: output),
            isRight(output, digest) { return }
        let inputSize = min(source.count, 256 << 10)
        let decoder: any ByteReader = switch compression {
        case .none: BorrowedReader(source)
        case .gzip: try GzipReader(BorrowedReader(source), inputSize: inputSize)
        case .zstd: try ZstdReader(BorrowedReader(source), inputSize: inputSize)
        }
        try pass(innerOffset, of: decoder)
        try fill(output, from: decoder, "chunk", digest: digest)
    }

    /// Fills `output` from a decoder and holds it to `digest`.
    static func fill(
        _ output: UnsafeMutableRawBufferPointer, from decoder: any ByteReader, _ what: StaticString, digest: Digest?
    ) throws(ArchiveError) {
        var done = 0
        while done < output.count {
            let rest = UnsafeMutableRawBufferPointer(rebasing: output[done...])
            let count = try ArchiveError.reading { try decoder.read(into: rest) }
            guard count > 0 else { throw ArchiveError(.truncated, "the source of a \(what) has \(done) of its \(output.count) bytes") }
            done += count
        }
        guard let digest, case let actual = Digest(of: UnsafeRawBufferPointer(output)), actual != digest else { return }
        throw ArchiveError(.digestMismatch, "the digest of a \(what) is \(actual) where \(digest) was promised")
    }

    /// Whether this is what `digest` names, or nobody has said what it should be.
    static func isRight(_ output: UnsafeMutableRawBufferPointer, _ digest: Digest?) -> Bool {
        digest.map { $0 == Digest(of: UnsafeRawBufferPointer(output)) } ?? true
    }

    /// The bytes of `chunk`, from the bytes of its source range. Zeros need no source.
    public static func decode(
        _ chunk: TOCChunk, from source: UnsafeRawBufferPointer, _ compression: Compression, into output: UnsafeMutableRawBufferPointer
    ) throws(ArchiveError) {
        guard UInt64(output.count) == chunk.length else {
            throw ArchiveError(.malformed, "a chunk of \(chunk.length) bytes does not go into a buffer of \(output.count)")
        }
        if chunk.isZeros {
            output.initializeMemory(as: UInt8.self, repeating: 0)
        } else {
            try decode(source, compression, skipping: chunk.innerOffset, into: output, digest: chunk.digest)
        }
    }

    private static func pass(_ count: UInt64, of decoder: any ByteReader) throws(ArchiveError) {
        guard count > 0 else { return }
        let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: Int(min(count, 64 << 10)), alignment: 16)
        defer { scratch.deallocate() }
        var left = count
        while left > 0 {
            let room = UnsafeMutableRawBufferPointer(rebasing: scratch[..<Int(min(left, UInt64(scratch.count)))])
            let got = try ArchiveError.reading { try decoder.read(into: room) }
            guard got > 0 else { throw ArchiveError(.truncated, "the source of a chunk ends \(left) bytes before the chunk") }
            left -= UInt64(got)
        }
    }
}
