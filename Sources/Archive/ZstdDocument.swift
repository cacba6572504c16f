import CZstd

/// A document in memory as one zstd frame.
public enum ZstdDocument {
    /// More than the default: it is packed once and fetched often.
    private static let level: Int32 = 9

    /// The same bytes always make the same frame with one version of libzstd.
    public static func pack(_ bytes: UnsafeRawBufferPointer) throws(ArchiveError) -> [UInt8] {
        var problem = ""
        let packed = [UInt8](unsafeUninitializedCapacity: ZSTD_compressBound(bytes.count)) { buffer, count in
            let code = ZSTD_compress(buffer.baseAddress, buffer.count, bytes.baseAddress, bytes.count, level)
            if ZSTD_isError(code) != 0 { problem = String(cString: ZSTD_getErrorName(code)) }
            count = problem.isEmpty ? code : 0
        }
        guard problem.isEmpty else { throw ArchiveError(.malformed, subject: "zstd", problem) }
        return packed
    }

    /// The document of exactly `count` bytes, whatever size `packed` claims for it.
    /// - Throws: `.malformed` where it has another size, or is no zstd.
    public static func unpack(_ packed: [UInt8], count: Int) throws(ArchiveError) -> [UInt8] {
        var problem = ""
        let bytes = packed.withUnsafeBytes { packed in
            [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
                let code = ZSTD_decompress(buffer.baseAddress, buffer.count, packed.baseAddress, packed.count)
                if ZSTD_isError(code) != 0 { problem = String(cString: ZSTD_getErrorName(code)) }
                filled = problem.isEmpty ? code : 0
            }
        }
        guard problem.isEmpty else { throw ArchiveError(.malformed, subject: "zstd", problem) }
        guard bytes.count == count else { throw ArchiveError(.malformed, subject: "zstd", "\(bytes.count) bytes where \(count) were promised") }
        return bytes
    }
}
