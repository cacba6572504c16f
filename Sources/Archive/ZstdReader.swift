import CZstd

/// Decompresses zstd (RFC 8878): one frame or many, skippable frames passed over, checksums verified where frames carry them.
///
/// A frame may ask for a window of up to 128 MiB (what `zstd --ultra -22` asks for), so memory stays bounded.
public final class ZstdReader: ByteReader {
    private static let windowLog: Int32 = 27

    private let source: any ByteReader
    private let input: UnsafeMutableRawBufferPointer
    private let context: OpaquePointer
    private var pending: ZSTD_inBuffer
    /// A frame has begun and not ended.
    private var insideFrame = false
    private var sawInput = false
    private var pulled: UInt64 = 0
    private var produced: UInt64 = 0
    private var recorder: CheckpointRecorder?

    /// - Parameter inputSize: bytes asked of `source` at a time.
    public init(_ source: any ByteReader, inputSize: Int = 256 << 10) throws(ArchiveError) {
        guard let context = ZSTD_createDCtx() else { throw ArchiveError(.source, "zstd cannot start: out of memory") }
        ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, Self.windowLog)
        self.context = context
        self.source = source
        input = .allocate(byteCount: max(inputSize, 1), alignment: 64)
        pending = ZSTD_inBuffer(src: input.baseAddress, size: 0, pos: 0)
    }

    /// Also hands out checkpoints, at the starts of frames (see `CheckpointRecorder`). A stream of one frame has just the first.
    convenience init(_ source: any ByteReader, _ recorder: CheckpointRecorder) throws(ArchiveError) {
        try self.init(source)
        self.recorder = recorder
    }

    deinit {
        ZSTD_freeDCtx(context)
        input.deallocate()
    }

    public func read(into buffer: UnsafeMutableRawBufferPointer) throws(ArchiveError) -> Int {
        while true {
            // Inside a frame zstd may hold output back from an earlier call, so it is asked before the source is.
            if pending.pos < pending.size || insideFrame {
                if !insideFrame, recorder?.due(after: produced) == 0 {
                    let position = pulled - UInt64(pending.size - pending.pos)
                    recorder?.hand(Checkpoint(compressedOffset: position, uncompressedOffset: produced, startsMember: true))
                }
                var output = ZSTD_outBuffer(dst: buffer.baseAddress, size: buffer.count, pos: 0)
                let code = ZSTD_decompressStream(context, &output, &pending)
                if ZSTD_isError(code) != 0 { throw Self.failure(code) }
                insideFrame = code != 0
                if output.pos > 0 {
                    produced &+= UInt64(output.pos)
                    return output.pos
                }
                if pending.pos < pending.size { continue }
            }
            let count = try ArchiveError.reading { try source.read(into: input) }
            if count == 0 {
                if insideFrame { throw ArchiveError(.truncated, "the zstd stream ends inside a frame") }
                if !sawInput { throw ArchiveError(.truncated, "the zstd stream is empty") }
                return 0
            }
            sawInput = true
            pulled &+= UInt64(count)
            pending.size = count
            pending.pos = 0
        }
    }

    private static func failure(_ code: Int) -> ArchiveError {
        switch ZSTD_getErrorCode(code) {
        case ZSTD_error_frameParameter_windowTooLarge:
            ArchiveError(.limitExceeded, "a zstd frame asks for a window of more than \(1 << (windowLog - 20)) MiB")
        case ZSTD_error_memory_allocation:
            ArchiveError(.source, "zstd cannot go on: out of memory")
        default:
            ArchiveError(.malformed, "zstd: " + String(cString: ZSTD_getErrorName(code)))
        }
    }
}
