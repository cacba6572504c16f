import OCI

/// Proves an index from outside once, so that nothing needs a check afterwards. Linear in the size of the file.
struct IndexValidator {
    let header: IndexHeader
    let view: TreeView
    let limits: TreeLimits

    static func validate(
        _ bytes: UnsafeRawBufferPointer, limits: TreeLimits
    ) throws(TreeIndexError) -> (IndexHeader, TreeView) {
        guard let base = bytes.baseAddress, bytes.count >= MemoryLayout<IndexHeader>.size else {
            throw .damaged("\(bytes.count) bytes are too short for a header")
        }
        let header = bytes.loadUnaligned(as: IndexHeader.self)
        try checkHeader(header, size: bytes.count)
        try checkSections(header, bytes: bytes)
        let validator = IndexValidator(header: header, view: TreeView(base: base, header: header), limits: limits)
        try validator.checkCounts()
        try validator.checkTree()
        try validator.checkContentTables()
        try validator.checkStarts()
        return (header, validator.view)
    }

    private static func checkHeader(_ header: IndexHeader, size: Int) throws(TreeIndexError) {
        guard header.magic == IndexFormat.magic else { throw .damaged("no index: the magic is missing") }
        guard header.version == IndexFormat.version else {
            throw .otherVersion(header.version)
        }
        guard header.fileSize == UInt64(size) else { throw .damaged("\(size) bytes where the header says \(header.fileSize)") }
        guard let what = IndexHeader.What(rawValue: header.what), header.reserved == 0 else {
            throw .damaged("neither a layer nor a snapshot")
        }
        switch what {
        case .layer:
            guard LayerFormat(rawValue: header.format) != nil else { throw .damaged("unknown layer format \(header.format)") }
            guard !header.contentKey.isZero, !header.blobDigest.isZero else { throw .damaged("a layer without a digest") }
        case .snapshot:
            guard header.format == 0, header.contentKey.isZero, header.blobDigest.isZero, header.diffID.isZero, header.blobSize == 0 else {
                throw .damaged("a snapshot with a blob")
            }
        }
    }

    /// Sections follow each other without overlap and use up the file; then the checksum of it all.
    private static func checkSections(_ header: IndexHeader, bytes: UnsafeRawBufferPointer) throws(TreeIndexError) {
        var position = UInt64(MemoryLayout<IndexHeader>.size)
        for section in IndexSection.allCases {
            let (offset, count) = (header[section].offset, header[section].count)
            let (length, tooLong) = count.multipliedReportingOverflow(by: UInt64(section.stride))
            guard offset == IndexDocument.aligned(position), offset <= header.fileSize, !tooLong, length <= header.fileSize - offset else {
                throw .damaged("the section '\(section)' of \(count) records at \(offset) is out of place")
            }
            guard bytes[Int(position)..<Int(offset)].allSatisfy({ $0 == 0 }) else {
                throw .damaged("bytes in the gap before the section '\(section)'")
            }
            position = offset + length
        }
        guard position == header.fileSize else { throw .damaged("\(header.fileSize - position) bytes behind the last section") }
        var hasher = DigestHasher()
        hasher.update(UnsafeRawBufferPointer(rebasing: bytes[IndexFormat.checkedFrom...]))
        guard RawDigest(hasher.finish()) == header.checksum else { throw .damaged("the checksum is wrong") }
    }

    private func checkCounts() throws(TreeIndexError) {
        guard view.nodeCount > 0 else { throw .damaged("no root") }
        // Ordinals are 32 bits, and so are offsets in the heap and in the attributes.
        let bounds: [(IndexSection, Int)] = [
            (.nodes, limits.nodes), (.heap, limits.heapBytes), (.attributes, limits.attributeBytes), (.runs, limits.runs),
            (.spans, limits.contentRecords), (.chunks, limits.contentRecords), (.objects, limits.contentRecords),
            (.layers, min(limits.layers, Int(UInt16.max))), (.starts, limits.contentRecords), (.windows, limits.windowBytes),
        ]
        for (section, limit) in bounds where header[section].count > UInt64(min(limit, Int(UInt32.max))) {
            throw .tooMany("records in the section '\(section)'", limit: limit)
        }
    }

    func count(_ section: IndexSection) -> UInt64 { header[section].count }
    var isSnapshot: Bool { header.what == IndexHeader.What.snapshot.rawValue }

    func damaged(_ ordinal: Ordinal, _ problem: String) -> TreeIndexError { .damaged("node \(ordinal): \(problem)") }
}
