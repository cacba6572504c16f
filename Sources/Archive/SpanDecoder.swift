import OCI

/// Turns the source range of a span, from its checkpoint on, into the span's bytes.
public enum SpanDecoder {
    /// Decompresses `source` from a checkpoint on until `output` is full; what comes after that is not looked at. A span
    /// may go over any number of gzip members or zstd frames.
    ///
    /// - Parameters:
    ///   - source: the blob from `Checkpoint.sourceOffset` on, to the next checkpoint's `compressedOffset` or further.
    ///   - bits: the checkpoint's.
    ///   - window: the checkpoint's, unpacked: the last bytes before it. Missing ones count as zeros.
    ///   - startsMember: the source begins with a gzip member or zstd frame, and `bits` and `window` mean nothing.
    ///   - digest: sha256 of `output`. Without one a damaged span may go unnoticed: gzip's CRC covers whole members only.
    /// - Throws: `.truncated` where the source has less, `.malformed` where it does not decompress, `.digestMismatch` where
    ///   `output` is not what `digest` names; `output` must not be used then.
    public static func decode(
        _ source: UnsafeRawBufferPointer, _ compression: Compression, bits: UInt8 = 0, window: [UInt8] = [], startsMember: Bool,
        into output: UnsafeMutableRawBufferPointer, digest: Digest? = nil
    ) throws(ArchiveError) {
        guard compression == .gzip, !startsMember else {
            return try ChunkDecoder.decode(source, compression, into: output, digest: digest)
        }
        if StretchInflater().inflate(source, bits: bits, window: window, startsMember: false, into: output), ChunkDecoder.isRight(output, digest) { return }
        let inputSize = min(source.count, 256 << 10)
        let decoder = try GzipReader(BorrowedReader(source), bits: bits, window: window, inputSize: inputSize)
        try ChunkDecoder.fill(output, from: decoder, "span", digest: digest)
    }
}
