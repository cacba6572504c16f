import OCI

/// Makes the zTOC of a layer from its blob, as soci would: checkpoints at the first end of a deflate block after every 4 MiB.
/// Reads the blob twice, so it should be a file. Blocking.
///
/// It differs from soci's in three ways. Windows hold the bytes that are referred to later and are zero between them. The size
/// of the tar includes what follows the end of the archive, so that the tar's own digest can be taken from the spans. And a
/// span may begin with a further gzip member, behind its header: soci too reads on over the end of a member.
public struct ZTOCScan {
    /// Fills the front of a buffer with the blob's bytes from an offset on and returns how many those were; 0 behind the end.
    public typealias Source = (_ offset: UInt64, _ buffer: UnsafeMutableRawBufferPointer) throws -> Int

    /// Longest header of a gzip member: only file names and comments could make one longer than a few bytes.
    private static let headerLimit = 256 << 10

    private let size: UInt64
    private let source: Source
    private let spanSize: UInt64

    /// - Parameters:
    ///   - size: bytes of the blob.
    ///   - spanSize: bytes of content between two checkpoints.
    public init(size: UInt64, spanSize: UInt64 = ZTOC.spanSize, source: @escaping Source) {
        self.size = size
        self.spanSize = max(spanSize, 1)
        self.source = source
    }

    /// - Throws: `ArchiveError`; `unsupported` for a layer that no zTOC can describe: of zstd, or with sparse files.
    public func run(buildTool: String) throws(ArchiveError) -> ZTOC {
        do throws(ArchiveError) {
            return try make(buildTool)
        } catch {
            throw error.about("layer")
        }
    }

    private func make(_ buildTool: String) throws(ArchiveError) -> ZTOC {
        guard size > 0 else { throw ArchiveError(.truncated, "the blob is empty") }
        var found: [Checkpoint] = []
        // soci takes a checkpoint when there is *more* than a span's worth since the last.
        let layer = try LayerReader(PositionedReader(read), cutsEvery: spanSize + 1) { found.append($0) }
        guard layer.compression != .zstd else { throw ArchiveError(.unsupported, "zTOCs are for gzip and plain tar, not for zstd") }
        let (entries, tarSize) = try members(of: layer)
        let compression: ZTOC.Compression
        let ranges: [Range<UInt64>]
        if layer.compression == .gzip {
            let points = try points(at: found, tarSize: tarSize)
            compression = .gzip(spanSize: spanSize, checkpoints: points)
            ranges = points.indices.map { points[$0].sourceOffset..<($0 + 1 < points.count ? points[$0 + 1].compressedOffset : size) }
        } else {
            compression = .none(spanSize: spanSize)
            ranges = (0..<(size + spanSize - 1) / spanSize).map { $0 * spanSize..<min(($0 + 1) * spanSize, size) }
        }
        return ZTOC(
            buildTool: Array(buildTool.utf8), compressedSize: size, uncompressedSize: tarSize, entries: entries, compression: compression,
            spanDigests: try digests(of: ranges)
        )
    }

    private func members(of tar: any ByteReader) throws(ArchiveError) -> ([ZTOC.Entry], size: UInt64) {
        let reader = TarReader(tar)
        reader.keepsHeaders = true
        var entries: [ZTOC.Entry] = []
        while let entry = try reader.next() {
            guard let header = reader.header else { break }
            guard entry.extents == nil else {
                throw ArchiveError(.unsupported, subject: ArchiveError.label(entry: reader.entryNumber, entry.path), "a sparse file, which no zTOC can describe")
            }
            guard RFC3339.canHold(entry.modified) else {
                throw ArchiveError(.unsupported, subject: ArchiveError.label(entry: reader.entryNumber, entry.path), "a time outside of the years 0 to 9999, which no zTOC can hold")
            }
            entries.append(ZTOC.Entry(
                path: entry.path, kind: entry.kind, offset: reader.position, size: entry.size, linkTarget: entry.linkTarget, mode: header.mode,
                uid: entry.uid, gid: entry.gid, userName: header.userName, groupName: header.groupName, modified: entry.modified,
                deviceMajor: Int64(entry.deviceMajor), deviceMinor: Int64(entry.deviceMinor), records: header.records
            ))
        }
        try reader.drain()
        return (entries, reader.position)
    }

