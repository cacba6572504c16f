import CZlib
import CZstd

/// Packs the windows of one gzip stream; keeps the tables of zlib and zstd from one to the next.
///
/// What of a window is referred to is found by inflating what follows twice, with two windows whose bytes at a position
/// differ in a way that tells the position: a byte of output that is the same both times does not come from the window.
final class WindowPacker {
    private static let level: Int32 = 3

    private var streams: [UnsafeMutablePointer<z_stream>] = []
    private let context: OpaquePointer
    private let outputs = (0..<2).map { _ in UnsafeMutableRawBufferPointer.allocate(byteCount: PackedWindow.size, alignment: 64) }

    /// For position i: low 8 bits of i, and that plus 1 to 128 by its high bits.
    private static let markers: [[UInt8]] = [
        (0..<PackedWindow.size).map { UInt8(truncatingIfNeeded: $0) },
        (0..<PackedWindow.size).map { UInt8(truncatingIfNeeded: $0 + 1 + $0 >> 8) },
    ]

    init() throws(ArchiveError) {
        guard let context = ZSTD_createCCtx() else { throw ArchiveError(.source, "zstd cannot start: out of memory") }
        self.context = context
        ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, Self.level)
    }

    deinit {
        for stream in streams {
            inflateEnd(stream)
            stream.deallocate()
        }
        for output in outputs { output.deallocate() }
        ZSTD_freeCCtx(context)
    }

    /// - Parameters:
    ///   - following: the compressed bytes from the checkpoint on, 64 KiB or as many as there are. Where they do not lead
    ///     to 32 KiB of output, what output further on could refer to is kept.
    ///   - bits: how many of the high bits of `previous`, the byte before, belong to what follows.
    func pack(
        _ window: consuming [UInt8], following: UnsafeRawBufferPointer, bits: UInt8, previous: UInt8
    ) throws(ArchiveError) -> [UInt8] {
        clearUnused(&window, following, bits: bits, previous: previous)
        return try pack(window)
    }

    /// Packs a window as it is.
    func pack(_ window: [UInt8]) throws(ArchiveError) -> [UInt8] {
        guard let first = window.firstIndex(where: { $0 != 0 }) else { return [] }
        let used = window[first...]
        var code = 0
        let packed = [UInt8](unsafeUninitializedCapacity: ZSTD_compressBound(used.count)) { buffer, count in
            code = used.withUnsafeBytes { ZSTD_compress2(context, buffer.baseAddress, buffer.count, $0.baseAddress, $0.count) }
            count = ZSTD_isError(code) != 0 ? 0 : code
        }
        guard ZSTD_isError(code) == 0 else { throw ArchiveError(.source, "zstd cannot go on: out of memory") }
        return packed
    }

    private func clearUnused(_ window: inout [UInt8], _ following: UnsafeRawBufferPointer, bits: UInt8, previous: UInt8) {
        // Positions count from 32 KiB before the checkpoint, also where the window is shorter.
        let missing = PackedWindow.size - window.count
        guard missing >= 0, let first = inflate(0, missing, following, bits, previous), let second = inflate(1, missing, following, bits, previous),
              first.count == second.count else { return }
        var isUsed = [Bool](repeating: false, count: window.count)
        for index in 0..<first.count where outputs[0][index] != outputs[1][index] {
            let high = Int(outputs[1][index] &- outputs[0][index] &- 1)
            let position = high << 8 | Int(outputs[0][index])
            guard position >= missing, position < PackedWindow.size else { return }
            isUsed[position - missing] = true
        }
        // Output that was not looked at can refer back to just so much. None comes where the member has ended.
        let seen = first.ended ? PackedWindow.size : first.count
        for index in window.indices where !isUsed[index] && index + missing < seen { window[index] = 0 }
    }

    /// Inflates up to 32 KiB with one of the marked windows; nil where zlib finds fault, which the reader will report.
    private func inflate(
        _ number: Int, _ missing: Int, _ following: UnsafeRawBufferPointer, _ bits: UInt8, _ previous: UInt8
    ) -> (count: Int, ended: Bool)? {
        guard let stream = rawStream(number) else { return nil }
        if bits > 0, inflatePrime(stream, Int32(bits), Int32(previous) >> (8 - Int32(bits))) != Z_OK { return nil }
        let marked = Self.markers[number][missing...]
        let set = marked.withUnsafeBufferPointer { inflateSetDictionary(stream, $0.baseAddress, UInt32($0.count)) }
        guard set == Z_OK else { return nil }
        stream.pointee.next_in = UnsafeMutablePointer(mutating: following.baseAddress?.assumingMemoryBound(to: UInt8.self))
        stream.pointee.avail_in = UInt32(following.count)
        stream.pointee.next_out = outputs[number].baseAddress?.assumingMemoryBound(to: UInt8.self)
        stream.pointee.avail_out = UInt32(PackedWindow.size)
        let code = CZlib.inflate(stream, Z_NO_FLUSH)
        guard code == Z_OK || code == Z_STREAM_END || code == Z_BUF_ERROR else { return nil }
        return (PackedWindow.size - Int(stream.pointee.avail_out), code == Z_STREAM_END)
    }

    private func rawStream(_ number: Int) -> UnsafeMutablePointer<z_stream>? {
        if number < streams.count { return inflateReset2(streams[number], -15) == Z_OK ? streams[number] : nil }
        let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
        stream.initialize(to: z_stream())
        guard larder_inflate_init(stream, -15) == Z_OK else {
            stream.deallocate()
            return nil
        }
        streams.append(stream)
        return stream
    }
}
