extension ZTOC {
    /// The zTOC as soci reads it. Equal values make equal bytes.
    public var bytes: [UInt8] {
        var encoder = Encoder()
        encoder.encode(self)
        return encoder.builder.bytes
    }
}

private struct Encoder {
    var builder = FlatBuilder()
    private var root = FlatBuilder.Shape(4, 4, 8, 8, 4, 4)
    private var toc = FlatBuilder.Shape(4)
    private var info = FlatBuilder.Shape(1, 4, 4, 4)
    private var member = FlatBuilder.Shape(4, 4, 8, 8, 4, 8, 4, 4, 4, 4, 4, 8, 8, 4)
    private var record = FlatBuilder.Shape(4, 4)

    mutating func encode(_ ztoc: ZTOC) {
        let table = builder.table(&root)
        builder.refer(from: 0, to: table)
        builder.put(Int64(ztoc.compressedSize), at: table[2])
        builder.put(Int64(ztoc.uncompressedSize), at: table[3])
        builder.string(Array(ZTOC.version.utf8), at: table[0])
        builder.string(ztoc.buildTool, at: table[1])

        let contents = builder.table(&toc)
        builder.refer(from: table[4], to: contents)
        let members = builder.vector(ztoc.entries.count, stride: 4, at: contents[0])
        for (number, entry) in ztoc.entries.enumerated() { encode(entry, at: members + 4 * number) }

        let compression = builder.table(&info)
        builder.refer(from: table[5], to: compression)
        if case .none = ztoc.compression { builder.put(UInt8(2), at: compression[0]) } else { builder.put(UInt8(1), at: compression[0]) }
        builder.put(Int32(ztoc.spanCount - 1), at: compression[1])
        let digests = builder.vector(ztoc.spanCount, stride: 4, at: compression[2])
        for (number, digest) in ztoc.spanDigests.enumerated() { builder.string(Array(digest.description.utf8), at: digests + 4 * number) }
        builder.blob(ZTOCCheckpoints.encode(ztoc.compression, size: ztoc.compressedSize), at: compression[3])
    }

    private mutating func encode(_ entry: ZTOC.Entry, at slot: Int) {
        let table = builder.table(&member)
        builder.refer(from: slot, to: table)
        builder.put(Int64(entry.offset), at: table[2])
        builder.put(Int64(entry.size), at: table[3])
        builder.put(entry.mode, at: table[5])
        builder.put(entry.uid, at: table[6])
        builder.put(entry.gid, at: table[7])
        builder.put(entry.deviceMajor, at: table[11])
        builder.put(entry.deviceMinor, at: table[12])
        builder.string(entry.path, at: table[0])
        builder.string(Self.type(entry.kind), at: table[1])
        builder.string(entry.linkTarget, at: table[4])
        builder.string(entry.userName, at: table[8])
        builder.string(entry.groupName, at: table[9])
        builder.string(RFC3339.format(entry.modified) ?? [], at: table[10])
        let records = builder.vector(entry.records.count, stride: 4, at: table[13])
        for (number, attribute) in entry.records.enumerated() {
            let table = builder.table(&record)
            builder.refer(from: records + 4 * number, to: table)
            builder.string(attribute.name, at: table[0])
            builder.string(attribute.value, at: table[1])
        }
    }

    private static func type(_ kind: ArchiveEntry.Kind) -> [UInt8] {
        let name: StaticString = switch kind {
        case .directory: "dir"
        case .regular: "reg"
        case .symlink: "symlink"
        case .hardlink: "hardlink"
        case .characterDevice: "char"
        case .blockDevice: "block"
        case .fifo: "fifo"
        }
        return Array(UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount))
    }
}
