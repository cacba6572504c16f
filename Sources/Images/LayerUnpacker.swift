import Archive
import LinuxIO
import OCI
import Store
import TreeIndex

/// Turns a layer's blob into an index, spans and objects in one pass. Blocking: runs on a worker thread, behind the bytes
/// of a download that may still be arriving.
///
/// The layer's content space is its uncompressed tar stream, headers and padding included, and its spans are that stream
/// cut at checkpoints: places from which decompressing can start anew, so that any span can later be fetched by range. A
/// file of at least `largeFileSize` becomes an object of its own as well, and the spans that hold nothing else are not kept.
/// The cut depends on the layer's bytes alone, so that a second pass over the same layer makes the same spans.
final class LayerUnpacker {
    /// Bytes from one checkpoint to the next, about.
    static let spanSize = 2 << 20
    /// Bytes that a span has at most.
    static let spanLimit = 16 << 20
    /// From this size a file is worth an inode of its own: it can then be handed to the kernel whole (passthrough).
    static let largeFileSize: UInt64 = 4 << 20
    private static let withheldLimit = 1024
    /// Files that share one wait for the disk: readers behind the head wait for no more than these.
    private static let batchSize = 16

    private let layer: ImageLayer
    private let contentKey: Digest
    private let store: Store
    private let download: BlobDownload
    private let stream: LayerStream
    /// The blob's bytes, which come from `download`.
    private let bytes: any ByteReader
    /// eStargz puts files of its own at the root, which are no content of the image.
    private let hidesBookkeeping: Bool
    /// What may not be published before the blob is verified.
    private var withheld: [(file: TemporaryFile, key: StoreKey)] = []
    /// Where in the tar stream large files lie that reach behind the spans taken so far.
    private var largeFiles: [Range<UInt64>] = []
    private var spanCount: UInt32 = 0
    private let block = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 4096)

    /// Names the spans of a streamed layer. Not the blob's digest, which named spans of another cut once.
    static func contentKey(of blob: Digest) -> Digest { Digest(of: Array("tar space 2\n\(blob)".utf8)) }

    init(layer: ImageLayer, store: Store, download: BlobDownload, stream: LayerStream, hidesBookkeeping: Bool, bytes: (any ByteReader)? = nil) {
        self.layer = layer
        contentKey = Self.contentKey(of: layer.descriptor.digest)
        self.store = store
        self.download = download
        self.stream = stream
        self.hidesBookkeeping = hidesBookkeeping
        self.bytes = bytes ?? BlobDownloadReader(download)
    }

    deinit { block.deallocate() }

    /// Unpacks everything, proves blob digest and DiffID, and publishes. On any error nothing of the index is published.
    func run() throws {
        // The tee lives no longer than this call.
        let tee = try SpanTee(bytes, blobSize: layer.descriptor.size) { [unowned self] in try take($0) }
        let reader = TarReader(tee)
        while let entry = try reader.next() {
            if hidesBookkeeping && TableOfContents.isHidden(entry.path) { continue }
            try take(entry, reader)
        }
        let diffID = try tee.finish()
        try download.waitUntilVerified()
        guard diffID == layer.diffID else {
            throw ImageError.wrongDigest(of: "the uncompressed layer \(layer.descriptor.digest)", expected: layer.diffID, found: diffID)
        }
        try publishWithheld(atLeast: 1)
        try publishIndex(LayerIdentity(
            contentKey: contentKey, blobDigest: layer.descriptor.digest, diffID: diffID, format: LayerFormat(tee.compression), blobSize: layer.descriptor.size
        ))
    }

    /// Under its content key, by which the spans' folder is accounted for, and under the layer's digest: sealed.
    private func publishIndex(_ identity: LayerIdentity) throws {
        let document = try stream.finish(identity)
        let file = try store.temporary("tree")
        try document.write { piece throws(StoreError) in try file.write(piece) }
        try store.publishBatch([(file, .tree(contentKey)), (file, .tree(layer.descriptor.digest))])
        // What an earlier version kept of the layer, which nothing describes any more.
        try store.removeSpans(layer.descriptor.digest)
    }

    private func take(_ entry: ArchiveEntry, _ reader: TarReader) throws {
        guard let ordinal = try stream.add(entry), entry.kind == .regular, entry.storedSize > 0 else { return }
        let start = reader.position
        try stream.setContent(ordinal, at: start)
        guard entry.size >= Self.largeFileSize && entry.extents == nil else { return }
        largeFiles.append(start..<start + entry.size)
        try stream.setObject(ordinal, try storeObject(reader))
    }

    private func storeObject(_ reader: TarReader) throws -> Digest {
        let temporary = try store.temporary("object")
        var hasher = DigestHasher()
        while true {
            let count = try reader.read(into: block)
            if count == 0 { break }
            let bytes = UnsafeRawBufferPointer(rebasing: block[..<count])
            hasher.update(bytes)
            try temporary.write(bytes)
        }
        let digest = hasher.finish()
        try withhold(temporary, .object(digest))
        return digest
    }

    /// Takes the next span. Every large file that begins before its end is known.
    private func take(_ stretch: SpanTee.Stretch) throws {
        let isExclusive = largeFiles.contains { $0.lowerBound <= stretch.start && stretch.end <= $0.upperBound }
        largeFiles.removeAll { $0.upperBound <= stretch.end }
        let source = stretch.checkpoint.map { $0.sourceOffset..<stretch.sourceEnd } ?? stretch.start..<stretch.end
        let span = ContentSpan(
            contentStart: stretch.start, length: UInt64(stretch.bytes.count), sourceOffset: source.lowerBound,
            sourceLength: source.upperBound - source.lowerBound, digest: Digest(of: stretch.bytes), flags: isExclusive ? .exclusive : []
        )
        try stream.append(span, start: stretch.checkpoint.map { SpanEntry($0) })
        if !isExclusive {
            let temporary = try store.temporary("span")
            try stretch.bytes.withUnsafeBytes { try temporary.write($0) }
            try withhold(temporary, .span(contentKey, spanCount))
        }
        spanCount += 1
    }

    private func withhold(_ temporary: TemporaryFile, _ key: StoreKey) throws {
        withheld.append((temporary, key))
        // Each holds a descriptor. Beyond this the network is so far behind that waiting for it costs nothing.
        if withheld.count >= Self.withheldLimit { try download.waitUntilVerified() }
        try publishWithheld(atLeast: Self.batchSize)
    }

    /// Publishes what waits, once the blob is verified and there is enough of it for one wait for the disk.
    private func publishWithheld(atLeast count: Int) throws {
        guard withheld.count >= count, download.verified else { return }
        while !withheld.isEmpty {
            let batch = Array(withheld.prefix(Self.batchSize))
            try store.publishBatch(batch)
            withheld.removeFirst(batch.count)
            stream.advance()
        }
    }
}

extension LayerFormat {
    init(_ compression: Compression) {
        switch compression {
        case .none: self = .tar
        case .gzip: self = .gzip
        case .zstd: self = .zstd
        }
    }

    /// How the blob is compressed.
    var compression: Compression {
        switch self {
        case .tar: .none
        case .gzip, .estargz: .gzip
        case .zstd, .zstdChunked: .zstd
        }
    }
}
