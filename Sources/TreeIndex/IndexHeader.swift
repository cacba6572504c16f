import OCI

/// The first 344 bytes of an index, as they lie in the file (offsets in `IndexFormat`).
struct IndexHeader {
    enum What: UInt8 {
        case layer, snapshot
    }

    var magic = IndexFormat.magic
    var version = IndexFormat.version
    var what: UInt8 = 0
    var format: UInt8 = 0
    var reserved: UInt16 = 0
    var checksum = RawDigest()
    var fileSize: UInt64 = 0
    var contentKey = RawDigest()
    var blobDigest = RawDigest()
    var diffID = RawDigest()
    var blobSize: UInt64 = 0
    var contentSize: UInt64 = 0
    private var sections = InlineArray<11, Section>(repeating: Section())

    subscript(section: IndexSection) -> Section {
        get { sections[section.rawValue] }
        set { sections[section.rawValue] = newValue }
    }

    /// Where a section begins, in bytes from the start of the file, and how many records it has.
    struct Section {
        var offset: UInt64 = 0
        var count: UInt64 = 0
    }
}

/// The sections in the order of the file.
enum IndexSection: Int, CaseIterable {
    case nodes, children, heap, attributes, runs, spans, chunks, objects, layers, starts, windows

    /// Width of a record in bytes.
    var stride: Int {
        switch self {
        case .nodes: MemoryLayout<TreeNode>.stride
        case .children: MemoryLayout<Ordinal>.stride
        case .heap, .attributes, .windows: 1
        case .runs: MemoryLayout<DataRun>.stride
        case .spans: MemoryLayout<ContentSpan>.stride
        case .chunks: MemoryLayout<ContentChunk>.stride
        case .objects: MemoryLayout<FileObject>.stride
        case .layers: MemoryLayout<LayerReference>.stride
        case .starts: MemoryLayout<SpanStart>.stride
        }
    }
}

/// What a layer's index says about the blob it was made from.
public struct LayerIdentity: Sendable, Equatable {
    /// Names the folder of the layer's spans in the store.
    public var contentKey: Digest
    public var blobDigest: Digest
    /// nil while nobody has read the whole layer and proven it.
    public var diffID: Digest?
    public var format: LayerFormat
    /// Bytes of the (compressed) blob.
    public var blobSize: UInt64

    public init(contentKey: Digest, blobDigest: Digest, diffID: Digest?, format: LayerFormat, blobSize: UInt64) {
        self.contentKey = contentKey
        self.blobDigest = blobDigest
        self.diffID = diffID
        self.format = format
        self.blobSize = blobSize
    }
}

/// How a layer's blob is packed, which is how its spans are fetched.
public enum LayerFormat: UInt8, Sendable, CaseIterable {
    case tar, gzip, zstd, estargz, zstdChunked
}
