/// The opaque part of a zTOC, which soci's `zinfo` makes (`ztoc/compression/gzip_zinfo.c`, `tar_zinfo.go`).
///
/// gzip, little-endian: count i32, span size i64, then for each checkpoint in i64, out i64, bits u8, window of 32 KiB. The
/// first version left the first checkpoint out and took for granted that the gzip header has ten bytes.
enum ZTOCCheckpoints {
    private static let headerSize = 12
    private static let recordSize = 17 + PackedWindow.size
    /// What the first version implies.
    private static let impliedHeaderSize: UInt64 = 10

    static func decode(
        _ blob: ArraySlice<UInt8>, _ compressedSize: UInt64, _ uncompressedSize: UInt64, spans: Int
    ) throws(ArchiveError) -> ZTOC.Compression {
        guard blob.count >= headerSize, Int(integer(blob, 0) as Int32) == spans else {
            throw ArchiveError(.malformed, "there are not as many checkpoints as spans")
        }
        let (stored, rest) = (blob.count - headerSize).quotientAndRemainder(dividingBy: recordSize)
        guard rest == 0, stored == spans || stored == spans - 1, let spanSize = UInt64(exactly: integer(blob, 4) as Int64) else {
            throw ArchiveError(.malformed, "the checkpoints have \(blob.count) bytes, which is not the size of \(spans)")
        }
        var points: [ZTOC.Point] = []
        points.reserveCapacity(spans)
        if stored < spans {
            points.append(ZTOC.Point(compressedOffset: impliedHeaderSize, uncompressedOffset: 0, bits: 0, window: [UInt8](repeating: 0, count: PackedWindow.size)[...]))
        }
        for index in 0..<stored {
            let start = headerSize + index * recordSize
            let body = blob.dropFirst(start + 16).prefix(recordSize - 16)
            guard let source = UInt64(exactly: integer(blob, start) as Int64), let content = UInt64(exactly: integer(blob, start + 8) as Int64) else {
                throw ArchiveError(.malformed, "checkpoint \(points.count) has a negative offset")
            }
            points.append(ZTOC.Point(
                compressedOffset: source, uncompressedOffset: content, bits: body[body.startIndex], window: body.dropFirst()
            ))
        }
        try check(points, compressedSize)
        return .gzip(spanSize: spanSize, checkpoints: points)
    }

    /// Offsets ascend. Of the content they may also stay: a gzip stream can have blocks without any. They may lie behind the end of
    /// the archive, in what pads the tar.
    private static func check(_ points: [ZTOC.Point], _ compressedSize: UInt64) throws(ArchiveError) {
        var source: UInt64 = 0
        var content: UInt64 = 0
        for (number, point) in points.enumerated() {
            guard point.compressedOffset > source, point.compressedOffset < compressedSize, point.bits < 8,
                  point.uncompressedOffset >= content, number > 0 || point.uncompressedOffset == 0
            else {
                throw ArchiveError(.malformed, "checkpoint \(number) at byte \(point.compressedOffset) of the blob does not follow the one before, or lies behind its end")
            }
            source = point.compressedOffset
            content = point.uncompressedOffset
        }
    }

    /// A plain tar has the size of its slices for checkpoints, as a FlatBuffer {version i32, span_size i64, size i64}; at first
    /// these were just the 20 bytes.
    static func decodePlain(
        _ blob: ArraySlice<UInt8>, _ compressedSize: UInt64, _ uncompressedSize: UInt64, spans: Int
    ) throws(ArchiveError) -> ZTOC.Compression {
        let stated: (span: Int64, size: Int64)
        if blob.count == 20 {
            stated = (integer(blob, 4), integer(blob, 12))
        } else {
            stated = try ArchiveError.reading {
                try blob.withUnsafeBytes { bytes in
                    let buffer = FlatBuffer(bytes)
                    let root = try buffer.root()
                    return (try buffer.integer(root, 1), try buffer.integer(root, 2))
                }
            }
        }
        guard let spanSize = UInt64(exactly: stated.span), spanSize > 0, stated.size > 0, UInt64(stated.size) == compressedSize,
              uncompressedSize <= compressedSize, (compressedSize - 1) / spanSize == UInt64(spans - 1)
        else {
            throw ArchiveError(.malformed, "\(spans) spans of \(stated.span) bytes are not a tar of \(compressedSize)")
        }
        return .none(spanSize: spanSize)
    }

    static func encode(_ compression: ZTOC.Compression, size: UInt64) -> [UInt8] {
        switch compression {
        case .gzip(let spanSize, let points):
            var blob: [UInt8] = []
            blob.reserveCapacity(headerSize + points.count * recordSize)
            append(Int32(points.count), to: &blob)
            append(Int64(spanSize), to: &blob)
            for point in points {
                append(Int64(point.compressedOffset), to: &blob)
                append(Int64(point.uncompressedOffset), to: &blob)
                blob.append(point.bits)
                blob += point.window
            }
            return blob
        case .none(let spanSize):
            var builder = FlatBuilder()
            var shape = FlatBuilder.Shape(4, 8, 8)
            let table = builder.table(&shape)
            builder.refer(from: 0, to: table)
            builder.put(Int32(2), at: table[0])
            builder.put(Int64(spanSize), at: table[1])
            builder.put(Int64(size), at: table[2])
            return builder.bytes
        }
    }

    private static func append<Value: FixedWidthInteger>(_ value: Value, to blob: inout [UInt8]) {
        withUnsafeBytes(of: value.littleEndian) { blob.append(contentsOf: $0) }
    }

    private static func integer<Value: FixedWidthInteger>(_ blob: ArraySlice<UInt8>, _ offset: Int) -> Value {
        blob.withUnsafeBytes { Value(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: Value.self)) }
    }
}
