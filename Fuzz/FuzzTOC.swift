import Archive
import OCI

/// Reads the input as a table of contents. Its first byte says which way: as JSON, as the end of a blob with a footer, as the
/// position annotation of a zstd:chunked layer, as the source of a chunk, as a checkpoint in a gzip stream and what follows it, or as
/// the packed window of one.
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
    case UInt8(ascii: "w"):
        guard let window = try? PackedWindow.unpack(rest) else { return }
        precondition(window.count <= PackedWindow.size)
        precondition((try? PackedWindow.unpack(PackedWindow.pack(window))) == Array(window.drop { $0 == 0 }), "a window that packing changes")
    default:
        guard let table = try? TableOfContents(json: rest, dataEnd: 1 << 30) else { return }
        for entry in table.entries { check(entry) }
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
