import Archive
import OCI

/// Passes a layer's uncompressed bytes on and computes their digest, the DiffID.
final class DiffIDReader: ByteReader {
    private let source: any ByteReader
    private var hasher = DigestHasher()

    init(_ source: any ByteReader) { self.source = source }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        let count = try source.read(into: buffer)
        hasher.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        return count
    }

    /// Reads what is left, which also checks the compression's own checksum at the end, and gives the DiffID.
    func finish() throws -> Digest {
        try withUnsafeTemporaryAllocation(byteCount: 256 << 10, alignment: 64) { buffer in
            while try read(into: buffer) > 0 {}
        }
        return hasher.finish()
    }
}
