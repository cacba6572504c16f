import Archive
import OCI

/// A layer's uncompressed bytes on their way to the tar reader: hashed for the DiffID, and cut into spans at checkpoints.
///
/// A `TarReader` takes no byte before it needs it, so whoever reads through one has acted on all bytes of earlier reads when
/// it asks for more. A finished span is therefore handed out at the *next* read: whose content it holds is known then.
/// In memory are the span in hand and those that the last read has finished: `LayerUnpacker.spanLimit` and a little.
final class SpanTee: ByteReader {
    /// One span's bytes.
    struct Stretch {
        /// Offset in the tar stream.
        let start: UInt64
        var bytes: [UInt8]
        /// nil where no checkpoint came in time.
        let checkpoint: Checkpoint?
        /// Where in the blob its compressed bytes end.
        var sourceEnd: UInt64 = 0

        var end: UInt64 { start + UInt64(bytes.count) }
    }

    /// Where the reader below leaves its checkpoints.
    private final class Mailbox {
        var checkpoint: Checkpoint?
    }

    private let mailbox = Mailbox()
    private let source: LayerReader
    private let blobSize: UInt64
    private let sink: (Stretch) throws -> Void
    private var hasher = DigestHasher()
    private var current = Stretch(start: 0, bytes: [], checkpoint: nil)
    private var finished: [Stretch] = []
    /// Cut at checkpoints so far. Once that failed, spans cannot be fetched by themselves and are cut anywhere.
    private var hasStarts = true

    var compression: Compression { source.compression }

    /// - Parameter sink: takes every finished span, in order.
    init(_ blob: any ByteReader, blobSize: UInt64, sink: @escaping (Stretch) throws -> Void) throws {
        self.blobSize = blobSize
        self.sink = sink
        source = try LayerReader(blob, cutsEvery: UInt64(LayerUnpacker.spanSize)) { [mailbox] in mailbox.checkpoint = $0 }
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        try handOut()
        let count = try source.read(into: buffer)
        // It lies at the end of what earlier reads have returned.
        if let checkpoint = mailbox.checkpoint.take(), hasStarts { cut(at: checkpoint) }
        let bytes = UnsafeRawBufferPointer(rebasing: buffer[..<count])
        hasher.update(bytes)
        take(bytes)
        return count
    }

    /// Reads what is left, which also checks the compression's own checksum at the end; hands out the last span and gives
    /// the DiffID.
    func finish() throws -> Digest {
        try withUnsafeTemporaryAllocation(byteCount: 256 << 10, alignment: 64) { buffer in
            while try read(into: buffer) > 0 {}
        }
        finishSpan(sourceEnd: blobSize)
        try handOut()
        return hasher.finish()
    }

    private func take(_ bytes: UnsafeRawBufferPointer) {
        var rest = bytes
        while !rest.isEmpty {
            let limit = hasStarts ? LayerUnpacker.spanLimit : LayerUnpacker.spanSize
            let count = min(rest.count, limit - current.bytes.count)
            current.bytes.append(contentsOf: UnsafeRawBufferPointer(rebasing: rest[..<count]))
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
            // A span that is full waits for one byte more: the checkpoint may lie right here.
            if current.bytes.count == limit, !rest.isEmpty {
                hasStarts = false
                finishSpan(sourceEnd: 0)
                begin(nil)
            }
        }
    }

    private func cut(at checkpoint: Checkpoint) {
        finishSpan(sourceEnd: checkpoint.compressedOffset)
        begin(checkpoint)
    }

    private func finishSpan(sourceEnd: UInt64) {
        guard !current.bytes.isEmpty else { return }
        current.sourceEnd = sourceEnd
        finished.append(current)
        current = Stretch(start: current.end, bytes: [], checkpoint: nil)
    }

    private func begin(_ checkpoint: Checkpoint?) {
        current = Stretch(start: current.end, bytes: [], checkpoint: checkpoint)
        current.bytes.reserveCapacity(LayerUnpacker.spanSize + (512 << 10))
    }

    private func handOut() throws {
        guard !finished.isEmpty else { return }
        let ready = finished
        finished.removeAll()
        for stretch in ready { try sink(stretch) }
    }
}
