import Archive
import OCI
import TreeIndex

/// From bytes of a layer's blob to a span's bytes.
enum SpanContent {
    /// Decompresses and verifies span `number`, whatever the layer's format.
    ///
    /// - Parameters:
    ///   - bytes: of the blob, from `sourceOffset` on: the span's source, and what is around it where more was fetched at once.
    ///   - content: as long as the span.
    /// - Throws: `ArchiveError` where the bytes are not those that the index promises; `content` must not be used then.
    static func decode(
        _ number: Int, of tree: LayerTree, from bytes: UnsafeRawBufferPointer, at sourceOffset: UInt64, into content: UnsafeMutableRawBufferPointer
    ) throws(ArchiveError) {
        let span = tree.view.span(number)
        guard span.sourceOffset >= sourceOffset, span.sourceOffset - sourceOffset <= UInt64(bytes.count),
            span.sourceLength <= UInt64(bytes.count) - (span.sourceOffset - sourceOffset)
        else { throw ArchiveError(.truncated, "the source of span \(number) is not all there") }
        let first = Int(span.sourceOffset - sourceOffset)
        let source = UnsafeRawBufferPointer(rebasing: bytes[first..<first + Int(span.sourceLength)])
        guard span.length == UInt64(content.count) else {
            throw ArchiveError(.malformed, "a span of \(span.length) bytes does not go into a buffer of \(content.count)")
        }
        if span.chunkCount > 0 { return try decodeChunks(of: span, tree, source, into: content) }
        guard let digest = span.digest else { throw unproven(number) }
        if span.flags.contains(.digestOfSource) {
            var hasher = DigestHasher()
            hasher.update(source)
            let found = hasher.finish()
            guard found == digest else { throw ArchiveError(.digestMismatch, "the digest of a span's source is \(found) where \(digest) was promised") }
        }
        let wanted = span.flags.contains(.digestOfSource) ? nil : digest
        guard tree.view.hasStarts else {
            guard tree.format == .tar else { throw ArchiveError(.unsupported, "nobody has said where span \(number) can be decompressed from") }
            return try SpanDecoder.decode(source, .none, startsMember: true, into: content, digest: wanted)
        }
        let start = tree.view.start(number)
        try SpanDecoder.decode(
            source, tree.format.compression, bits: start.bits, window: try PackedWindow.unpack(tree.view.window(of: start)),
            startsMember: start.kind == .member, into: content, digest: wanted
        )
    }

    private static func decodeChunks(
        of span: ContentSpan, _ tree: LayerTree, _ source: UnsafeRawBufferPointer, into content: UnsafeMutableRawBufferPointer
    ) throws(ArchiveError) {
        let chunks = span.chunkNumbers.map { tree.view.chunk($0) }
        for (position, chunk) in chunks.enumerated() {
            guard chunk.digest != nil else { throw unproven(span.chunkNumbers.lowerBound + position) }
            // A member ends where the next one begins; several chunks may share one.
            let end = chunks[position...].first { $0.sourceOffset > chunk.sourceOffset }?.sourceOffset ?? span.sourceOffset + span.sourceLength
            guard chunk.sourceOffset >= span.sourceOffset, end <= span.sourceOffset + span.sourceLength else {
                throw ArchiveError(.truncated, "a chunk lies outside of its span")
            }
            let target = Int(chunk.contentStart - span.contentStart)
            try ChunkDecoder.decode(
                UnsafeRawBufferPointer(rebasing: source[Int(chunk.sourceOffset - span.sourceOffset)..<Int(end - span.sourceOffset)]), tree.format.compression,
                skipping: chunk.innerOffset, into: UnsafeMutableRawBufferPointer(rebasing: content[target..<target + Int(chunk.length)]),
                digest: chunk.digest
            )
        }
    }

    private static func unproven(_ number: Int) -> ArchiveError {
        ArchiveError(.unsupported, "nobody has said what the bytes of span or chunk \(number) hash to")
    }
}
