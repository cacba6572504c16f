import OCI

/// Makes entries out of records: a file and the `chunk` records behind it become one entry.
struct TOCAssembly {
    private let dataEnd: UInt64
    private let limits: ArchiveLimits
    private var entries: [TOCEntry] = []
    private var prefetchLength: UInt64?
    /// Every place where a gzip member or zstd frame is known to start.
    private var starts: [UInt64] = []
    /// A regular file whose chunks may not all have come.
    private var open: OpenFile?
    private var number = 0

    private struct OpenFile {
        var number: Int
        var isHidden: Bool
        var endOffset: UInt64
        var entry: TOCEntry
        /// End of the chunks so far, in the file.
        var covered: UInt64 = 0
    }

    init(dataEnd: UInt64, limits: ArchiveLimits) {
        self.dataEnd = dataEnd
        self.limits = limits
    }

    mutating func add(reading json: inout JSONReader) throws(ArchiveError) {
        number += 1
        guard number <= limits.tableEntries else {
            throw ArchiveError(.limitExceeded, "more than \(limits.tableEntries) entries")
        }
        var path: [UInt8] = []
        do throws(ArchiveError) {
            let record = try TOCRecord(reading: &json)
            path = record.path
            switch record.kind {
            case nil: throw ArchiveError(.malformed, "there is no type")
            case .chunk: try add(chunk: record)
            case .entry(let kind): try add(record, kind)
            }
        } catch {
            throw error.about(ArchiveError.label(entry: number, path))
        }
    }

    mutating func finish() throws(ArchiveError) -> TableOfContents {
        try closeFile()
        resolveSourceEnds()
        return TableOfContents(entries: entries, prefetchLength: prefetchLength)
    }

    private mutating func add(_ record: TOCRecord, _ kind: ArchiveEntry.Kind) throws(ArchiveError) {
        try closeFile()
        try limits.check(path: record.path)
        try limits.check(linkTarget: record.linkTarget)
        try limits.check(attributes: record.attributes)
        var entry = ArchiveEntry(path: record.path, kind: kind, modified: record.modified, attributes: record.attributes)
        entry.mode = UInt32(truncatingIfNeeded: record.mode) & 0o7777
        entry.uid = try UInt32(record.uid, of: "uid")
        entry.gid = try UInt32(record.gid, of: "gid")
        switch kind {
        case .symlink, .hardlink:
            entry.linkTarget = record.linkTarget
        case .characterDevice, .blockDevice:
            entry.deviceMajor = try UInt32(record.deviceMajor, of: "devMajor")
            entry.deviceMinor = try UInt32(record.deviceMinor, of: "devMinor")
        case .regular:
            entry.size = try Self.unsigned(record.size, "size")
            try limits.check(size: entry.size)
        case .directory, .fifo:
            break
        }
        let marker = TableOfContents.marker(record.path)
        switch marker {
        case .prefetch: prefetchLength = try source(record.offset, inner: Self.unsigned(record.innerOffset, "innerOffset"))
        case .noPrefetch: prefetchLength = 0
        case .table, nil: break
        }
        guard kind == .regular else {
            if marker == nil { entries.append(TOCEntry(entry: entry)) }
            return
        }
        open = OpenFile(
            number: number, isHidden: marker != nil, endOffset: try Self.unsigned(record.endOffset, "endOffset"),
            entry: TOCEntry(entry: entry, digest: record.digest)
        )
        if entry.size > 0 { try appendChunk(record) }
    }

    private mutating func add(chunk record: TOCRecord) throws(ArchiveError) {
        guard let file = open, record.path.isEmpty || record.path == file.entry.entry.path else {
            throw ArchiveError(.malformed, "a chunk does not follow the file that it belongs to")
        }
        try appendChunk(record)
    }

