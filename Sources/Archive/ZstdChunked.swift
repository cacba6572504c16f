import OCI

/// The zstd:chunked layer format (containers/storage pkg/chunked; stargz-snapshotter estargz/zstdchunked): zstd frames, then
/// skippable frames with the compressed table of contents, perhaps tar-split data, and a footer.
public enum ZstdChunked {
    /// The names that annotations of a layer's descriptor have: Podman's, which newer stargz-snapshotters write too, and
    /// older stargz-snapshotters'. The checksum is the sha256 of the *compressed* table in both.
    static let annotationPrefixes = ["io.github.containers.zstd-chunked.", "io.containers.zstd-chunked."]

    /// Bytes of the skippable frame's own header, before every payload.
    static let frameHeaderLength: UInt64 = 8

    /// Where the compressed table is, from an annotation or a footer.
    public struct Position: Sendable, Equatable {
        /// Of the zstd frame inside its skippable frame, in the blob.
        public var offset: UInt64
        public var length: UInt64
        public var uncompressedLength: UInt64

        init(offset: UInt64, length: UInt64, uncompressedLength: UInt64, type: UInt64) throws(ArchiveError) {
            guard type == 1 else { throw ArchiveError(.unsupported, "table of contents type \(type) of zstd:chunked is not one that Larder reads") }
            self.offset = offset
            self.length = length
            self.uncompressedLength = uncompressedLength
        }

        /// `OFFSET:LENGTH:UNCOMPRESSED-LENGTH:TYPE` in decimal.
        public init(annotation text: String) throws(ArchiveError) {
            let numbers = text.utf8.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false).map { TarNumber.decimal($0) }
            let values = numbers.compactMap { $0.flatMap { UInt64(exactly: $0) } }
            guard numbers.count == 4, values.count == 4 else {
                throw ArchiveError(.malformed, "'\(text.prefix(100))' is not the position of a zstd:chunked table of contents")
            }
            try self.init(offset: values[0], length: values[1], uncompressedLength: values[2], type: values[3])
        }
    }

    /// Reads the footer from the last bytes of a blob, 72 of them or more: Podman's of 64 bytes, or stargz-snapshotter's of 40.
    /// nil where there is none.
    public static func footer(_ tail: [UInt8]) throws(ArchiveError) -> Position? {
        for (length, magic) in [(64, "GNUlInUx"), (40, "GnUlInUx")] {
            let frame = tail.suffix(length + 8)
            guard frame.count == length + 8, frame.suffix(8).elementsEqual(magic.utf8),
                  frame.starts(with: [0x50, 0x2A, 0x4D, 0x18, UInt8(length), 0, 0, 0]) else { continue }
            let words = (0..<4).map { word in
                frame.dropFirst(8 + 8 * word).prefix(8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            }
            return try Position(offset: words[0], length: words[1], uncompressedLength: words[2], type: words[3])
        }
        return nil
    }

    /// The JSON out of its zstd frame.
    static func json(_ frame: UnsafeRawBufferPointer, length: UInt64, limits: ArchiveLimits) throws(ArchiveError) -> [UInt8] {
        guard length <= UInt64(limits.tableLength) else {
            throw ArchiveError(.limitExceeded, "a table of contents of \(length) bytes is over the limit of \(limits.tableLength)")
        }
        let decoder = try ZstdReader(BorrowedReader(frame))
        let json = try Bytes.read(exactly: Int(length)) { (buffer) throws(ArchiveError) in try decoder.read(into: buffer) }
        var more: UInt8 = 0
        guard try ArchiveError.reading({ try withUnsafeMutableBytes(of: &more) { try decoder.read(into: $0) } }) == 0 else {
            throw ArchiveError(.malformed, "the table of contents is longer than the \(length) bytes that were stated")
        }
        return json
    }
}
