/// Where a sparse file has data, in the four notations that GNU tar has used over time.
enum SparseMap {
    /// Checks a map against the file: ascending, without overlap, inside `size`. Empty runs, which tar writes to mark
    /// the end of a file, are left out.
    static func validate(_ runs: [Extent], size: UInt64) throws(ArchiveError) -> [Extent] {
        var end: UInt64 = 0
        for run in runs {
            let (runEnd, overflow) = run.offset.addingReportingOverflow(run.length)
            guard !overflow, run.offset >= end, runEnd <= size else {
                throw ArchiveError(.malformed, "the sparse map is out of order or reaches beyond the file")
            }
            end = runEnd
        }
        return runs.filter { $0.length > 0 }
    }

    /// PAX 0.0 and 0.1: offsets and lengths in turn.
    static func records(_ sparse: PAXRecords.Sparse, limits: ArchiveLimits) throws(ArchiveError) -> [Extent] {
        let numbers: [ArraySlice<UInt8>] = if !sparse.pairs.isEmpty {
            sparse.pairs.map { $0[...] }
        } else if sparse.map.isEmpty {
            []
        } else {
            sparse.map.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
        }
        guard let count = TarNumber.decimal(sparse.blocks), count >= 0, numbers.count.isMultiple(of: 2), numbers.count / 2 == count else {
            throw ArchiveError(.malformed, "the sparse map does not have the number of runs that it states")
        }
        try check(count: UInt64(count), limits)
        var runs: [Extent] = []
        runs.reserveCapacity(numbers.count / 2)
        for position in stride(from: 0, to: numbers.count, by: 2) {
            runs.append(try run(TarNumber.decimal(numbers[position]), TarNumber.decimal(numbers[position + 1])))
        }
        return runs
    }

    /// One group of the old GNU notation: pairs of 12-byte fields, up to the first that begins with NUL.
    static func oldGNU(_ block: UnsafeRawBufferPointer, from offset: Int, count: Int, into runs: inout [Extent], limits: ArchiveLimits) throws(ArchiveError) {
        for position in stride(from: offset, to: offset + 24 * count, by: 24) {
            if block[position] == 0 { return }
            try check(count: UInt64(runs.count) + 1, limits)
            runs.append(try run(
                TarHeader.number(block, position, 12, "sparse offset"), TarHeader.number(block, position + 12, 12, "sparse length")
            ))
        }
    }

    static func check(count: UInt64, _ limits: ArchiveLimits) throws(ArchiveError) {
        guard count <= UInt64(limits.sparseRuns) else {
            throw ArchiveError(.limitExceeded, "a sparse file of \(count) or more data runs is over the limit of \(limits.sparseRuns)")
        }
    }

    static func run(_ offset: Int64?, _ length: Int64?) throws(ArchiveError) -> Extent {
        guard let offset, let length, offset >= 0, length >= 0 else {
            throw ArchiveError(.malformed, "the sparse map has something that is not a number")
        }
        return Extent(offset: UInt64(offset), length: UInt64(length))
    }
}
