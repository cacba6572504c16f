import Archive

/// Reads the input as a layer: decompresses, walks all members and all their data. Stops after 32 MiB, since a bomb that
/// inflates for ever is not a defect: readers pull.
func fuzzTar(_ bytes: UnsafeRawBufferPointer) {
    guard let layer = try? LayerReader(MemoryReader(Array(bytes))) else { return }
    let tar = TarReader(layer)
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 16)
    defer { buffer.deallocate() }
    while tar.position < 32 << 20 {
        guard let entry = try? tar.next() else { return }
        let limits = ArchiveLimits()
        precondition(entry.path.count <= limits.pathLength && entry.linkTarget.count <= limits.pathLength && entry.mode <= 0o7777)
        precondition(entry.size <= limits.fileSize && entry.storedSize <= entry.size && entry.modified.nanoseconds < 1_000_000_000)
        precondition(entry.kind == .regular || entry.size == 0)
        var stored: UInt64 = 0
        while tar.position < 32 << 20 {
            guard let count = try? tar.read(into: buffer) else { return }
            stored += UInt64(count)
            guard count == 0 else { continue }
            precondition(stored == entry.storedSize)
            break
        }
    }
}

#if LARDER_FUZZER
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    fuzzTar(UnsafeRawBufferPointer(start: start, count: count))
    return 0
}
#endif