    private mutating func appendChunk(_ record: TOCRecord) throws(ArchiveError) {
        guard var file = open else { return }
        // Given up meanwhile so that the array of chunks has one owner and grows in place.
        open = nil
        let size = file.entry.entry.size
        let offset = try Self.unsigned(record.chunkOffset, "chunkOffset")
        guard offset == file.covered, offset < size else {
            throw ArchiveError(.malformed, "a chunk at \(offset) where the chunks before it end at \(file.covered) of \(size) bytes")
        }
        // Without a size it reaches to the end of the file.
        let stated = try Self.unsigned(record.chunkSize, "chunkSize")
        let length = stated == 0 ? size - offset : stated
        guard length <= size - offset else {
            throw ArchiveError(.malformed, "the chunk at \(offset) has \(length) bytes and reaches beyond the file's \(size)")
        }
        file.covered = offset + length
        var chunk = TOCChunk(offset: offset, length: length, sourceOffset: 0, sourceEnd: 0, digest: record.chunkDigest, isZeros: record.isZeros)
        if record.isZeros {
            // The zeros are in the blob all the same, and end what is before them.
            if let start = try? source(record.offset, inner: 0) { starts.append(start) }
        } else {
            chunk.innerOffset = try Self.unsigned(record.innerOffset, "innerOffset")
            try limits.check(size: chunk.innerOffset)
            chunk.sourceOffset = try source(record.offset, inner: chunk.innerOffset)
            starts.append(chunk.sourceOffset)
        }
        file.entry.chunks.append(chunk)
        open = file
    }

    private mutating func closeFile() throws(ArchiveError) {
        guard var file = open else { return }
        open = nil
        let size = file.entry.entry.size
        guard file.covered == size else {
            throw ArchiveError(
                .malformed, subject: ArchiveError.label(entry: file.number, file.entry.entry.path), "the chunks have \(file.covered) of \(size) bytes"
            )
        }
        guard !file.isHidden else { return }
        if file.entry.chunks.count == 1, file.entry.chunks[0].digest == nil { file.entry.chunks[0].digest = file.entry.digest }
        file.entry.entry.extents = Self.extents(file.entry.chunks)
        // Kept here until every start is known.
        if let last = file.entry.chunks.indices.last, !file.entry.chunks[last].isZeros, file.endOffset > file.entry.chunks[last].sourceOffset {
            file.entry.chunks[last].sourceEnd = min(file.endOffset, dataEnd)
        }
        entries.append(file.entry)
    }

    /// Data ends where the next known member or frame starts, at the end that the table states, or with all data.
    private mutating func resolveSourceEnds() {
        starts.sort()
        for entry in entries.indices where !entries[entry].chunks.isEmpty {
            for index in entries[entry].chunks.indices where !entries[entry].chunks[index].isZeros {
                let chunk = entries[entry].chunks[index]
                let next = firstStart(after: chunk.sourceOffset)
                entries[entry].chunks[index].sourceEnd = chunk.sourceEnd == 0 ? next : min(next, chunk.sourceEnd)
            }
        }
    }

    private func firstStart(after offset: UInt64) -> UInt64 {
        var low = 0, high = starts.count
        while low < high {
            let middle = (low + high) / 2
            if starts[middle] <= offset { low = middle + 1 } else { high = middle }
        }
        return low < starts.count ? starts[low] : dataEnd
    }

    /// Data runs where there are holes, nil where there are none.
    private static func extents(_ chunks: [TOCChunk]) -> [Extent]? {
        guard chunks.contains(where: \.isZeros) else { return nil }
        var runs: [Extent] = []
        for chunk in chunks where !chunk.isZeros {
            if let last = runs.indices.last, runs[last].offset + runs[last].length == chunk.offset {
                runs[last].length += chunk.length
            } else {
                runs.append(Extent(offset: chunk.offset, length: chunk.length))
            }
        }
        return runs
    }

    /// A blob offset that data can be at. The front of the blob is a tar header, so data there has that before it.
    private func source(_ offset: Int64, inner: UInt64) throws(ArchiveError) -> UInt64 {
        let start = try Self.unsigned(offset, "offset")
        guard start > 0 || inner > 0, start < dataEnd else {
            throw ArchiveError(.malformed, "the data at byte \(start) is not inside the layer's \(dataEnd) bytes of data")
        }
        return start
    }

    private static func unsigned(_ value: Int64, _ name: StaticString) throws(ArchiveError) -> UInt64 {
        guard let value = UInt64(exactly: value) else { throw ArchiveError(.malformed, "\(name) is negative") }
        return value
    }
}
