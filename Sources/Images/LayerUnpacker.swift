import Archive
import LinuxIO
import OCI
import Store
import TreeIndex

/// Turns a layer's blob into an index, spans and objects in one pass. Blocking: runs on a worker thread, behind the bytes
/// of a download that may still be arriving.
///
/// Small files are packed into spans of about `spanSize`, in the order of the archive and cut at file boundaries; a file
/// of at least `largeFileSize` becomes an object of its own. The cut depends on the layer's bytes alone, so that a
/// second pass over the same layer makes the same spans.
final class LayerUnpacker {
    static let spanSize = 1 << 20
    /// From this size a file is worth an inode of its own: it can then be handed to the kernel whole (passthrough).
    static let largeFileSize: UInt64 = 1 << 20
    private static let withheldLimit = 1024
    /// Files that share one wait for the disk: readers behind the head wait for no more than these.
    private static let batchSize = 16

    private let layer: ImageLayer
    private let store: Store
    private let download: BlobDownload
    private let stream: LayerStream
    /// The blob's bytes, which come from `download`.
    private let bytes: any ByteReader
    /// eStargz puts files of its own at the root, which are no content of the image.
    private let hidesBookkeeping: Bool
    /// What may not be published before the blob is verified.
    private var withheld: [(file: TemporaryFile, key: StoreKey)] = []
    private var span: [UInt8] = []
    private var contentEnd: UInt64 = 0
    private var spanCount: UInt32 = 0
    private let block = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 4096)

    init(layer: ImageLayer, store: Store, download: BlobDownload, stream: LayerStream, hidesBookkeeping: Bool, bytes: (any ByteReader)? = nil) {
        self.layer = layer
        self.store = store
        self.download = download
        self.stream = stream
        self.hidesBookkeeping = hidesBookkeeping
        self.bytes = bytes ?? BlobDownloadReader(download)
        span.reserveCapacity(Self.spanSize)
    }

    deinit { block.deallocate() }

    /// Unpacks everything, proves blob digest and DiffID, and publishes. On any error nothing of the index is published.
    func run() throws {
        let layerReader = try LayerReader(bytes)
        let tar = DiffIDReader(layerReader)
        let reader = TarReader(tar)
        while let entry = try reader.next() {
            if hidesBookkeeping && TableOfContents.isHidden(entry.path) { continue }
            try take(entry, reader)
        }
        let diffID = try tar.finish()
        try flushSpan()
        try download.waitUntilVerified()
        guard diffID == layer.diffID else {
            throw ImageError.wrongDigest(of: "the uncompressed layer \(layer.descriptor.digest)", expected: layer.diffID, found: diffID)
        }
        try publishWithheld(atLeast: 1)
        let identity = LayerIdentity(
            contentKey: layer.descriptor.digest, blobDigest: layer.descriptor.digest, diffID: diffID,
            format: LayerFormat(layerReader.compression), blobSize: layer.descriptor.size
        )
        try store.publishTree(try stream.finish(identity), layer.descriptor.digest)
    }

    private func take(_ entry: ArchiveEntry, _ reader: TarReader) throws {
        guard let ordinal = try stream.add(entry), entry.kind == .regular, entry.storedSize > 0 else { return }
        if entry.size >= Self.largeFileSize && entry.extents == nil {
            let digest = try storeObject(entry, reader)
            try stream.setObject(ordinal, digest)
        } else {
            try pack(entry, ordinal, reader)
        }
    }

    private func storeObject(_ entry: ArchiveEntry, _ reader: TarReader) throws -> Digest {
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

    /// Appends the file's stored bytes to the span in hand. A sparse file with much data may fill several spans.
    private func pack(_ entry: ArchiveEntry, _ ordinal: Ordinal, _ reader: TarReader) throws {
        if !span.isEmpty && UInt64(span.count) + entry.storedSize > UInt64(Self.spanSize) { try flushSpan() }
        try stream.setContent(ordinal, at: contentEnd)
        while true {
            let room = min(block.count, Self.spanSize - span.count)
            let count = try reader.read(into: UnsafeMutableRawBufferPointer(rebasing: block[..<room]))
            if count == 0 { break }
            span.append(contentsOf: UnsafeRawBufferPointer(rebasing: block[..<count]))
            contentEnd += UInt64(count)
            if span.count == Self.spanSize { try flushSpan() }
        }
    }

    private func flushSpan() throws {
        guard !span.isEmpty else { return }
        let temporary = try store.temporary("span")
        try span.withUnsafeBytes { try temporary.write($0) }
        let start = contentEnd - UInt64(span.count)
        try stream.append(ContentSpan(contentStart: start, length: UInt64(span.count), sourceOffset: start, sourceLength: UInt64(span.count), digest: Digest(of: span)))
        try withhold(temporary, .span(layer.descriptor.digest, spanCount))
        spanCount += 1
        span.removeAll(keepingCapacity: true)
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
}
