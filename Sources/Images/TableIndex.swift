import Archive
import OCI
import TreeIndex

/// Makes a layer's index from its table of contents: the tree, and where in the blob every span is.
enum TableIndex {
    /// Bytes of content in a span, about; unlike in a tar, spans can be cut between any two files.
    static let spanSize = 1 << 20
    /// From this size a file has spans of its own, and becomes one object when they are here. In a tar its spans would be others'
    /// too, so that it must be larger there to be worth it (`LayerUnpacker`).
    static let largeFileSize: UInt64 = 1 << 20

    /// The content of one entry: where it will be in the content space.
    private struct Place {
        let entry: Int
        var chunks: [TOCChunk]
        let isLarge: Bool
        var start: UInt64 = 0
    }

    /// - Throws: `ArchiveError` or `TreeIndexError` where the table cannot be used: the layer is then streamed.
    static func build(_ contents: TableOfContents, _ format: LayerFormat, layer: ImageLayer, table: LayerTable) throws -> IndexDocument {
        try refuseLostNames(contents)
        var places = try contents.entries.indices.compactMap { try place(of: contents.entries[$0], number: $0) }
        // In the order of the blob, so that neighbours in a span are neighbours in the registry.
        places.sort { ($0.chunks[0].sourceOffset, $0.entry) < ($1.chunks[0].sourceOffset, $1.entry) }
        var spans = SpanCutter()
        for position in places.indices { places[position].start = spans.add(places[position].chunks, exclusive: places[position].isLarge) }
        spans.cut()

        // In the order of the archive, because a later entry may replace an earlier one, links and all.
        places.sort { $0.entry < $1.entry }
        var builder = TreeBuilder()
        var next = places[...]
        for (number, item) in contents.entries.enumerated() {
            let place = next.first?.entry == number ? next.removeFirst() : nil
            guard let ordinal = try builder.add(item.entry), let place else { continue }
            try builder.setContent(ordinal, at: place.start)
            if place.isLarge { try builder.setObject(ordinal, item.digest) }
        }
        for (span, chunks) in spans.finished { try builder.append(span, chunks: chunks) }
        return try builder.finish(LayerIdentity(
            contentKey: table.key, blobDigest: layer.descriptor.digest, diffID: nil, format: format, blobSize: layer.descriptor.size
        ))
    }

    /// Go's encoder writes U+FFFD for every byte that is not UTF-8. A table with one has lost a name, so the tar decides.
    private static func refuseLostNames(_ contents: TableOfContents) throws {
        for (number, item) in contents.entries.enumerated() where item.entry.path.hasReplacementCharacter || item.entry.linkTarget.hasReplacementCharacter {
            throw ArchiveError(.unsupported, subject: "table of contents", "the name of entry \(number + 1) was not UTF-8 and is lost in the table")
        }
    }

    private static func place(of item: TOCEntry, number: Int) throws -> Place? {
        guard item.entry.kind == .regular, item.entry.storedSize > 0 else { return nil }
        var chunks = item.chunks.filter { !$0.isZeros }
        // A file of one chunk is proven by its own digest as well. Without any digest it could not be verified.
        if chunks.count == 1, chunks[0].digest == nil, item.entry.extents == nil { chunks[0].digest = item.digest }
        guard !chunks.isEmpty, chunks.allSatisfy({ $0.digest != nil }) else {
            throw ArchiveError(.unsupported, subject: "table of contents", "entry \(number + 1) has content without a digest")
        }
        return Place(entry: number, chunks: chunks, isLarge: item.entry.storedSize >= Self.largeFileSize)
    }
}

extension [UInt8] {
    fileprivate var hasReplacementCharacter: Bool {
        guard var position = firstIndex(of: 0xEF) else { return false }
        while position + 2 < count {
            if self[position] == 0xEF, self[position + 1] == 0xBF, self[position + 2] == 0xBD { return true }
            position += 1
        }
        return false
    }
}

/// Groups chunks into spans of about `TableIndex.spanSize`; a large file has spans of its own.
private struct SpanCutter {
    /// Sources that lie further apart than this are not fetched in one piece, in bytes.
    private static let gapLimit: UInt64 = 64 << 10

    private(set) var finished: [(ContentSpan, [ContentChunk])] = []
    private var contentEnd: UInt64 = 0
    private var chunks: [ContentChunk] = []
    private var source: Range<UInt64> = 0..<0
    private var exclusive = false

    /// Adds the chunks of one file and returns where its content begins.
    mutating func add(_ file: [TOCChunk], exclusive: Bool) -> UInt64 {
        if exclusive || self.exclusive { cut() }
        self.exclusive = exclusive
        let start = contentEnd
        for chunk in file { add(chunk) }
        return start
    }

    private mutating func add(_ chunk: TOCChunk) {
        let length = contentEnd - (chunks.first?.contentStart ?? contentEnd)
        let follows = chunk.sourceOffset >= source.lowerBound && chunk.sourceOffset <= source.upperBound &+ Self.gapLimit
        if !chunks.isEmpty, length + chunk.length > UInt64(TableIndex.spanSize) || !follows { cut() }
        if chunks.isEmpty { source = chunk.sourceOffset..<chunk.sourceEnd }
        source = source.lowerBound..<max(source.upperBound, chunk.sourceEnd)
        chunks.append(ContentChunk(contentStart: contentEnd, length: chunk.length, sourceOffset: chunk.sourceOffset, innerOffset: chunk.innerOffset, digest: chunk.digest))
        contentEnd += chunk.length
    }

    mutating func cut() {
        guard let first = chunks.first else { return }
        let span = ContentSpan(
            contentStart: first.contentStart, length: contentEnd - first.contentStart, sourceOffset: source.lowerBound,
            sourceLength: source.upperBound - source.lowerBound, flags: exclusive ? .exclusive : []
        )
        finished.append((span, chunks))
        chunks.removeAll(keepingCapacity: true)
    }
}
