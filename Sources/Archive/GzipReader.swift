import CZlib

/// Inflates gzip (RFC 1952): one member or many, as pigz, eStargz and concatenation make them.
///
/// Every member's CRC and length are checked. Zero bytes after the last member are padding, as gzip(1) has it;
/// anything else there is an error, as is an end inside a member.
public final class GzipReader: ByteReader {
    private enum State {
        /// At the start of the input or of whatever follows a member.
        case between(members: Int)
        case inside(members: Int)
        /// At the CRC of a member whose start was not seen, with bytes of it left.
        case uncheckedTrailer(left: Int)
        case padding
        case ended
    }

    private let source: any ByteReader
    private let input: UnsafeMutableRawBufferPointer
    // inflate remembers the address of its stream, so the stream must not move.
    private let stream: UnsafeMutablePointer<z_stream>
    private var state = State.between(members: 0)

    /// Bytes of input consumed up to the end of what has been returned.
    public var compressedPosition: UInt64 { pulled - UInt64(stream.pointee.avail_in) }
    private var pulled: UInt64 = 0

    /// Bytes returned so far, those before a checkpoint included.
    private var produced: UInt64 = 0
    /// zlib works without header and trailer, since it was started in the middle of a member.
    private var isRaw = false
    private var recorder: Recorder?

    private struct Recorder {
        let spacing: UInt64
        let record: (GzipCheckpoint) -> Void
        var last: UInt64?
    }

    /// - Parameter inputSize: bytes asked of `source` at a time.
    public init(_ source: any ByteReader, inputSize: Int = 256 << 10) throws(ArchiveError) {
        self.source = source
        input = .allocate(byteCount: max(inputSize, 1), alignment: 64)
        stream = .allocate(capacity: 1)
        stream.initialize(to: z_stream())
        // 31: a 32 KiB window, and nothing but gzip.
        guard larder_inflate_init(stream, 31) == Z_OK else { throw ArchiveError(.source, "zlib cannot start: out of memory") }
    }

    /// Also hands out checkpoints: one at the start, then one at the first chance after every `spacing` bytes of output.
    /// `record` is called while `read` runs.
    public convenience init(
        _ source: any ByteReader, checkpointsEvery spacing: UInt64, record: @escaping (GzipCheckpoint) -> Void
    ) throws(ArchiveError) {
        try self.init(source)
        recorder = Recorder(spacing: spacing, record: record)
    }

    /// Reads from a checkpoint on. `source` gives the compressed stream from `checkpoint.sourceOffset` on.
    public convenience init(_ source: any ByteReader, from checkpoint: GzipCheckpoint, inputSize: Int = 256 << 10) throws(ArchiveError) {
        try self.init(source, inputSize: inputSize)
        produced = checkpoint.uncompressedOffset
        pulled = checkpoint.sourceOffset
        guard !checkpoint.startsMember else { return }
        let bad = ArchiveError(.malformed, "the gzip checkpoint at byte \(checkpoint.compressedOffset) is not one")
        guard checkpoint.bits < 8, checkpoint.window.count <= 32 << 10, inflateReset2(stream, -15) == Z_OK else { throw bad }
        isRaw = true
        state = .inside(members: 0)
        if checkpoint.bits > 0 {
            try refill()
            guard stream.pointee.avail_in > 0 else { throw ArchiveError(.truncated, "the gzip stream ends at a checkpoint") }
            let byte = Int32(stream.pointee.next_in.pointee)
            dropInput(1)
            guard inflatePrime(stream, Int32(checkpoint.bits), byte >> (8 - Int32(checkpoint.bits))) == Z_OK else { throw bad }
        }
        guard inflateSetDictionary(stream, checkpoint.window, UInt32(checkpoint.window.count)) == Z_OK else { throw bad }
    }

    deinit {
        inflateEnd(stream)
        stream.deallocate()
        input.deallocate()
    }

