import OCI

/// What a SOCI index says about one layer (soci-snapshotter, `ztoc/ztoc.go` and `ztoc/fbs/ztoc.fbs`, version 0.9): the
/// members of its tar, and the places where decompression can start.
///
/// A layer of gzip has a checkpoint for each span; the spans of a plain tar are slices of one size. Digests are of the spans'
/// *compressed* bytes. zstd does not occur.
public struct ZTOC: Sendable, Equatable {
    public static let version = "0.9"
    /// What is read of one zTOC at most, in bytes: that of a layer of some 15 GB.
    public static let sizeLimit = 128 << 20
    /// Bytes of content between two checkpoints that soci itself asks for.
    public static let spanSize: UInt64 = 4 << 20

    /// Who made it, as soci prints it.
    public var buildTool: [UInt8]
    /// Bytes of the blob.
    public var compressedSize: UInt64
    /// Bytes of the tar. soci stops counting at the end of the archive, whatever follows it.
    public var uncompressedSize: UInt64
    /// In the order of the tar.
    public var entries: [Entry]
    public var compression: Compression
    /// One for each span, of its compressed bytes.
    public var spanDigests: [Digest]

    public enum Compression: Sendable, Equatable {
        /// - Parameter spanSize: what the maker asked for: the spans are where the checkpoints are.
        case gzip(spanSize: UInt64, checkpoints: [Point])
        case none(spanSize: UInt64)
    }

    /// A place between two deflate blocks.
    public struct Point: Sendable, Equatable {
        /// Bytes of the blob before it. Where `bits` is not 0 the byte before has bits that belong to what follows.
        public var compressedOffset: UInt64
        public var uncompressedOffset: UInt64
        public var bits: UInt8
        /// The 32 KiB before it, zeros where there is less. Of a decoded zTOC a part of its own bytes, not a copy.
        public var window: ArraySlice<UInt8>

        init(compressedOffset: UInt64, uncompressedOffset: UInt64, bits: UInt8, window: ArraySlice<UInt8>) {
            self.compressedOffset = compressedOffset
            self.uncompressedOffset = uncompressedOffset
            self.bits = bits
            self.window = window
        }
    }

    /// A member of the tar, as Go's archive/tar sees it.
    public struct Entry: Sendable, Equatable {
        public var path: [UInt8]
        public var kind: ArchiveEntry.Kind
        /// Where the data begins in the tar, or would begin.
        public var offset: UInt64
        public var size: UInt64
        public var linkTarget: [UInt8]
        public var mode: Int64
        public var uid: UInt32
        public var gid: UInt32
        public var userName: [UInt8]
        public var groupName: [UInt8]
        public var modified: Timestamp
        public var deviceMajor: Int64
        public var deviceMinor: Int64
        /// All PAX records of the member, keys ascending. soci calls them xattrs, and the xattrs are among them.
        public var records: [ExtendedAttribute]
    }

    /// A stretch of the tar that is fetched and verified at once.
    public struct Span: Sendable, Equatable {
        /// The bytes of the blob, the one that is shared with the span before included.
        public var source: Range<UInt64>
        /// Up to the end of the archive; empty for a span behind it.
        public var content: Range<UInt64>
        public var digest: Digest
    }

    public var spanCount: Int { spanDigests.count }

    public var isGzip: Bool {
        if case .gzip = compression { true } else { false }
    }

    /// - Precondition: `number < spanCount`, and the zTOC was decoded or made by `ZTOCScan`.
    public func span(_ number: Int) -> Span {
        let isLast = number == spanCount - 1
        switch compression {
        case .gzip(_, let points):
            let point = points[number]
            return Span(
                source: point.sourceOffset..<(isLast ? compressedSize : points[number + 1].compressedOffset),
                content: min(point.uncompressedOffset, uncompressedSize)..<(isLast ? uncompressedSize : min(points[number + 1].uncompressedOffset, uncompressedSize)),
                digest: spanDigests[number]
            )
        case .none(let size):
            let start = UInt64(number) * size
            let range = start..<(isLast ? compressedSize : start + size)
            return Span(source: range, content: range, digest: spanDigests[number])
        }
    }
}

extension ZTOC.Point {
    /// Where the compressed bytes begin that a reader from here needs.
    public var sourceOffset: UInt64 { bits == 0 ? compressedOffset : compressedOffset - 1 }
}

extension ZTOC.Entry {
    /// The member as a layer's reader would see it.
    public func archiveEntry() throws(ArchiveError) -> ArchiveEntry {
        var entry = ArchiveEntry(path: path, kind: kind, mode: UInt32(truncatingIfNeeded: mode) & 0o7777, uid: uid, gid: gid, modified: modified)
        switch kind {
        case .regular: entry.size = size
        case .symlink, .hardlink: entry.linkTarget = linkTarget
        case .characterDevice, .blockDevice:
            entry.deviceMajor = try UInt32(deviceMajor, of: "devmajor")
            entry.deviceMinor = try UInt32(deviceMinor, of: "devminor")
        case .directory, .fifo: break
        }
        entry.attributes = try PAXRecords(records).extendedAttributes
        return entry
    }
}
