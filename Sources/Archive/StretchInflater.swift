import CIsal

/// Inflates a stretch of one gzip member (RFC 1952) that is all in memory, from its start or from between two blocks on, more than
/// twice as fast as zlib does.
///
/// It knows what nearly every span is and nothing else: no member after the first, no checksum, no word on what is wrong.
/// `GzipReader` knows all that, and has the last word wherever this one gives up or what it made has another digest.
struct StretchInflater: ~Copyable {
    private let state: UnsafeMutablePointer<inflate_state>

    init() { state = .allocate(capacity: 1) }

    deinit { state.deallocate() }

    /// - Parameters: as for `SpanDecoder.decode`.
    /// - Returns: whether `output` is full. If not, what is in it means nothing.
    func inflate(
        _ source: UnsafeRawBufferPointer, bits: UInt8, window: [UInt8], startsMember: Bool, into output: UnsafeMutableRawBufferPointer
    ) -> Bool {
        guard var input = source.baseAddress, var left = UInt32(exactly: source.count), let room = UInt32(exactly: output.count) else { return false }
        isal_inflate_init(state)
        if startsMember {
            var header = isal_gzip_header()
            isal_gzip_header_init(&header)
            state.pointee.next_in = UnsafeMutablePointer(mutating: input.assumingMemoryBound(to: UInt8.self))
            state.pointee.avail_in = left
            guard isal_read_gzip_header(state, &header) == ISAL_DECOMP_OK else { return false }
        } else {
            guard window.count <= PackedWindow.size, bits < 8 else { return false }
            if bits > 0 {
                guard left > 0 else { return false }
                state.pointee.read_in = UInt64(input.load(as: UInt8.self) >> (8 - bits))
                state.pointee.read_in_length = Int32(bits)
                input += 1
                left -= 1
            }
            // What packing has cut off is zeros, and may be referred to all the same.
            var whole = [UInt8](repeating: 0, count: PackedWindow.size - window.count) + window
            guard isal_inflate_set_dict(state, &whole, UInt32(whole.count)) == ISAL_DECOMP_OK else { return false }
            state.pointee.next_in = UnsafeMutablePointer(mutating: input.assumingMemoryBound(to: UInt8.self))
            state.pointee.avail_in = left
        }
        state.pointee.next_out = output.baseAddress?.assumingMemoryBound(to: UInt8.self)
        state.pointee.avail_out = room
        while state.pointee.avail_out > 0 {
            let (unread, unfilled) = (state.pointee.avail_in, state.pointee.avail_out)
            guard isal_inflate(state) == ISAL_DECOMP_OK, state.pointee.block_state != ISAL_BLOCK_FINISH || state.pointee.avail_out == 0 else { return false }
            guard state.pointee.avail_in < unread || state.pointee.avail_out < unfilled else { return false }
        }
        return true
    }
}
