/// A place in a layer's blob from which decompressing can start: between two deflate blocks of a gzip member, or at the
/// start of a member, a zstd frame, or any byte of plain tar.
///
/// For gzip the technique is that of zran.c in zlib's examples. gzip's own CRC does not cover a start in the middle, so
/// whoever uses checkpoints keeps digests of what is between them.
public struct Checkpoint: Sendable, Hashable {
    /// Bytes of the compressed stream before it. Where `bits` is not 0 the byte before has bits that belong to what follows.
    public var compressedOffset: UInt64
    /// Unused bits of the byte before, 0 to 7.
    public var bits: UInt8
    /// Bytes of the uncompressed stream before it.
    public var uncompressedOffset: UInt64
    /// What later data refers back to of the bytes before it, packed (`PackedWindow`). Empty where that is nothing.
    public var window: [UInt8]
    /// Not inside a gzip member: `bits` is 0 and `window` empty.
    public var startsMember: Bool

    public init(compressedOffset: UInt64, bits: UInt8 = 0, uncompressedOffset: UInt64, window: [UInt8] = [], startsMember: Bool) {
        self.compressedOffset = compressedOffset
        self.bits = bits
        self.uncompressedOffset = uncompressedOffset
        self.window = window
        self.startsMember = startsMember
    }

    /// Where the compressed bytes begin that a reader from here needs. Those of the stretch before end at `compressedOffset`.
    public var sourceOffset: UInt64 { bits == 0 ? compressedOffset : compressedOffset &- 1 }
}

/// When to hand out checkpoints, and to whom.
///
/// `record` is called inside `read`, before that call has produced anything: a checkpoint lies exactly at the end of all that
/// earlier calls have returned, so whoever copies what passes can cut there. The first lies at 0, every further one at least
/// `spacing` bytes of output after the one before; how much more, the stream decides. One may lie at the very end.
struct CheckpointRecorder {
    let spacing: UInt64
    let record: (Checkpoint) -> Void
    private var last: UInt64?

    init(spacing: UInt64, record: @escaping (Checkpoint) -> Void) {
        self.spacing = max(1, spacing)
        self.record = record
    }

    /// Bytes of output until the next checkpoint is wanted.
    func due(after produced: UInt64) -> UInt64 {
        guard let last else { return 0 }
        let since = produced - last
        return since >= spacing ? 0 : spacing - since
    }

    mutating func hand(_ checkpoint: Checkpoint) {
        last = checkpoint.uncompressedOffset
        record(checkpoint)
    }
}
