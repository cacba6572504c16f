import CZstd

/// The bytes before a checkpoint that decompression from there refers to, up to 32 KiB, as one zstd frame.
///
/// Of an ordinary window most bytes are never referred to. They are zero here, and zeros at its front are cut off: a window
/// is the *last* bytes before its checkpoint, and whatever is missing before them of the 32 KiB counts as zeros. A window
/// that is zeros altogether is left out.
public enum PackedWindow {
    /// Bytes of a window, unpacked: as far as deflate can refer back.
    public static let size = 32 << 10
    /// Bytes of a packed window at most: 32 KiB that do not compress, and room to spare.
    public static let packedLimit = 40 << 10

    /// Packs a window as it is, for whoever does not know what follows it. Empty where all of it is zero.
    public static func pack(_ window: some Collection<UInt8>) throws(ArchiveError) -> [UInt8] {
        try WindowPacker().pack(Array(window.suffix(size)))
    }

    /// The last bytes before the checkpoint; where fewer than 32 KiB, those before are zeros.
    /// - Throws: `.malformed` or `.limitExceeded`; never takes more memory than a window, whatever `packed` says.
    public static func unpack(_ packed: UnsafeRawBufferPointer) throws(ArchiveError) -> [UInt8] {
        guard !packed.isEmpty else { return [] }
        guard packed.count <= packedLimit else {
            throw ArchiveError(.limitExceeded, "a window of \(packed.count) bytes is over the limit of \(packedLimit)")
        }
        var problem = ""
        let window = [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            let code = ZSTD_decompress(buffer.baseAddress, buffer.count, packed.baseAddress, packed.count)
            if ZSTD_isError(code) != 0 { problem = String(cString: ZSTD_getErrorName(code)) }
            count = problem.isEmpty ? code : 0
        }
        guard problem.isEmpty else { throw ArchiveError(.malformed, "the window of a checkpoint cannot be read: \(problem)") }
        return window
    }

    /// As the other, of an array.
    public static func unpack(_ packed: [UInt8]) throws(ArchiveError) -> [UInt8] {
        try ArchiveError.reading { try packed.withUnsafeBytes { try unpack($0) } }
    }
}