    /// zTOCs know no member starts: where there is one, inflating starts behind its header, with nothing before it.
    private func points(at checkpoints: [Checkpoint], tarSize: UInt64) throws(ArchiveError) -> [ZTOC.Point] {
        var points: [ZTOC.Point] = []
        for checkpoint in checkpoints where points.isEmpty || checkpoint.uncompressedOffset < tarSize {
            var offset = checkpoint.compressedOffset
            if checkpoint.startsMember { offset += UInt64(try headerLength(at: offset)) }
            let window = try PackedWindow.unpack(checkpoint.window)
            points.append(ZTOC.Point(
                compressedOffset: offset, uncompressedOffset: checkpoint.uncompressedOffset, bits: checkpoint.bits,
                window: ([UInt8](repeating: 0, count: PackedWindow.size - window.count) + window)[...]
            ))
        }
        return points
    }

    /// Bytes of the header of the gzip member there (RFC 1952, 2.3).
    private func headerLength(at offset: UInt64) throws(ArchiveError) -> Int {
        var header = [UInt8](repeating: 0, count: Self.headerLimit)
        let count = try ArchiveError.reading { try header.withUnsafeMutableBytes { try read(offset, $0) } }
        let bytes = header.prefix(count)
        let bad = ArchiveError(.limitExceeded, "the header of the gzip member at byte \(offset) has no end within \(Self.headerLimit) bytes")
        guard bytes.count >= 10 else { throw bad }
        let flags = bytes[3]
        var end = 10
        if flags & 4 != 0 {
            guard bytes.count >= end + 2 else { throw bad }
            end += 2 + Int(bytes[end]) + Int(bytes[end + 1]) << 8
        }
        // File name and comment, each up to its NUL.
        for flag in [8, 16] as [UInt8] where flags & flag != 0 {
            guard end <= bytes.count, let zero = bytes[end...].firstIndex(of: 0) else { throw bad }
            end = zero + 1
        }
        if flags & 2 != 0 { end += 2 }
        guard end < bytes.count else { throw bad }
        return end
    }

    private func digests(of ranges: [Range<UInt64>]) throws(ArchiveError) -> [Digest] {
        let block = UnsafeMutableRawBufferPointer.allocate(byteCount: BufferedInput.blockSize, alignment: 64)
        defer { block.deallocate() }
        var digests: [Digest] = []
        for range in ranges {
            var hasher = DigestHasher()
            var position = range.lowerBound
            while position < range.upperBound {
                let step = Int(min(UInt64(block.count), range.upperBound - position))
                let count = try ArchiveError.reading { try read(position, UnsafeMutableRawBufferPointer(rebasing: block[..<step])) }
                guard count == step else { throw ArchiveError(.truncated, "the blob has ended before its size of \(size) bytes") }
                hasher.update(UnsafeRawBufferPointer(rebasing: block[..<step]))
                position += UInt64(step)
            }
            digests.append(hasher.finish())
        }
        return digests
    }

    /// Fills the buffer as far as the blob reaches.
    private func read(_ offset: UInt64, _ buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        var done = 0
        while done < buffer.count {
            let count = try source(offset + UInt64(done), UnsafeMutableRawBufferPointer(rebasing: buffer[done...]))
            if count == 0 { break }
            done += count
        }
        return done
    }
}

private final class PositionedReader: ByteReader {
    private let source: ZTOCScan.Source
    private var position: UInt64 = 0

    init(_ source: @escaping ZTOCScan.Source) {
        self.source = source
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        let count = try source(position, buffer)
        position += UInt64(count)
        return count
    }
}
