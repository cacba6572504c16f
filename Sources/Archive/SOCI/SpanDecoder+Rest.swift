extension SpanDecoder {
    /// What the source of a gzip span decompresses to behind its first `length` bytes, to the end of the source.
    ///
    /// For the last span of a zTOC: soci counts a layer's tar to the end of the archive, and many an archive is padded.
    /// - Parameter limit: bytes; what is more is an error.
    public static func rest(
        of source: UnsafeRawBufferPointer, bits: UInt8, window: [UInt8], startsMember: Bool, after length: UInt64, limit: Int
    ) throws(ArchiveError) -> [UInt8] {
        let input = BorrowedReader(source)
        let inputSize = min(max(source.count, 1), 256 << 10)
        let decoder = startsMember ? try GzipReader(input, inputSize: inputSize) : try GzipReader(input, bits: bits, window: window, inputSize: inputSize)
        let output = BufferedInput(decoder)
        guard try output.skip(length) == length else { throw ArchiveError(.truncated, "a span has less than its \(length) bytes") }
        var rest = [UInt8](repeating: 0, count: limit + 1)
        var count = 0
        try ArchiveError.reading { count = try rest.withUnsafeMutableBytes { try output.readAll(into: $0) } }
        guard count <= limit else { throw ArchiveError(.limitExceeded, "more than \(limit) bytes follow the end of the archive") }
        rest.removeLast(rest.count - count)
        return rest
    }
}
