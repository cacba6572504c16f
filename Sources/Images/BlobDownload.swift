import Archive
import LinuxIO
import NIOCore
import OCI
import Remote
import Store

/// A whole blob on its way from its source into the store.
///
/// The bytes go into a temporary file while their digest is computed, and a layer can be unpacked from that file behind
/// the arriving bytes. Nothing that was made from them may be shown before `verified`: until the last byte has been
/// hashed nobody can say that the first one is right.
final class BlobDownload: Sendable {
    struct State: Sendable {
        var received: UInt64 = 0
        var outcome: Result<Void, any Error>?
    }

    let descriptor: Descriptor
    private let file: OwnedDescriptor
    private let monitor = Monitor(State())

    /// A blob that is in the store already: verified from the start.
    init(present descriptor: Descriptor, file: consuming OwnedDescriptor) {
        self.descriptor = descriptor
        self.file = file
        monitor.update { state in
            state.received = descriptor.size
            state.outcome = .success(())
        }
    }

    init(_ descriptor: Descriptor, into file: consuming OwnedDescriptor) {
        self.descriptor = descriptor
        self.file = file
    }

    /// Every byte is there and hashes to the descriptor's digest.
    var verified: Bool {
        monitor.read { if case .success? = $0.outcome { true } else { false } }
    }

    /// Ends every wait for bytes that have not come. What is verified stays so.
    func cancel() {
        monitor.update { state in
            if state.outcome == nil { state.outcome = .failure(CancellationError()) }
        }
    }

    /// Takes the blob from `source` until it is complete and verified.
    func run(from source: any BlobSource, progress: @Sendable (UInt64) -> Void) async throws {
        do {
            var hasher = DigestHasher()
            var received: UInt64 = 0
            for try await part in try await source.blob(descriptor, range: nil) {
                try part.withUnsafeReadableBytes { bytes in
                    try file.write(bytes, at: received)
                    hasher.update(bytes)
                }
                received += UInt64(part.readableBytes)
                let now = received
                monitor.update { $0.received = now }
                progress(received)
            }
            let found = hasher.finish()
            guard found == descriptor.digest else {
                throw ImageError.wrongDigest(of: "blob \(descriptor.digest) from \(source.name)", expected: descriptor.digest, found: found)
            }
            monitor.update { if $0.outcome == nil { $0.outcome = .success(()) } }
        } catch {
            monitor.update { if $0.outcome == nil { $0.outcome = .failure(error) } }
            throw error
        }
    }

    /// Blocks until the blob is verified; throws what went wrong with it.
    func waitUntilVerified() throws { try monitor.wait { $0.outcome }.get() }

    /// Blocks until more than `offset` bytes are there. Returns how many are, or nil at the blob's end.
    fileprivate func wait(beyond offset: UInt64) throws -> UInt64? {
        let answer: Result<UInt64?, any Error> = monitor.wait { state in
            if state.received > offset { return .success(state.received) }
            switch state.outcome {
            case .success?: return .success(nil)
            case .failure(let error)?: return .failure(error)
            case nil: return nil
            }
        }
        return try answer.get()
    }

    fileprivate func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws -> Int {
        try file.read(into: buffer, at: offset)
    }
}

/// Reads a download from its start, waiting for bytes that are still to come. For a worker thread: it blocks.
final class BlobDownloadReader: ByteReader {
    private let download: BlobDownload
    private var offset: UInt64 = 0

    init(_ download: BlobDownload) { self.download = download }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        guard let available = try download.wait(beyond: offset) else { return 0 }
        let count = Int(min(UInt64(buffer.count), available - offset))
        let read = try download.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<count]), at: offset)
        offset += UInt64(read)
        return read
    }
}
