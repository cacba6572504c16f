import OCI

/// The unit of fetching: a stretch of a layer's content space that is a file of its own in the store. 80 bytes.
public struct ContentSpan: Sendable, Equatable {
    /// Offset in the content space. Spans tile it: each begins where the one before ends.
    public var contentStart: UInt64
    /// Bytes of content, at least 1.
    public var length: UInt64
    /// The range of the blob that its bytes are made from, the first byte needed included. Neighbours share a byte where a
    /// deflate block ends inside it. In a layer without chunks and starts this is not known, and is the content's own range.
    public var sourceOffset: UInt64
    public var sourceLength: UInt64
    /// Its chunks in the chunk table. Spans use them up in order.
    public internal(set) var firstChunk: UInt32 = 0
    public internal(set) var chunkCount: UInt32 = 0
    private var rawDigest: RawDigest
    public var flags: Flags
    var reserved: UInt32 = 0

    public struct Flags: OptionSet, Sendable {
        public let rawValue: UInt32
        @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }
        /// The span holds a part of one large file and nothing else.
        @inlinable public static var exclusive: Flags { Flags(rawValue: 1) }
        /// The digest is that of the source's bytes, before decompression, as SOCI has it.
        @inlinable public static var digestOfSource: Flags { Flags(rawValue: 2) }
        static var all: Flags { [.exclusive, .digestOfSource] }
    }

    public init(
        contentStart: UInt64, length: UInt64, sourceOffset: UInt64, sourceLength: UInt64, digest: Digest? = nil, flags: Flags = []
    ) {
        self.contentStart = contentStart
        self.length = length
        self.sourceOffset = sourceOffset
        self.sourceLength = sourceLength
        rawDigest = RawDigest(digest)
        self.flags = flags
    }

    /// sha256 of the span's bytes, or by `.digestOfSource` of its source's; where nil, the digests of its chunks rule.
    public var digest: Digest? { rawDigest.digest }
    @inlinable public var contentEnd: UInt64 { contentStart + length }
}

/// A chunk of a table of contents: what one compressed member or frame contributes to a span. 64 bytes.
public struct ContentChunk: Sendable, Equatable {
    /// Offset in the content space. Chunks tile their span.
    public var contentStart: UInt64
    /// Bytes of content, at least 1.
    public var length: UInt64
    /// Where in the blob the compressed member or frame begins.
    public var sourceOffset: UInt64
    /// Bytes to skip in what that decompresses to.
    public var innerOffset: UInt64
    private var rawDigest: RawDigest

    public init(contentStart: UInt64, length: UInt64, sourceOffset: UInt64, innerOffset: UInt64 = 0, digest: Digest? = nil) {
        self.contentStart = contentStart
        self.length = length
        self.sourceOffset = sourceOffset
        self.innerOffset = innerOffset
        rawDigest = RawDigest(digest)
    }

    /// sha256 of the chunk's content.
    public var digest: Digest? { rawDigest.digest }
}

/// A large file's whole content, holes included, as an object of the store. 40 bytes.
public struct FileObject: Sendable, Equatable {
    private var rawDigest: RawDigest
    /// Bytes.
    public var size: UInt64

    public init(digest: Digest, size: UInt64) {
        rawDigest = RawDigest(digest)
        self.size = size
    }

    /// sha256 of the content. Never nil in a validated index.
    public var digest: Digest? { rawDigest.digest }
}

/// A run of data in a sparse file. 24 bytes.
public struct DataRun: Sendable, Equatable {
    /// Logical offset in the file.
    public var offset: UInt64
    /// Bytes, at least 1.
    public var length: UInt64
    /// Stored bytes of the file before this run: the run begins at the file's content offset plus this.
    public var stored: UInt64
}

/// One layer of a snapshot. 96 bytes.
public struct LayerReference: Sendable, Equatable {
    private var rawTreeKey: RawDigest
    private var rawBlobDigest: RawDigest
    private var rawDiffID: RawDigest

    public init(treeKey: Digest, blobDigest: Digest?, diffID: Digest?) {
        rawTreeKey = RawDigest(treeKey)
        rawBlobDigest = RawDigest(blobDigest)
        rawDiffID = RawDigest(diffID)
    }

    /// Names the layer's own index in the store. Never nil in a validated index.
    public var treeKey: Digest? { rawTreeKey.digest }
    public var blobDigest: Digest? { rawBlobDigest.digest }
    /// nil where it was not proven when the snapshot was made.
    public var diffID: Digest? { rawDiffID.digest }
}
