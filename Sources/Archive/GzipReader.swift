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

    /// - Parameter inputSize: bytes asked of `source` at a time.
    public init(_ source: any ByteReader, inputSize: Int = 256 << 10) throws(ArchiveError) {
        self.source = source
        input = .allocate(byteCount: max(inputSize, 1), alignment: 64)
        stream = .allocate(capacity: 1)
        stream.initialize(to: z_stream())
        // 31: a 32 KiB window, and nothing but gzip.
        guard larder_inflate_init(stream, 31) == Z_OK else { throw ArchiveError(.source, "zlib cannot start: out of memory") }
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
                    inflateReset(stream)
                    state = .inside(members: members)
                }
            case .inside(let members):
                let count = try inflate(members, into: buffer)
                if count > 0 { return count }
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
        let code = CZlib.inflate(stream, Z_NO_FLUSH)
        mayHoldOutput = stream.pointee.avail_out == 0
        switch code {
        case Z_OK:
            break
        case Z_STREAM_END:
            mayHoldOutput = false
            state = .between(members: members + 1)
        case Z_BUF_ERROR:
            if starved { throw ArchiveError(.truncated, "the gzip stream ends inside member \(members + 1)") }
        case Z_MEM_ERROR:
            throw ArchiveError(.source, "zlib cannot go on: out of memory")
        default:
            let message = stream.pointee.msg.map { String(cString: $0) } ?? "code \(code)"
            throw ArchiveError(.malformed, "gzip member \(members + 1), near byte \(compressedPosition): \(message)")
        }
        return Int(room - stream.pointee.avail_out)
    }

    private func passPadding() throws(ArchiveError) {
        while stream.pointee.avail_in > 0 {
            guard stream.pointee.next_in.pointee == 0 else {
                throw ArchiveError(.malformed, "byte \(compressedPosition) of the gzip stream is neither a member nor padding")
            }
            stream.pointee.next_in += 1
            stream.pointee.avail_in -= 1
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