    public func read(into buffer: UnsafeMutableRawBufferPointer) throws(ArchiveError) -> Int {
        while true {
            if stream.pointee.avail_in == 0, !mayHoldOutput { try refill() }
            switch state {
            case .between(let members):
                guard stream.pointee.avail_in > 0 else {
                    if members == 0 { throw ArchiveError(.truncated, "the gzip stream is empty") }
                    state = .ended
                    continue
                }
                if members > 0, stream.pointee.next_in.pointee == 0 {
                    state = .padding
                } else {
                    // 31: back to gzip's own framing where it was left.
                    inflateReset2(stream, 31)
                    isRaw = false
                    state = .inside(members: members)
                    record(atMember: true)
                }
            case .inside(let members):
                let count = try inflate(members, into: buffer)
                if count > 0 { return count }
            case .uncheckedTrailer(let left):
                guard stream.pointee.avail_in > 0 else { throw ArchiveError(.truncated, "the gzip stream ends inside a trailer") }
                let step = min(left, Int(stream.pointee.avail_in))
                dropInput(step)
                state = step == left ? .between(members: 1) : .uncheckedTrailer(left: left - step)
            case .padding:
                try passPadding()
            case .ended:
                return 0
            }
        }
    }

    /// The last call stopped because the caller's buffer was full: zlib may have more without further input.
    private var mayHoldOutput = false

    private func inflate(_ members: Int, into buffer: UnsafeMutableRawBufferPointer) throws(ArchiveError) -> Int {
        let room = UInt32(min(buffer.count, 1 << 30))
        stream.pointee.next_out = buffer.baseAddress?.assumingMemoryBound(to: UInt8.self)
        stream.pointee.avail_out = room
        let starved = stream.pointee.avail_in == 0 && !mayHoldOutput
        let code = CZlib.inflate(stream, recorder == nil ? Z_NO_FLUSH : Z_BLOCK)
        mayHoldOutput = stream.pointee.avail_out == 0
        switch code {
        case Z_OK:
            break
        case Z_STREAM_END:
            mayHoldOutput = false
            state = isRaw ? .uncheckedTrailer(left: 8) : .between(members: members + 1)
        case Z_BUF_ERROR:
            if starved { throw ArchiveError(.truncated, "the gzip stream ends inside member \(members + 1)") }
        case Z_MEM_ERROR:
            throw ArchiveError(.source, "zlib cannot go on: out of memory")
        default:
            let message = stream.pointee.msg.map { String(cString: $0) } ?? "code \(code)"
            throw ArchiveError(.malformed, "gzip member \(members + 1), near byte \(compressedPosition): \(message)")
        }
        let count = room - stream.pointee.avail_out
        produced &+= UInt64(count)
        // Bit 7: at the end of a block, or of the header. Bit 6: inside the last block, after which nothing can start.
        if recorder != nil, code == Z_OK, stream.pointee.data_type & 0xC0 == 0x80 { record(atMember: false) }
        return Int(count)
    }

    private func record(atMember: Bool) {
        guard let recorder else { return }
        if let last = recorder.last, produced - last < recorder.spacing { return }
        var window: [UInt8] = []
        if !atMember {
            window = [UInt8](unsafeUninitializedCapacity: 32 << 10) { buffer, count in
                var length: UInt32 = 0
                inflateGetDictionary(stream, buffer.baseAddress, &length)
                count = Int(length)
            }
        }
        self.recorder?.last = produced
        recorder.record(GzipCheckpoint(
            compressedOffset: compressedPosition, bits: atMember ? 0 : UInt8(stream.pointee.data_type & 7), uncompressedOffset: produced,
            window: window, startsMember: atMember
        ))
    }

    private func dropInput(_ count: Int) {
        stream.pointee.next_in += count
        stream.pointee.avail_in -= UInt32(count)
    }

    private func passPadding() throws(ArchiveError) {
        while stream.pointee.avail_in > 0 {
            guard stream.pointee.next_in.pointee == 0 else {
                throw ArchiveError(.malformed, "byte \(compressedPosition) of the gzip stream is neither a member nor padding")
            }
            dropInput(1)
        }
        try refill()
        if stream.pointee.avail_in == 0 { state = .ended }
    }

    private func refill() throws(ArchiveError) {
        if case .ended = state { return }
        let count = try ArchiveError.reading { try source.read(into: input) }
        stream.pointee.next_in = input.baseAddress?.assumingMemoryBound(to: UInt8.self)
        stream.pointee.avail_in = UInt32(count)
        pulled &+= UInt64(count)
    }
}
