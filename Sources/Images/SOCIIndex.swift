import Archive
import LinuxIO
import OCI
import TreeIndex

/// Between zTOCs, in which SOCI describes layers, and layers' indexes.
enum SOCIIndex {
    /// The most that one span of a zTOC may take, compressed or not, in bytes. soci makes them of 4 MiB; where it did not know
    /// of gzip with several members one may be the whole layer, which is then better streamed.
    static let spanLimit: UInt64 = 32 << 20

    /// The index of a layer as its zTOC describes it. Nothing of it is proven: a span is by its digest when it is read, the tree
    /// when the layer is sealed. zTOCs name no digests of files, so that large ones stay in spans, too.
    ///
    /// - Throws: `ArchiveError` or `TreeIndexError` where the zTOC cannot be used, or is another layer's: the layer is then streamed.
    static func tree(from bytes: [UInt8], layer: ImageLayer, contentKey: Digest) throws -> IndexDocument {
        let ztoc = try ZTOC(decoding: bytes)
        guard ztoc.compressedSize == layer.descriptor.size else {
            throw ArchiveError(.malformed, subject: "zTOC", "it is of a layer of \(ztoc.compressedSize) bytes, and this one has \(layer.descriptor.size)")
        }
        var builder = TreeBuilder()
        // eStargz puts files of its own at the root, which are no content of the image.
        let hidesBookkeeping = LayerTable(layer.descriptor) != nil
        for entry in ztoc.entries where !(hidesBookkeeping && TableOfContents.isHidden(entry.path)) {
            guard let ordinal = try builder.add(entry.archiveEntry()), entry.kind == .regular, entry.size > 0 else { continue }
            try builder.setContent(ordinal, at: entry.offset)
        }
        for number in 0..<ztoc.spanCount {
            let span = ztoc.span(number)
            let length = span.content.upperBound - span.content.lowerBound
            if length == 0 {
                // What lies there is part of the DiffID, and could not be found again for the proof.
                guard span.content.lowerBound < ztoc.uncompressedSize else {
                    throw ArchiveError(.unsupported, subject: "zTOC", "its span \(number) lies behind the end of the archive")
                }
                // A checkpoint between two blocks without content: nothing is ever read from there.
                continue
            }
            guard length <= spanLimit, span.source.upperBound - span.source.lowerBound <= spanLimit else {
                throw ArchiveError(.limitExceeded, subject: "zTOC", "its span \(number) has \(length) bytes; at most \(spanLimit) are read at once")
            }
            try builder.append(
                ContentSpan(
                    contentStart: span.content.lowerBound, length: length, sourceOffset: span.source.lowerBound,
                    sourceLength: span.source.upperBound - span.source.lowerBound, digest: span.digest, flags: .digestOfSource),
                start: try start(number, of: ztoc)
            )
        }
        return try builder.finish(LayerIdentity(
            contentKey: contentKey, blobDigest: layer.descriptor.digest, diffID: nil, format: ztoc.isGzip ? .gzip : .tar,
            blobSize: layer.descriptor.size
        ))
    }

    private static func start(_ number: Int, of ztoc: ZTOC) throws(ArchiveError) -> SpanEntry {
        guard case .gzip(_, let points) = ztoc.compression else { return SpanEntry(kind: .member) }
        let point = points[number]
        return SpanEntry(kind: .block, bits: point.bits, window: try PackedWindow.pack(point.window))
    }

    /// The zTOC of a layer, made from its blob. Blocking.
    static func ztoc(of layer: ImageLayer, blob: consuming OwnedDescriptor) throws -> [UInt8] {
        let blob = BlobFile(blob)
        let scan = ZTOCScan(size: layer.descriptor.size) { offset, buffer in try blob.file.read(into: buffer, at: offset) }
        return try scan.run(buildTool: buildTool).bytes
    }

    /// Bytes that may follow the end of an archive. tar(1) fills a block of 10 KiB.
    private static let tailLimit = 1 << 20

    /// Whether a layer's spans may end before its tar does: they were counted by soci.
    static func mayHaveTail(_ tree: LayerTree) -> Bool {
        tree.format == .gzip && tree.view.spanCount > 0 && tree.view.span(tree.view.spanCount - 1).flags.contains(.digestOfSource)
    }

    /// What follows the last span in a layer's tar. Nobody reads it, but it is part of the DiffID.
    /// - Parameter source: the last span's, from the blob.
    static func tail(of tree: LayerTree, source: [UInt8]) throws -> [UInt8] {
        let number = tree.view.spanCount - 1
        let span = tree.view.span(number), start = tree.view.start(number)
        guard Digest(of: source) == span.digest else { throw ArchiveError(.digestMismatch, "the last span's source is not what its digest promises") }
        let window = try PackedWindow.unpack(tree.view.window(of: start))
        return try source.withUnsafeBytes { bytes in
            try SpanDecoder.rest(
                of: bytes, bits: start.bits, window: window, startsMember: start.kind == .member, after: span.length, limit: tailLimit)
        }
    }

    /// What Larder calls itself where soci-snapshotter writes its own name.
    static let buildTool = "Larder"

    private final class BlobFile {
        let file: OwnedDescriptor
        init(_ file: consuming OwnedDescriptor) { self.file = file }
    }
}
