import Archive

extension TreeBuilder {
    /// Writes what the entry says to a node of its kind. A directory keeps its children and whether it is opaque.
    mutating func describe(_ ordinal: Ordinal, as entry: ArchiveEntry) throws(TreeIndexError) {
        var node = tables.nodes[Int(ordinal)]
        node.flags.remove(.implicit)
        node.mode = entry.mode & 0o7777
        node.uid = entry.uid
        node.gid = entry.gid
        node.modifiedSeconds = entry.modified.seconds
        node.modifiedNanoseconds = min(entry.modified.nanoseconds, 999_999_999)
        (node.attributesOffset, node.attributesLength) = try store(entry.attributes, path: entry.path)
        switch node.kind {
        case .directory:
            node.linkCount = 2
        case .regular:
            node.size = entry.size
            node.place = IndexFormat.noContent
            if let extents = entry.extents { try store(extents, in: &node, path: entry.path) }
        case .symlink:
            node.size = UInt64(entry.linkTarget.count)
            node.place = UInt64(try intern(target: entry.linkTarget, path: entry.path))
        case .characterDevice, .blockDevice:
            node.deviceMajor = entry.deviceMajor
            node.deviceMinor = entry.deviceMinor
        case .fifo, .hardLink, .whiteout, .danglingLink:
            break
        }
        tables.nodes[Int(ordinal)] = node
    }

    func checkTarget(_ target: [UInt8], path: [UInt8]) throws(TreeIndexError) {
        guard !target.isEmpty else { throw .badPath(path, "a link without a target") }
        guard target.count < IndexFormat.pathLimit else {
            throw .badPath(path, "its target is longer than \(IndexFormat.pathLimit - 1) bytes")
        }
        guard !target.contains(0) else { throw .badPath(path, "its target has a NUL byte") }
    }

    private mutating func intern(target: [UInt8], path: [UInt8]) throws(TreeIndexError) -> UInt32 {
        try checkTarget(target, path: path)
        return try tables.intern(target, limits: limits)
    }

    private mutating func store(_ extents: [Extent], in node: inout TreeNode, path: [UInt8]) throws(TreeIndexError) {
        let first = tables.runs.count
        var position: UInt64 = 0
        var stored: UInt64 = 0
        for extent in extents where extent.length > 0 {
            let (end, overflow) = extent.offset.addingReportingOverflow(extent.length)
            guard extent.offset >= position, !overflow, end <= node.size else {
                throw .badContent(path: path, "its data runs are out of order or go beyond its size of \(node.size) bytes")
            }
            guard tables.runs.count < limits.runs else { throw .tooMany("data runs of sparse files", limit: limits.runs) }
            tables.runs.append(DataRun(offset: extent.offset, length: extent.length, stored: stored))
            position = end
            stored += extent.length
        }
        node.flags.insert(.sparse)
        node.first = UInt32(first)
        node.count = UInt32(tables.runs.count - first)
    }

    /// Sorted by name; of two with one name the later counts, as setxattr twice would have it.
    private mutating func store(_ attributes: [ExtendedAttribute], path: [UInt8]) throws(TreeIndexError) -> (UInt32, UInt32) {
        guard !attributes.isEmpty else { return (0, 0) }
        var byName: [[UInt8]: [UInt8]] = [:]
        for attribute in attributes {
            guard !attribute.name.isEmpty, attribute.name.count <= IndexFormat.attributeNameLimit, !attribute.name.contains(0) else {
                throw .badContent(path: path, "an extended attribute with a bad name: \(printable(attribute.name))")
            }
            guard attribute.value.count <= IndexFormat.attributeValueLimit else {
                throw .badContent(path: path, "the extended attribute \(printable(attribute.name)) is too large: \(attribute.value.count) bytes")
            }
            byName[attribute.name] = attribute.value
        }
        var block: [UInt8] = []
        for (name, value) in byName.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
            AttributeSequence.append(name: name, value: value, to: &block)
        }
        if let known = attributeBlocks[block] { return (known, UInt32(block.count)) }
        let offset = try tables.intern(attributeBlock: block, limits: limits)
        attributeBlocks[block] = offset
        return (offset, UInt32(block.count))
    }
}
