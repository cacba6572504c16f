import OCI

extension TreeBuilder {
    /// Says where the stored bytes of a regular file begin in the content space. A hard link stands for its inode.
    /// - Precondition: `ordinal < nodeCount`.
    public mutating func setContent(_ ordinal: Ordinal, at offset: UInt64) throws(TreeIndexError) {
        let inode = try regularFile(ordinal)
        tables.nodes[Int(inode)].place = offset
    }

    /// Says that a regular file is large, and the sha256 of its whole content where that is known: then it is also an
    /// object of the store. A hard link stands for its inode.
    /// - Precondition: `ordinal < nodeCount`.
    public mutating func setObject(_ ordinal: Ordinal, _ digest: Digest?) throws(TreeIndexError) {
        let inode = try regularFile(ordinal)
        tables.nodes[Int(inode)].flags.insert(.large)
        guard let digest else { return }
        guard tables.objects.count < limits.contentRecords else { throw .tooMany("large files", limit: limits.contentRecords) }
        tables.objects.append(FileObject(digest: digest, size: tables.nodes[Int(inode)].size))
        tables.nodes[Int(inode)].objectPlusOne = UInt32(tables.objects.count)
    }

    /// Adds the next span; it must begin where the one before ended. Chunks are what its bytes are made of, in order.
    /// - Parameter start: how it can be decompressed by itself. The index has starts only if every span has one.
    /// - Returns: the number of the span.
    @discardableResult
    public mutating func append(_ span: ContentSpan, chunks: [ContentChunk] = [], start: SpanEntry? = nil) throws(TreeIndexError) -> Int {
        guard span.contentStart == contentSize, span.length > 0,
            !span.contentStart.addingReportingOverflow(span.length).overflow,
            !span.sourceOffset.addingReportingOverflow(span.sourceLength).overflow
        else {
            throw .badSpan("span \(tables.spans.count) at \(span.contentStart) of \(span.length) bytes does not follow \(contentSize)")
        }
        var position = span.contentStart
        for chunk in chunks {
            guard chunk.contentStart == position, chunk.length > 0, chunk.length <= span.contentEnd - position else {
                throw .badSpan("a chunk at \(chunk.contentStart) of \(chunk.length) bytes does not follow \(position)")
            }
            position += chunk.length
        }
        guard chunks.isEmpty || position == span.contentEnd else {
            throw .badSpan("chunks end at \(position), their span at \(span.contentEnd)")
        }
        guard tables.spans.count < limits.contentRecords, chunks.count <= limits.contentRecords - tables.chunks.count else {
            throw .tooMany("spans or chunks", limit: limits.contentRecords)
        }
        var span = span
        span.firstChunk = UInt32(tables.chunks.count)
        span.chunkCount = UInt32(chunks.count)
        try tables.append(start, limits: limits)
        tables.spans.append(span)
        tables.chunks += chunks
        return tables.spans.count - 1
    }

    public var spanCount: Int { tables.spans.count }

    /// - Precondition: `0 <= number < spanCount`.
    public func span(_ number: Int) -> ContentSpan { tables.spans[number] }

    /// The number of the span that holds that offset of the content space; nil where it has not been added yet.
    public func spanNumber(at contentOffset: UInt64) -> Int? {
        var low = 0
        var high = tables.spans.count
        while low < high {
            let middle = (low + high) / 2
            if tables.spans[middle].contentEnd <= contentOffset { low = middle + 1 } else { high = middle }
        }
        return low < tables.spans.count ? low : nil
    }

    private func regularFile(_ ordinal: Ordinal) throws(TreeIndexError) -> Ordinal {
        let inode = canonical(ordinal)
        guard tables.nodes[Int(inode)].kind == .regular else {
            throw .badContent(path: tables.path(of: ordinal), "content for something that is no regular file")
        }
        return inode
    }
}
