import Archive
import OCI
import TreeIndex

/// Makes a layer's index from its table of contents: the tree, and where in the blob every span is.
enum TableIndex {
    /// Sources that lie further apart than this are not fetched in one piece, in bytes.
    private static let gapLimit: UInt64 = 64 << 10

    private struct File {
        let ordinal: Ordinal
        let chunks: [TOCChunk]
        let stored: UInt64
        let digest: Digest?
    }

    /// - Throws: `ArchiveError` or `TreeIndexError` where the table cannot be used: the layer is then streamed.
    static func build(_ contents: TableOfContents, _ format: LayerFormat, layer: ImageLayer, table: LayerTable) throws -> IndexDocument {
        var builder = TreeBuilder()
        var files: [Ordinal: File] = [:]
        for item in contents.entries {
            guard let ordinal = try builder.add(item.entry) else { continue }
            guard item.entry.kind == .regular, item.entry.storedSize > 0 else {
                files[ordinal] = nil
                continue
            }
            var chunks = item.chunks.filter { !$0.isZeros }
            // A file of one chunk is proven by its own digest as well. Without any digest it could not be verified.
            if chunks.count == 1, chunks[0].digest == nil, item.entry.extents == nil { chunks[0].digest = item.digest }
            guard chunks.allSatisfy({ $0.digest != nil }) else {
                throw ArchiveError(.unsupported, subject: "table of contents", "a file has chunks without a digest")
            }
            files[ordinal] = File(ordinal: ordinal, chunks: chunks, stored: item.entry.storedSize, digest: item.digest)
        }
        var spans = SpanCutter(gapLimit: gapLimit)
        // In the order of the blob, so that neighbours in a span are neighbours in the registry.
        for file in files.values.sorted(by: { ($0.chunks[0].sourceOffset, $0.ordinal) < ($1.chunks[0].sourceOffset, $1.ordinal) }) {
            let large = file.stored >= LayerUnpacker.largeFileSize
            if large { spans.cut(into: &builder) }
            if let problem = spans.problem { throw problem }
            try builder.setContent(file.ordinal, at: spans.contentEnd)
            if large { try builder.setObject(file.ordinal, file.digest) }
            for chunk in file.chunks { spans.add(chunk, exclusive: large, into: &builder) }
            if large { spans.cut(into: &builder) }
        }
        spans.cut(into: &builder)
        if let problem = spans.problem { throw problem }
        return try builder.finish(LayerIdentity(
            contentKey: table.key, blobDigest: layer.descriptor.digest, diffID: nil, format: format, blobSize: layer.descriptor.size
        ))
    }
}

/// Groups chunks into spans of about `LayerUnpacker.spanSize`.
private struct SpanCutter {
    private let gapLimit: UInt64
    private(set) var contentEnd: UInt64 = 0
    /// The first thing that went wrong while adding to the builder.
    private(set) var problem: TreeIndexError?
    private var chunks: [ContentChunk] = []
    private var source: Range<UInt64> = 0..<0
    private var exclusive = false

    init(gapLimit: UInt64) { self.gapLimit = gapLimit }

    mutating func add(_ chunk: TOCChunk, exclusive: Bool, into builder: inout TreeBuilder) {
        let length = contentEnd - (chunks.first?.contentStart ?? contentEnd)
        let follows = chunk.sourceOffset >= source.lowerBound && chunk.sourceOffset <= source.upperBound &+ gapLimit
        if !chunks.isEmpty, length + chunk.length > UInt64(LayerUnpacker.spanSize) || !follows { cut(into: &builder) }
        if chunks.isEmpty { source = chunk.sourceOffset..<chunk.sourceEnd }
        source = source.lowerBound..<max(source.upperBound, chunk.sourceEnd)
        self.exclusive = exclusive
        chunks.append(ContentChunk(contentStart: contentEnd, length: chunk.length, sourceOffset: chunk.sourceOffset, innerOffset: chunk.innerOffset, digest: chunk.digest))
        contentEnd += chunk.length
    }

    mutating func cut(into builder: inout TreeBuilder) {
        guard let first = chunks.first else { return }
        let span = ContentSpan(
            contentStart: first.contentStart, length: contentEnd - first.contentStart, sourceOffset: source.lowerBound,
            sourceLength: source.upperBound - source.lowerBound, flags: exclusive ? .exclusive : []
        )
        do throws(TreeIndexError) { _ = try builder.append(span, chunks: chunks) } catch { problem = problem ?? error }
        chunks.removeAll(keepingCapacity: true)
    }
}
