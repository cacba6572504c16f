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
    private let inputStart: UnsafeMutablePointer<UInt8>
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
    private var recorder: CheckpointRecorder?
    private var packer: WindowPacker?
    /// The last call has ended where a block ends, and a checkpoint is due.
    private var isAtCheckpoint = false
    /// The last byte that was taken out of the buffer, once it has been filled again.
    private var lastTaken: UInt8 = 0
    private var sourceEnded = false
    /// Compressed bytes that a packer wants to see: they make 32 KiB of output, unless blocks are tiny.
    private static let lookahead = 64 << 10

    /// - Parameter inputSize: bytes asked of `source` at a time.
    public init(_ source: any ByteReader, inputSize: Int = 256 << 10) throws(ArchiveError) {
        self.source = source
        inputStart = .allocate(capacity: max(inputSize, 1))
        input = UnsafeMutableRawBufferPointer(start: inputStart, count: max(inputSize, 1))
        stream = .allocate(capacity: 1)
        stream.initialize(to: z_stream())
        // 31: a 32 KiB window, and nothing but gzip.
        guard larder_inflate_init(stream, 31) == Z_OK else { throw ArchiveError(.source, "zlib cannot start: out of memory") }
    }

    /// Also hands out checkpoints, at blocks and members (see `CheckpointRecorder`), with their windows packed: for that it
    /// reads its source up to 64 KiB ahead.
    convenience init(_ source: any ByteReader, _ recorder: CheckpointRecorder) throws(ArchiveError) {
        try self.init(source)
        self.recorder = recorder
        packer = try WindowPacker()
    }

    /// Reads from between two blocks on. `source` gives the compressed stream from `Checkpoint.sourceOffset` on.
    convenience init(_ source: any ByteReader, bits: UInt8, window: [UInt8], inputSize: Int) throws(ArchiveError) {
        try self.init(source, inputSize: inputSize)
        let bad = ArchiveError(.malformed, "a checkpoint of \(bits) bits and a window of \(window.count) bytes cannot be one of gzip")
        guard bits < 8, window.count <= PackedWindow.size, inflateReset2(stream, -15) == Z_OK else { throw bad }
        isRaw = true
        state = .inside(members: 0)
        if bits > 0 {
            try refill()
            guard stream.pointee.avail_in > 0 else { throw ArchiveError(.truncated, "the gzip stream ends at a checkpoint") }
            let byte = Int32(stream.pointee.next_in.pointee)
            dropInput(1)
            guard inflatePrime(stream, Int32(bits), byte >> (8 - Int32(bits))) == Z_OK else { throw bad }
        }
        // What packing has cut off is zeros, and may be referred to all the same.
        let whole = [UInt8](repeating: 0, count: PackedWindow.size - window.count) + window
        guard inflateSetDictionary(stream, whole, UInt32(whole.count)) == Z_OK else { throw bad }
    }

    deinit {
        inflateEnd(stream)
        stream.deallocate()
        inputStart.deallocate()
    }

    public func read(into buffer: UnsafeMutableRawBufferPointer) throws(ArchiveError) -> Int {
        while true {
            if isAtCheckpoint {
                isAtCheckpoint = false
                try recordBlock()
            }
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
                    recordMember()
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
        // Blocks matter once a checkpoint is due; up to the byte before zlib need not stop at any. With that byte a block may end, and
        // zlib reads on over its end although there is no more room.
        let quiet = (recorder?.due(after: produced)).map { $0 <= 1 ? 0 : $0 - 1 }
        let room = UInt32(min(buffer.count, 1 << 30, quiet.map { $0 == 0 ? Int.max : Int(clamping: $0) } ?? Int.max))
        stream.pointee.next_out = buffer.baseAddress?.assumingMemoryBound(to: UInt8.self)
        stream.pointee.avail_out = room
        let starved = stream.pointee.avail_in == 0 && !mayHoldOutput
        let code = CZlib.inflate(stream, quiet == 0 ? Z_BLOCK : Z_NO_FLUSH)
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
            // What came before the fault is good; zlib reports it again, alone.
            if stream.pointee.avail_out < room { break }
            let message = stream.pointee.msg.map { String(cString: $0) } ?? "code \(code)"
            throw ArchiveError(.malformed, "gzip member \(members + 1), near byte \(compressedPosition): \(message)")
        }
        let count = room - stream.pointee.avail_out
        produced &+= UInt64(count)
        // Bit 7: at the end of a block, or of the header. Bit 6: inside the last block, after which nothing can start.
        isAtCheckpoint = quiet == 0 && recorder?.due(after: produced) == 0 && code == Z_OK && stream.pointee.data_type & 0xC0 == 0x80
        return Int(count)
    }

    private func recordMember() {
        guard recorder?.due(after: produced) == 0 else { return }
        recorder?.hand(Checkpoint(compressedOffset: compressedPosition, uncompressedOffset: produced, startsMember: true))
    }

    private func recordBlock() throws(ArchiveError) {
        guard let packer else { return }
        let bits = UInt8(stream.pointee.data_type & 7)
        let window = [UInt8](unsafeUninitializedCapacity: PackedWindow.size) { buffer, count in
            var length: UInt32 = 0
            inflateGetDictionary(stream, buffer.baseAddress, &length)
            count = Int(length)
        }
        let previous = try lookAhead()
        let following = UnsafeRawBufferPointer(start: stream.pointee.next_in, count: Int(stream.pointee.avail_in))
        recorder?.hand(Checkpoint(
            compressedOffset: compressedPosition, bits: bits, uncompressedOffset: produced,
            window: try packer.pack(window, following: following, bits: bits, previous: previous), startsMember: false
        ))
    }

    private func noteLastTaken() {
        if let next = stream.pointee.next_in, next > inputStart { lastTaken = next[-1] }
    }

    /// Fills the buffer up where it has less than a packer wants to see. Returns the last byte that was taken out of it.
    private func lookAhead() throws(ArchiveError) -> UInt8 {
        let unread = Int(stream.pointee.avail_in)
        noteLastTaken()
        guard unread < Self.lookahead, !sourceEnded else { return lastTaken }
        if unread > 0 { input.copyMemory(from: UnsafeRawBufferPointer(start: stream.pointee.next_in, count: unread)) }
        stream.pointee.next_in = inputStart
        while !sourceEnded, Int(stream.pointee.avail_in) < Self.lookahead {
            let room = UnsafeMutableRawBufferPointer(rebasing: input[Int(stream.pointee.avail_in)...])
            let count = try ArchiveError.reading { try source.read(into: room) }
            sourceEnded = count == 0
            stream.pointee.avail_in += UInt32(count)
            pulled &+= UInt64(count)
        }
        return lastTaken
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
        if sourceEnded { return }
        noteLastTaken()
        let count = try ArchiveError.reading { try source.read(into: input) }
        stream.pointee.next_in = inputStart
        stream.pointee.avail_in = UInt32(count)
        sourceEnded = count == 0
        pulled &+= UInt64(count)
    }
}
