extension TarReader {
    /// Where the member is a sparse file in any notation, sets its extents and logical size and stands at the first run's
    /// data. Returns the name that belongs to the file, which PAX notations keep apart because the header's name is a
    /// stand-in for readers that do not know them.
    func readSparseMap(of header: TarHeader, _ sparse: PAXRecords.Sparse, into entry: inout ArchiveEntry) throws(ArchiveError) -> [UInt8]? {
        if header.type == UInt8(ascii: "S") {
            // star uses the same letter with another layout.
            guard header.dialect == .gnu else { throw ArchiveError(.unsupported, "a sparse file of a dialect other than GNU tar") }
            let size = try size(TarHeader.number(headerBlock, 483, 12, "realsize"))
            try adopt(oldGNUMap(), size: size, into: &entry)
            return nil
        }
        guard let version = Version(sparse) else { return nil }
        guard entry.kind == .regular else { throw ArchiveError(.malformed, "a sparse map for something that is no regular file") }
        let logical = try size(sparse.size ?? sparse.realSize ?? Int64(clamping: entry.size))
        let runs = switch version {
        case .records: try SparseMap.records(sparse, limits: limits)
        case .leadingData: try leadingMap()
        }
        try adopt(runs, size: logical, into: &entry)
        return sparse.name.isEmpty ? nil : sparse.name
    }

    private enum Version {
        /// 0.0 and 0.1: the map is in PAX records.
        case records
        /// 1.0: the map is in front of the data.
        case leadingData

        /// nil where the file is not sparse, or of a version that nobody has written yet: it is then read as stored.
        init?(_ sparse: PAXRecords.Sparse) {
            let zero = [UInt8(ascii: "0")], one = [UInt8(ascii: "1")]
            if sparse.major == one, sparse.minor == zero {
                self = .leadingData
            } else if sparse.major == zero, sparse.minor == zero || sparse.minor == one {
                self = .records
            } else if sparse.major.isEmpty, sparse.minor.isEmpty, !sparse.map.isEmpty || !sparse.pairs.isEmpty {
                self = .records
            } else {
                return nil
            }
        }
    }

    private func adopt(_ runs: [Extent], size: UInt64, into entry: inout ArchiveEntry) throws(ArchiveError) {
        entry.size = size
        entry.extents = try SparseMap.validate(runs, size: size)
        guard entry.storedSize == remaining else {
            throw ArchiveError(.malformed, "the sparse map has \(entry.storedSize) bytes of data where the archive has \(remaining)")
        }
    }

    /// Four runs in the header, then blocks of 21, each of which says whether another follows. They come before the data
    /// and do not count as such.
    private func oldGNUMap() throws(ArchiveError) -> [Extent] {
        let limits = limits
        var runs: [Extent] = []
        try SparseMap.oldGNU(headerBlock, from: 386, count: 4, into: &runs, limits: limits)
        var more = headerBlock[482] != 0
        var blocks = 0
        while more {
            blocks += 1
            try SparseMap.check(count: UInt64(blocks), limits)
            more = try withNextBlock { (block) throws(ArchiveError) in
                try SparseMap.oldGNU(block, from: 0, count: 21, into: &runs, limits: limits)
                return block[504] != 0
            }
        }
        return runs
    }

    /// Decimal numbers on lines of their own at the front of the data: how many runs, then offset and length of each;
    /// padded to a whole block.
    private func leadingMap() throws(ArchiveError) -> [Extent] {
        var numbers: [Int64] = []
        var line: [UInt8] = []
        var expected = 1
        while numbers.count < expected {
            guard remaining >= UInt64(TarHeader.blockSize) else { throw ArchiveError(.malformed, "the sparse map is longer than the member") }
            let block = try withNextBlock { (block) throws(ArchiveError) in Array(block) }
            remaining -= UInt64(TarHeader.blockSize)
            for byte in block where numbers.count < expected {
                if byte != UInt8(ascii: "\n") {
                    line.append(byte)
                    guard line.count <= 20 else { throw ArchiveError(.malformed, "the sparse map has something that is not a number") }
                    continue
                }
                guard let number = TarNumber.decimal(line), number >= 0 else {
                    throw ArchiveError(.malformed, "the sparse map has something that is not a number")
                }
                line.removeAll(keepingCapacity: true)
                if numbers.isEmpty {
                    try SparseMap.check(count: UInt64(number), limits)
                    expected = 1 + 2 * Int(number)
                }
                numbers.append(number)
            }
        }
        var runs: [Extent] = []
        for position in stride(from: 1, to: numbers.count, by: 2) {
            runs.append(try SparseMap.run(numbers[position], numbers[position + 1]))
        }
        return runs
    }
}
