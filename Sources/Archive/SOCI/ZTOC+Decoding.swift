import OCI

extension ZTOC {
    /// Reads a zTOC and holds it to its own rules: spans follow each other and so do members, each inside of the layer.
    ///
    /// - Throws: `ArchiveError`; of reason `unsupported` where the zTOC may be right and a table without what it leaves out is of
    ///   no use: sparse files, other versions.
    public init(decoding bytes: [UInt8], limits: ArchiveLimits = ArchiveLimits()) throws(ArchiveError) {
        guard bytes.count <= Self.sizeLimit else {
            throw ArchiveError(.limitExceeded, subject: "zTOC", "\(bytes.count) bytes are over the limit of \(Self.sizeLimit)")
        }
        let result = bytes.withUnsafeBytes { content -> Result<ZTOC, ArchiveError> in
            do throws(ArchiveError) {
                var decoder = Decoder(file: bytes, buffer: FlatBuffer(content), limits: limits)
                return .success(try decoder.decode())
            } catch {
                return .failure(error.about("zTOC"))
            }
        }
        self = try result.get()
    }
}

private struct Decoder {
    let file: [UInt8]
    var buffer: FlatBuffer
    let limits: ArchiveLimits

    mutating func decode() throws(ArchiveError) -> ZTOC {
        let root = try buffer.root()
        let version = try buffer.string(root, 0)
        guard version.elementsEqual(ZTOC.version.utf8) else {
            throw ArchiveError(.unsupported, "version '\(ArchiveError.printable(version))' is not \(ZTOC.version)")
        }
        let tool = try buffer.string(root, 1)
        let compressedSize = try size(root, 2, "compressed_archive_size")
        let uncompressedSize = try size(root, 3, "uncompressed_archive_size")
        guard let toc = try buffer.table(root, 4), let info = try buffer.table(root, 5) else {
            throw ArchiveError(.malformed, "there is no table of contents, or nothing about the compression")
        }
        let entries = try entries(toc, uncompressedSize)
        let digests = try digests(info)
        let compression = try compression(info, compressedSize, uncompressedSize, spans: digests.count)
        return ZTOC(
            buildTool: tool, compressedSize: compressedSize, uncompressedSize: uncompressedSize, entries: entries, compression: compression,
            spanDigests: digests
        )
    }

    private func size(_ table: FlatBuffer.Table, _ field: Int, _ name: StaticString) throws(ArchiveError) -> UInt64 {
        let value: Int64 = try buffer.integer(table, field)
        guard let size = UInt64(exactly: value), size <= limits.fileSize else { throw ArchiveError(.malformed, "\(name) \(value) is no size of a layer") }
        return size
    }

    // MARK: members

    private mutating func entries(_ toc: FlatBuffer.Table, _ archiveSize: UInt64) throws(ArchiveError) -> [ZTOC.Entry] {
        guard let list = try buffer.vector(toc, 0, stride: 4) else { return [] }
        guard list.count <= limits.tableEntries else { throw ArchiveError(.limitExceeded, "more than \(limits.tableEntries) entries") }
        var entries: [ZTOC.Entry] = []
        for index in 0..<list.count {
            try buffer.charge(MemoryLayout<ZTOC.Entry>.stride / 4)
            let table = try buffer.table(list, at: index)
            let path = try buffer.string(table, 0)
            do throws(ArchiveError) {
                entries.append(try entry(table, path))
            } catch {
                throw error.about(ArchiveError.label(entry: index + 1, path))
            }
        }
        // soci's readers sort as well. Each member begins where the one before ended, so no two have the same place.
        entries.sort { $0.offset < $1.offset }
        var end: UInt64 = 0
        for entry in entries {
            // At least one block of header comes before the data.
            guard entry.offset >= end + 512, entry.offset.isMultiple(of: 512), entry.offset <= archiveSize, entry.size <= archiveSize - entry.offset else {
                throw ArchiveError(.malformed, "the data of '\(ArchiveError.printable(entry.path))' at \(entry.offset) is not between its neighbours' in the tar")
            }
            end = entry.offset + (entry.size + 511) & ~511
        }
        return entries
    }

