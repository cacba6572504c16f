/// Where a stretch of a file's bytes is.
public struct ContentRun: Sendable, Equatable {
    /// Offset in the content space of the layer; nil in a hole, which reads as zeros.
    public var contentOffset: UInt64?
    /// Bytes from the asked offset on; 0 at and behind the end of the file.
    public var length: UInt64

    @inlinable init(contentOffset: UInt64?, length: UInt64) {
        self.contentOffset = contentOffset
        self.length = length
    }
}

extension TreeView {
    /// Where the content space ends.
    public var contentSize: UInt64 { spanCount == 0 ? 0 : span(spanCount - 1).contentEnd }

    // MARK: files

    /// Number of data runs; 0 where the file is dense or all hole.
    @inlinable public func runCount(of node: TreeNode) -> Int { node.flags.contains(.sparse) ? Int(node.count) : 0 }

    /// - Precondition: `0 <= position < runCount(of: node)`.
    @inlinable public func run(of node: TreeNode, at position: Int) -> DataRun {
        assert(position >= 0 && position < runCount(of: node))
        return runs.loadUnaligned(fromByteOffset: (Int(node.first) + position) * MemoryLayout<DataRun>.stride, as: DataRun.self)
    }

    /// Bytes that the layer stores for a regular file: its size, or of a sparse file the sum of its data runs.
    @inlinable public func storedSize(of node: TreeNode) -> UInt64 {
        guard node.flags.contains(.sparse) else { return node.size }
        let count = runCount(of: node)
        guard count > 0 else { return 0 }
        let last = run(of: node, at: count - 1)
        return last.stored + last.length
    }

    /// What lies at `offset` of a regular file, as far as it is of one piece.
    ///
    /// nil where the layer stores bytes there but not in the content space: the file is an object. Not for snapshots,
    /// which leave content to their layers.
    @inlinable public func content(of node: TreeNode, at offset: UInt64) -> ContentRun? {
        guard offset < node.size else { return ContentRun(contentOffset: nil, length: 0) }
        guard node.flags.contains(.sparse) else {
            guard let start = node.contentOffset else { return nil }
            return ContentRun(contentOffset: start + offset, length: node.size - offset)
        }
        // The first run that ends behind the offset: it holds it, or the hole before it does.
        var low = 0
        var high = runCount(of: node)
        while low < high {
            let middle = (low + high) / 2
            let candidate = run(of: node, at: middle)
            if candidate.offset + candidate.length <= offset { low = middle + 1 } else { high = middle }
        }
        guard low < runCount(of: node) else { return ContentRun(contentOffset: nil, length: node.size - offset) }
        let found = run(of: node, at: low)
        guard found.offset <= offset else { return ContentRun(contentOffset: nil, length: found.offset - offset) }
        guard let start = node.contentOffset else { return nil }
        let inner = offset - found.offset
        return ContentRun(contentOffset: start + found.stored + inner, length: found.length - inner)
    }

    // MARK: spans, chunks, objects, layers

    /// - Precondition: `0 <= number < spanCount`.
    @inlinable public func span(_ number: Int) -> ContentSpan {
        assert(number >= 0 && number < spanCount)
        return spans.loadUnaligned(fromByteOffset: number * MemoryLayout<ContentSpan>.stride, as: ContentSpan.self)
    }

    /// The number of the span that holds that offset of the content space; nil behind its end.
    @inlinable public func spanNumber(at contentOffset: UInt64) -> Int? {
        var low = 0
        var high = spanCount
        while low < high {
            let middle = (low + high) / 2
            if span(middle).contentEnd <= contentOffset { low = middle + 1 } else { high = middle }
        }
        return low < spanCount ? low : nil
    }

    /// The numbers of the spans that hold any of `range`; empty for an empty range and behind the end.
    @inlinable public func spanNumbers(in range: Range<UInt64>) -> Range<Int> {
        guard !range.isEmpty, let first = spanNumber(at: range.lowerBound) else { return 0..<0 }
        return first..<(spanNumber(at: range.upperBound - 1) ?? spanCount - 1) + 1
    }

    /// - Precondition: `0 <= number < chunkCount`. A span's chunks are `span.chunkNumbers`.
    @inlinable public func chunk(_ number: Int) -> ContentChunk {
        assert(number >= 0 && number < chunkCount)
        return chunks.loadUnaligned(fromByteOffset: number * MemoryLayout<ContentChunk>.stride, as: ContentChunk.self)
    }

    /// - Precondition: `0 <= number < objectCount`.
    @inlinable public func object(_ number: Int) -> FileObject {
        assert(number >= 0 && number < objectCount)
        return objects.loadUnaligned(fromByteOffset: number * MemoryLayout<FileObject>.stride, as: FileObject.self)
    }

    /// - Precondition: `0 <= slot < layerCount`.
    @inlinable public func layer(_ slot: Int) -> LayerReference {
        assert(slot >= 0 && slot < layerCount)
        return layers.loadUnaligned(fromByteOffset: slot * MemoryLayout<LayerReference>.stride, as: LayerReference.self)
    }
}

extension ContentSpan {
    /// The span's chunks in the chunk table; empty where the layer has no table of contents.
    @inlinable public var chunkNumbers: Range<Int> { Int(firstChunk)..<Int(firstChunk) + Int(chunkCount) }
}
