import OCI

/// What is in a layer and where: the common form of an eStargz and of a zstd:chunked table of contents.
///
/// Both are JSON made by Go, whose encoder writes U+FFFD for what is not UTF-8. A name that was not UTF-8 is lost in such
/// a table, and two such names may become the same; only the tar stream has the truth.
public struct TableOfContents: Sendable, Equatable {
    /// In the order of the tar stream. The entries that eStargz adds for itself are left out.
    public var entries: [TOCEntry]
    /// Bytes from the front of the blob that its maker advises to fetch at once: what the image needs to start.
    /// 0 where it advises to fetch nothing, nil where it says nothing.
    public var prefetchLength: UInt64?

    public init(entries: [TOCEntry], prefetchLength: UInt64? = nil) {
        self.entries = entries
        self.prefetchLength = prefetchLength
    }
}

public struct TOCEntry: Sendable, Equatable {
    /// Chunks of zeros are holes here: `extents` is set where there are any.
    public var entry: ArchiveEntry
    /// Content of a regular file in ascending order, without gap or overlap; empty for every other kind.
    public var chunks: [TOCChunk]
    /// sha256 of the whole content of a regular file, where the table has it.
    public var digest: Digest?

    public init(entry: ArchiveEntry, chunks: [TOCChunk] = [], digest: Digest? = nil) {
        self.entry = entry
        self.chunks = chunks
        self.digest = digest
    }
}

/// A piece of a file and the piece of the blob that it comes from.
public struct TOCChunk: Sendable, Hashable {
    /// In the file, in bytes.
    public var offset: UInt64
    /// In the file, in bytes.
    public var length: UInt64
    /// Start of the gzip member or zstd frame, in the blob; 0 for zeros.
    public var sourceOffset: UInt64
    /// End of what has to be fetched, in the blob; 0 for zeros.
    public var sourceEnd: UInt64
    /// Uncompressed bytes of that member before the chunk's own.
    public var innerOffset: UInt64
    /// sha256 of the chunk's bytes.
    public var digest: Digest?
    /// Nothing has to be fetched: every byte is 0.
    public var isZeros: Bool

    public init(
        offset: UInt64, length: UInt64, sourceOffset: UInt64, sourceEnd: UInt64, innerOffset: UInt64 = 0, digest: Digest? = nil, isZeros: Bool = false
    ) {
        self.offset = offset
        self.length = length
        self.sourceOffset = sourceOffset
        self.sourceEnd = sourceEnd
        self.innerOffset = innerOffset
        self.digest = digest
        self.isZeros = isZeros
    }
}