    private mutating func entry(_ table: FlatBuffer.Table, _ path: [UInt8]) throws(ArchiveError) -> ZTOC.Entry {
        let kind = try kind(buffer.string(table, 1))
        let time = try buffer.string(table, 10)
        guard let modified = RFC3339.parse(time), RFC3339.canHold(modified) else {
            throw ArchiveError(.unsupported, "the time '\(ArchiveError.printable(time))' is not RFC 3339")
        }
        let entry = ZTOC.Entry(
            path: path, kind: kind, offset: try size(table, 2, "uncompressed_offset"), size: try size(table, 3, "uncompressed_size"),
            linkTarget: try buffer.string(table, 4), mode: try buffer.integer(table, 5), uid: try buffer.integer(table, 6),
            gid: try buffer.integer(table, 7), userName: try buffer.string(table, 8), groupName: try buffer.string(table, 9), modified: modified,
            deviceMajor: try buffer.integer(table, 11), deviceMinor: try buffer.integer(table, 12), records: try records(table)
        )
        try limits.check(path: entry.path)
        try limits.check(linkTarget: entry.linkTarget)
        guard kind == .regular || entry.size == 0 else { throw ArchiveError(.malformed, "something that is no file has \(entry.size) bytes") }
        return entry
    }

    private mutating func records(_ table: FlatBuffer.Table) throws(ArchiveError) -> [ExtendedAttribute] {
        guard let list = try buffer.vector(table, 13, stride: 4) else { return [] }
        var records: [ExtendedAttribute] = []
        for index in 0..<list.count {
            try buffer.charge(MemoryLayout<ExtendedAttribute>.stride)
            let record = try buffer.table(list, at: index)
            let key = try buffer.string(record, 0)
            // The map of the holes may be in front of the data, and the sizes are then not those of the tar.
            if key.starts(with: "GNU.sparse.".utf8) { throw ArchiveError(.unsupported, "a sparse file; zTOCs do not say where its data is") }
            records.append(ExtendedAttribute(name: key, value: try buffer.string(record, 1)))
        }
        return records
    }

    private func kind(_ text: [UInt8]) throws(ArchiveError) -> ArchiveEntry.Kind {
        guard case .entry(let kind) = try TOCRecord.kind(text) else { throw ArchiveError(.malformed, "the type 'chunk' has no place in a zTOC") }
        return kind
    }

    // MARK: spans

    private mutating func digests(_ info: FlatBuffer.Table) throws(ArchiveError) -> [Digest] {
        let last: Int32 = try buffer.integer(info, 1)
        guard let list = try buffer.vector(info, 2, stride: 4), list.count > 0, Int(last) == list.count - 1 else {
            throw ArchiveError(.malformed, "there are not as many digests of spans as spans")
        }
        var digests: [Digest] = []
        for index in 0..<list.count {
            let text = try buffer.string(list, at: index)
            guard text.starts(with: "sha256:".utf8), let digest = Digest(hexBytes: text.dropFirst(7)) else {
                throw ArchiveError(.malformed, "'\(ArchiveError.printable(text))' is not the sha256 digest of a span")
            }
            digests.append(digest)
        }
        return digests
    }

    private func compression(
        _ info: FlatBuffer.Table, _ compressedSize: UInt64, _ uncompressedSize: UInt64, spans: Int
    ) throws(ArchiveError) -> ZTOC.Compression {
        guard let vector = try buffer.vector(info, 3, stride: 1) else { throw ArchiveError(.malformed, "there are no checkpoints") }
        let blob = file[buffer.range(of: vector)]
        let algorithm: Int8 = try buffer.integer(info, 0, default: 1)
        switch algorithm {
        case 1:
            return try ZTOCCheckpoints.decode(blob, compressedSize, uncompressedSize, spans: spans)
        case 2:
            return try ZTOCCheckpoints.decodePlain(blob, compressedSize, uncompressedSize, spans: spans)
        default:
            throw ArchiveError(.unsupported, "the compression \(algorithm) is neither gzip nor none")
        }
    }
}
