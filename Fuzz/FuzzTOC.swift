import Archive
import OCI

/// Reads the input as a table of contents. Its first byte says which way: as JSON, as the end of a blob with a footer, as the
/// position annotation of a zstd:chunked layer, as the source of a chunk, as a checkpoint in a gzip stream and what follows it, as
/// the packed window of one, or as a stream to be cut at its checkpoints.
func fuzzTOC(_ bytes: UnsafeRawBufferPointer) {
    guard let way = bytes.first else { return }
    let rest = Array(bytes.dropFirst())
    switch way {
    case UInt8(ascii: "f"):
        let annotations = [EStargz.digestAnnotation: Digest(of: [0]).description]
        guard case .footer(let footer)? = try? LayerTOC(annotations: annotations, blobSize: UInt64(rest.count)),
              let location = try? footer.locate(rest) else { return }
        // In range, and refused after all decoding but the JSON's: no input has the digest of one zero byte.
        precondition(location.range.upperBound <= footer.blobSize && location.dataEnd <= location.range.lowerBound)
        let table = Array(rest[Int(location.range.lowerBound)..<Int(location.range.upperBound)])
        precondition((try? location.decode(table)) == nil)
    case UInt8(ascii: "p"):
        let annotations = [
            "io.github.containers.zstd-chunked.manifest-position": String(decoding: rest, as: UTF8.self),
            "io.github.containers.zstd-chunked.manifest-checksum": Digest(of: rest).description,
        ]
        guard case .located(let location)? = try? LayerTOC(annotations: annotations, blobSize: 1 << 40) else { return }
        precondition(location.range.upperBound <= 1 << 40 && location.dataEnd < location.range.lowerBound)
        _ = try? location.decode(rest)
    case UInt8(ascii: "c"):
        let output = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 16)
        defer { output.deallocate() }
        rest.withUnsafeBytes { try? ChunkDecoder.decode($0, Compression.detect(rest), skipping: UInt64(rest.count % 600), into: output) }
    case UInt8(ascii: "g"):
        // Checkpoints come with indexes that strangers make.
        let window = Array(rest.dropFirst(2).prefix(Int(rest.dropFirst().first ?? 0)))
        let output = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 16)
        defer { output.deallocate() }
        rest.dropFirst(2 + window.count).withUnsafeBytes { source in
            try? SpanDecoder.decode(source, .gzip, bits: rest.first ?? 0, window: window, startsMember: false, into: output)
        }
    case UInt8(ascii: "s"):
        cutEverywhere(Array(rest.dropFirst()), every: UInt64(rest.first ?? 0) + 1)
    case UInt8(ascii: "w"):
        guard let window = try? PackedWindow.unpack(rest) else { return }
        precondition(window.count <= PackedWindow.size)
        precondition((try? PackedWindow.unpack(PackedWindow.pack(window))) == Array(window.drop { $0 == 0 }), "a window that packing changes")
    default:
        guard let table = try? TableOfContents(json: rest, dataEnd: 1 << 30) else { return }
        for entry in table.entries { check(entry) }
    }
}

/// Reads a stream as far as it goes, and then everything between its checkpoints again, piece by piece.
private func cutEverywhere(_ source: [UInt8], every spacing: UInt64) {
    var points: [Checkpoint] = []
    guard let reader = try? LayerReader(MemoryReader(source), cutsEvery: spacing, record: { points.append($0) }) else { return }
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 16)
    defer { buffer.deallocate() }
    var output: [UInt8] = []
    while output.count < 1 << 20, let count = try? reader.read(into: buffer), count > 0 {
        output += UnsafeRawBufferPointer(rebasing: buffer[..<count])
    }
    for (point, next) in zip(points, points.dropFirst()).prefix(100) {
        let expected = Array(output[Int(point.uncompressedOffset)..<Int(next.uncompressedOffset)])
        var decoded = [UInt8](repeating: 0xAA, count: expected.count)
        do {
            let window = try PackedWindow.unpack(point.window)
            try source[Int(point.sourceOffset)..<Int(next.compressedOffset)].withUnsafeBytes { source in
                try decoded.withUnsafeMutableBytes {
                    try SpanDecoder.decode(source, reader.compression, bits: point.bits, window: window, startsMember: point.startsMember, into: $0)
                }
            }
        } catch {
            fatalError("what the whole stream has cannot be read from a checkpoint: \(error)")
        }
        precondition(decoded == expected, "other bytes from a checkpoint than from the whole stream")
    }
}

private func check(_ entry: TOCEntry) {
    var covered: UInt64 = 0
    for chunk in entry.chunks {
        precondition(chunk.offset == covered && chunk.length > 0)
        precondition(chunk.isZeros || chunk.sourceOffset < chunk.sourceEnd && chunk.sourceEnd <= 1 << 30)
        covered += chunk.length
    }
    precondition(covered == entry.entry.size && entry.entry.storedSize <= covered)
}

#if LARDER_FUZZER
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    fuzzTOC(UnsafeRawBufferPointer(start: start, count: count))
    return 0
}
#endif
