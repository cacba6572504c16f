/// A place in a gzip stream from which inflating can start: between two deflate blocks, or at the start of a member.
///
/// The technique is that of zran.c in zlib's examples. gzip's own CRC does not cover a start in the middle, so whoever uses
/// checkpoints keeps digests of what is between them.
public struct GzipCheckpoint: Sendable, Hashable {
    /// Bytes of the compressed stream before it. Where `bits` is not 0 the byte before has bits that belong to what follows.
    public var compressedOffset: UInt64
    /// Unused bits of the byte before, 0 to 7.
    public var bits: UInt8
    /// Bytes of the uncompressed stream before it.
    public var uncompressedOffset: UInt64
    /// The last bytes before it, up to 32 KiB: what later data may refer back to. Empty at the start of a member.
    public var window: [UInt8]
    /// A member starts here, with its header.
    public var startsMember: Bool

    public init(compressedOffset: UInt64, bits: UInt8 = 0, uncompressedOffset: UInt64, window: [UInt8] = [], startsMember: Bool) {
        self.compressedOffset = compressedOffset
        self.bits = bits
        self.uncompressedOffset = uncompressedOffset
        self.window = window
        self.startsMember = startsMember
    }

    /// Where the compressed bytes begin that a reader from here needs.
    public var sourceOffset: UInt64 { bits == 0 ? compressedOffset : compressedOffset &- 1 }
}
