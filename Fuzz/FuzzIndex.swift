import Archive
import OCI
import TreeIndex

/// libFuzzer target `index`: any bytes are refused with an error, or are an index that can be read, compared and merged.
/// The checks themselves are `exerciseIndex` in Tests/TreeIndexTests/WholeWalk.swift, which the unit tests use too.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzIndex(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    let bytes = Array(UnsafeBufferPointer(start: data, count: size))
    _ = exerciseIndex(withHeaderRepaired(bytes), below: Neighbours.below, above: Neighbours.above)
    return 0
}

/// Layers below and above the fuzzed one, with names that the corpus has too.
private enum Neighbours {
    static let below = layer([("lower", .regular, ""), ("o/gone", .regular, ""), ("d", .regular, "")])
    static let above = layer([("d/new", .regular, ""), ("n", .hardlink, "lower")])

    private static func layer(_ members: [(String, ArchiveEntry.Kind, String)]) -> TreeIndex {
        do {
            var builder = TreeBuilder()
            for (path, kind, target) in members {
                try builder.add(ArchiveEntry(path: Array(path.utf8), kind: kind, linkTarget: Array(target.utf8)))
            }
            let digest = Digest(of: [])
            let identity = LayerIdentity(contentKey: digest, blobDigest: digest, diffID: nil, format: .tar, blobSize: 0)
            return try TreeIndex(validating: builder.finish(identity).bytes)
        } catch {
            fatalError("\(error)")
        }
    }
}
