/// Attribute blocks that were looked at already. Equal ones are shared by many nodes; as different ones may not overlap,
/// all together are no longer than their section, and looking at each once is linear.
struct SharedBlocks {
    private var seen: Set<UInt64> = []
    private var total: UInt64 = 0

    /// Whether the block is a new one; nil where it must overlap another.
    mutating func insert(offset: UInt32, length: UInt32, sectionLength: UInt64) -> Bool? {
        guard seen.insert(UInt64(offset) << 32 | UInt64(length)).inserted else { return false }
        total += UInt64(length)
        return total <= sectionLength ? true : nil
    }
}

extension IndexValidator {
    func checkAttributes(_ node: TreeNode, _ ordinal: Ordinal, _ blocks: inout SharedBlocks) throws(TreeIndexError) {
        guard node.attributesLength > 0 else { return }
        guard UInt64(node.attributesOffset) + UInt64(node.attributesLength) <= count(.attributes) else {
            throw damaged(ordinal, "its attributes are out of bounds")
        }
        guard let isNew = blocks.insert(
            offset: node.attributesOffset, length: node.attributesLength, sectionLength: count(.attributes))
        else { throw damaged(ordinal, "its attributes overlap those of another node") }
        guard isNew else { return }
        var attributes = view.attributes(of: node)
        var previous: UnsafeRawBufferPointer?
        while let attribute = attributes.next() {
            guard !attribute.name.isEmpty, attribute.name.count <= IndexFormat.attributeNameLimit, !attribute.name.contains(0),
                attribute.value.count <= IndexFormat.attributeValueLimit
            else { throw damaged(ordinal, "an attribute that cannot be") }
            if let previous, compareNames(previous, attribute.name) >= 0 { throw damaged(ordinal, "its attributes are not in order") }
            previous = attribute.name
        }
        guard attributes.isWhole else { throw damaged(ordinal, "its attributes are cut short") }
    }

    /// Data runs of a sparse file: ascending, within its size, their sum carried along; and nobody else's.
    func checkRuns(_ node: TreeNode, _ ordinal: Ordinal, _ used: inout UInt64) throws(TreeIndexError) {
        guard node.flags.contains(.sparse) else { return }
        used += UInt64(node.count)
        guard UInt64(node.first) + UInt64(node.count) <= count(.runs), used <= count(.runs) else {
            throw damaged(ordinal, "its data runs are out of bounds")
        }
        guard !isSnapshot || node.count == 0 else { throw damaged(ordinal, "a snapshot has no content") }
        var end: UInt64 = 0
        var stored: UInt64 = 0
        for position in 0..<view.runCount(of: node) {
            let run = view.run(of: node, at: position)
            guard run.offset >= end, run.length > 0, run.offset <= node.size, run.length <= node.size - run.offset,
                run.stored == stored
            else {
                throw damaged(ordinal, "data run \(position) does not follow the one before")
            }
            end = run.offset + run.length
            stored += run.length
        }
    }

    /// A file with bytes is in the content space, or an object, or both; without bytes or in a snapshot neither.
    func checkFileContent(_ node: TreeNode, _ ordinal: Ordinal) throws(TreeIndexError) {
        guard node.kind == .regular else {
            guard node.objectPlusOne == 0 else { throw damaged(ordinal, "an object, but no regular file") }
            return
        }
        if let number = node.objectNumber {
            guard number < view.objectCount, view.object(number).size == node.size, node.flags.contains(.large) else {
                throw damaged(ordinal, "its object does not fit")
            }
        }
        if isSnapshot {
            guard node.contentOffset == nil, node.objectNumber == nil else { throw damaged(ordinal, "a snapshot has no content") }
            return
        }
        let stored = view.storedSize(of: node)
        if let start = node.contentOffset {
            guard stored > 0, start <= header.contentSize, stored <= header.contentSize - start else {
                throw damaged(ordinal, "its content is out of bounds")
            }
        } else {
            guard stored == 0 || node.objectNumber != nil else { throw damaged(ordinal, "its content is nowhere") }
        }
    }

    /// Spans tile the content space, chunks tile their span.
    func checkContentTables() throws(TreeIndexError) {
        var position: UInt64 = 0
        var chunksUsed = 0
        for number in 0..<view.spanCount {
            let span = view.span(number)
            guard span.contentStart == position, span.length > 0, !position.addingReportingOverflow(span.length).overflow,
                !span.sourceOffset.addingReportingOverflow(span.sourceLength).overflow, span.reserved == 0,
                span.flags.isSubset(of: .all)
            else { throw .damaged("span \(number) does not follow the one before") }
            guard Int(span.firstChunk) == chunksUsed, Int(span.chunkCount) <= view.chunkCount - chunksUsed else {
                throw .damaged("the chunks of span \(number) are out of bounds")
            }
            try checkChunks(of: span, number)
            chunksUsed += Int(span.chunkCount)
            position = span.contentEnd
        }
        guard position == header.contentSize else { throw .damaged("spans end at \(position), content at \(header.contentSize)") }
        guard chunksUsed == view.chunkCount else { throw .damaged("chunks that belong to no span") }
        for number in 0..<view.objectCount where view.object(number).digest == nil {
            throw .damaged("object \(number) has no digest")
        }
        for slot in 0..<view.layerCount where view.layer(slot).treeKey == nil {
            throw .damaged("layer \(slot) has no tree")
        }
        if isSnapshot {
            guard view.spanCount == 0, view.objectCount == 0, count(.runs) == 0 else { throw .damaged("a snapshot with content") }
            guard view.layerCount > 0 || view.nodeCount == 1 else { throw .damaged("files, but no layers") }
        } else {
            guard view.layerCount == 0 else { throw .damaged("a layer with layers") }
        }
    }

    private func checkChunks(of span: ContentSpan, _ number: Int) throws(TreeIndexError) {
        guard span.chunkCount > 0 else { return }
        guard !span.flags.contains(.digestOfSource), span.sourceOffset <= header.blobSize, span.sourceLength <= header.blobSize - span.sourceOffset else {
            throw .damaged("the source of span \(number) is beyond the blob")
        }
        var position = span.contentStart
        for chunkNumber in span.chunkNumbers {
            let chunk = view.chunk(chunkNumber)
            guard chunk.contentStart == position, chunk.length > 0, chunk.length <= span.contentEnd - position,
                chunk.sourceOffset >= span.sourceOffset, chunk.sourceOffset - span.sourceOffset < span.sourceLength
            else { throw .damaged("chunk \(chunkNumber) is not where it belongs in span \(number)") }
            position += chunk.length
        }
        guard position == span.contentEnd else { throw .damaged("the chunks of span \(number) end at \(position)") }
    }
}
