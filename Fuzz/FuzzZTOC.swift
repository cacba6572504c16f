import Archive
import OCI

/// Reads the input as a zTOC; or, where it begins with an `s`, its rest as a layer, of which a zTOC is made.
func fuzzZTOC(_ bytes: UnsafeRawBufferPointer) {
    guard bytes.first == UInt8(ascii: "s") else {
        if let ztoc = try? ZTOC(decoding: Array(bytes)) { check(ztoc) }
        return
    }
    let layer = Array(bytes.dropFirst())
    let scan = ZTOCScan(size: UInt64(layer.count), spanSize: 512) { offset, buffer in
        let start = min(Int(offset), layer.count)
        let count = min(buffer.count, layer.count - start)
        layer.withUnsafeBytes { buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[start..<start + count])) }
        return count
    }
    guard let ztoc = try? scan.run(buildTool: "fuzz") else { return }
    check(ztoc)
    // Whoever reads it finds the layer in it.
    for number in 0..<ztoc.spanCount {
        let source = ztoc.span(number).source
        precondition(Digest(of: layer[Int(source.lowerBound)..<Int(source.upperBound)]) == ztoc.span(number).digest)
    }
}

private func check(_ ztoc: ZTOC) {
    var end: UInt64 = 0
    var content: UInt64 = 0
    for number in 0..<ztoc.spanCount {
        let span = ztoc.span(number)
        precondition(span.content.lowerBound == content && span.source.upperBound <= ztoc.compressedSize && !span.source.isEmpty)
        precondition(number == 0 || span.source.lowerBound + 1 >= end)
        content = span.content.upperBound
        end = span.source.upperBound
    }
    precondition(end == ztoc.compressedSize)
    for entry in ztoc.entries {
        precondition(entry.offset >= 512 && entry.offset + entry.size <= ztoc.uncompressedSize)
        _ = try? entry.archiveEntry()
    }
    guard let again = try? ZTOC(decoding: ztoc.bytes) else { preconditionFailure("what was written cannot be read") }
    precondition(again == ztoc)
}

#if LARDER_FUZZER
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    fuzzZTOC(UnsafeRawBufferPointer(start: start, count: count))
    return 0
}
#endif
