/// What extension headers have said about the member that follows them.
struct TarExtensions {
    var pax = PAXRecords()
    /// GNU `L` and `K`: a path and a link target that are too long for the header. They win over PAX records.
    var longPath: [UInt8]?
    var longLink: [UInt8]?
    /// The PAX records as they stand, where the reader keeps headers.
    var records: [ExtendedAttribute] = []

    var path: [UInt8]? { longPath ?? pax.path }
}

/// What a member's headers say that no file has: for those who describe archives to others.
public struct TarMemberHeader: Sendable, Equatable {
    /// The whole number, bits of the file's type included where an archiver wrote them.
    public var mode: Int64
    public var userName: [UInt8]
    public var groupName: [UInt8]
    /// All PAX records, keys ascending.
    public var records: [ExtendedAttribute]

    /// The value of a PAX record wins over the field, as in Go's archive/tar.
    init(_ header: TarHeader, block: UnsafeRawBufferPointer, records: [ExtendedAttribute]) {
        func value(_ key: StaticString, _ offset: Int) -> [UInt8] {
            let name = UnsafeBufferPointer(start: key.utf8Start, count: key.utf8CodeUnitCount)
            if let record = records.first(where: { $0.name.elementsEqual(name) }), !record.value.isEmpty { return record.value }
            return header.dialect == .v7 ? [] : TarHeader.string(block, offset, 32)
        }
        mode = header.mode
        userName = value("uname", 265)
        groupName = value("gname", 297)
        self.records = records
    }
}

extension TarReader {
    /// Puts a header and its extensions together and stands at the member's data; nil for a kind nobody knows.
    func member(_ header: TarHeader, _ extensions: TarExtensions) throws(ArchiveError) -> ArchiveEntry? {
        let pax = extensions.pax
        let kind = Self.kind(header, path: path)
        // Before the map of a sparse file takes the place of the block.
        if keepsHeaders { self.header = TarMemberHeader(header, block: headerBlock, records: extensions.records) }
        let stored = kind == nil || kind == .regular ? try size(pax.size ?? header.size) : 0
        startData(stored)
        guard let kind else { return nil }

        var entry = ArchiveEntry(path: path, kind: kind)
        entry.mode = UInt32(truncatingIfNeeded: header.mode) & 0o7777
        entry.uid = try UInt32(pax.uid ?? header.uid, of: "uid")
        entry.gid = try UInt32(pax.gid ?? header.gid, of: "gid")
        entry.size = stored
        entry.modified = pax.modified ?? Timestamp(seconds: header.modified)
        if kind == .symlink || kind == .hardlink { entry.linkTarget = extensions.longLink ?? pax.linkTarget ?? header.linkTarget }
        if kind == .characterDevice || kind == .blockDevice {
            entry.deviceMajor = try UInt32(header.deviceMajor, of: "devmajor")
            entry.deviceMinor = try UInt32(header.deviceMinor, of: "devminor")
        }
        entry.attributes = pax.extendedAttributes

        let name = try readSparseMap(of: header, pax.sparse, into: &entry)
        if let name {
            entry.path = name
            path = name
        }
        try limits.check(path: entry.path)
        try limits.check(linkTarget: entry.linkTarget)
        try limits.check(attributes: entry.attributes)
        return entry
    }

    private static func kind(_ header: TarHeader, path: [UInt8]) -> ArchiveEntry.Kind? {
        switch header.type {
        // Before ustar there was no type for directories: a slash at the end made one.
        case 0: path.last == UInt8(ascii: "/") ? .directory : .regular
        // 7 is a "contiguous" file, and S GNU's sparse one.
        case UInt8(ascii: "0"), UInt8(ascii: "7"), UInt8(ascii: "S"): .regular
        case UInt8(ascii: "1"): .hardlink
        case UInt8(ascii: "2"): .symlink
        case UInt8(ascii: "3"): .characterDevice
        case UInt8(ascii: "4"): .blockDevice
        case UInt8(ascii: "5"): .directory
        case UInt8(ascii: "6"): .fifo
        default: nil
        }
    }

    func size(_ value: Int64) throws(ArchiveError) -> UInt64 {
        guard let size = UInt64(exactly: value) else { throw ArchiveError(.malformed, "the size is negative") }
        try limits.check(size: size)
        return size
    }
}
