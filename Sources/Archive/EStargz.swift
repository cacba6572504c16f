import OCI

/// The eStargz layer format (stargz-snapshotter docs/estargz.md): a gzip of many members with a table of contents as its
/// last tar member and a footer that says where that is.
public enum EStargz {
    /// On a layer's descriptor: sha256 of the uncompressed JSON.
    public static let digestAnnotation = "containerd.io/snapshot/stargz/toc.digest"

    static let footerLength: UInt64 = 51
    static let legacyFooterLength: UInt64 = 47
    static let externalFooterLength: UInt64 = 46

    /// What the footer says.
    public struct Footer: Sendable, Equatable {
        /// Offset in the blob of the gzip member that has the table.
        public var tocOffset: UInt64
        /// Bytes of the footer itself, which end the blob.
        public var length: UInt64
    }

    /// Reads the footer from the last bytes of a blob, 51 of them or more.
    /// Throws `.unsupported` for a table that is kept outside of the layer, `.malformed` where there is no footer.
    public static func footer(_ tail: [UInt8]) throws(ArchiveError) -> Footer {
        if let field = subfield(tail, footerLength), let offset = tocOffset(field) { return Footer(tocOffset: offset, length: footerLength) }
        if let field = extra(tail, legacyFooterLength), let offset = tocOffset(field) { return Footer(tocOffset: offset, length: legacyFooterLength) }
        if let field = subfield(tail, externalFooterLength), field.elementsEqual("STARGZEXTERNALTOC".utf8) {
            throw ArchiveError(.unsupported, "the eStargz table of contents is in an image of its own, which Larder does not read")
        }
        throw ArchiveError(.malformed, "the layer has no eStargz footer")
    }

    /// The JSON out of the gzip member at `tocOffset`; `member` may have the footer behind it.
    static func json(_ member: UnsafeRawBufferPointer, limits: ArchiveLimits) throws(ArchiveError) -> [UInt8] {
        var limits = limits
        limits.fileSize = UInt64(limits.tableLength)
        let tar = TarReader(try GzipReader(BorrowedReader(member)), limits: limits)
        guard let entry = try tar.next(), TableOfContents.marker(entry.path) == .table, entry.kind == .regular, entry.extents == nil else {
            throw ArchiveError(.malformed, "there is no stargz.index.json where the eStargz footer points to")
        }
        return try Bytes.read(exactly: Int(entry.size)) { (buffer) throws(ArchiveError) in try tar.read(into: buffer) }
    }

    /// The extra field of an empty gzip member (RFC 1952) that is the last `length` bytes: 10 bytes of header, 2 of length,
    /// the field, an empty stored block and a trailer of zeros.
    private static func extra(_ tail: [UInt8], _ length: UInt64) -> ArraySlice<UInt8>? {
        let footer = tail.suffix(Int(length))
        guard footer.count == Int(length), footer.starts(with: [0x1F, 0x8B, 0x08, 0x04]),
              footer.suffix(13).elementsEqual([1, 0, 0, 0xFF, 0xFF] + [UInt8](repeating: 0, count: 8)) else { return nil }
        let field = footer.dropFirst(12).dropLast(13)
        guard footer.dropFirst(10).prefix(2).elementsEqual([UInt8(field.count), 0]) else { return nil }
        return field
    }

    /// The content of the one subfield `SG` of that extra field.
    private static func subfield(_ tail: [UInt8], _ length: UInt64) -> ArraySlice<UInt8>? {
        guard let field = extra(tail, length), field.starts(with: [UInt8(ascii: "S"), UInt8(ascii: "G"), UInt8(field.count - 4), 0]) else { return nil }
        return field.dropFirst(4)
    }

    /// 16 hex digits and `STARGZ`.
    private static func tocOffset(_ field: ArraySlice<UInt8>) -> UInt64? {
        guard field.count == 22, field.suffix(6).elementsEqual("STARGZ".utf8) else { return nil }
        var offset: UInt64 = 0
        for character in field.prefix(16) {
            guard let digit = Hex.value(of: character) else { return nil }
            offset = offset << 4 | UInt64(digit)
        }
        return offset
    }
}
