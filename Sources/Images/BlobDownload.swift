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

    /// Takes the blob from `source` until it is complete and verified: in pieces side by side where the source serves ranges and
    /// the blob is worth it, else in one stream.
    ///
    /// - Parameters:
    ///   - link: the way to the source, whose places the pieces share.
    ///   - received: told of every part that comes, in bytes.
    ///   - progress: told how much is there from the blob's start on.
    func run(
        from source: any BlobSource, over link: Link? = nil, for cause: FetchCause = .stream, received: @escaping @Sendable (Int) -> Void = { _ in },
        progress: @escaping @Sendable (UInt64) -> Void
    ) async throws {
        do {
            let found: Digest
            if let link, descriptor.size > BlobPieces.worthwhile, source.servesRanges {
                found = try await takePieces(from: source, over: link, for: cause, received, progress)
            } else {
                var hasher = DigestHasher()
                try await takeStream(from: source, at: 0, received) { bytes, head in
                    hasher.update(bytes)
                    arrived(head)
                    progress(head)
                }
                found = hasher.finish()
            }
            guard found == descriptor.digest else {
                throw ImageError.wrongDigest(of: "blob \(descriptor.digest) from \(source.name)", expected: descriptor.digest, found: found)
            }
            monitor.update { if $0.outcome == nil { $0.outcome = .success(()) } }
        } catch {
            monitor.update { if $0.outcome == nil { $0.outcome = .failure(error) } }
            throw error
        }
    }

    /// Everything up to `head` is in the file.
    private func arrived(_ head: UInt64) { monitor.update { $0.received = head } }

    private func takeStream(
        from source: any BlobSource, at start: UInt64, _ received: @Sendable (Int) -> Void, _ took: (UnsafeRawBufferPointer, _ head: UInt64) -> Void
    ) async throws {
        var head = start
        for try await part in try await source.blob(descriptor, range: start == 0 ? nil : start..<descriptor.size) {
            try part.withUnsafeReadableBytes { bytes in
                try file.write(bytes, at: head)
                head += UInt64(bytes.count)
                took(bytes, head)
            }
            received(part.readableBytes)
        }
    }

    /// Takes the blob in pieces and gives its digest. Where the source turns out to serve none, the rest comes in one stream.
    private func takePieces(
        from source: any BlobSource, over link: Link, for cause: FetchCause, _ received: @escaping @Sendable (Int) -> Void,
        _ progress: @escaping @Sendable (UInt64) -> Void
    ) async throws -> Digest {
        // Bytes that came before their turn are read again to be hashed: they are in the page cache.
        let hashing = try FollowingHash { [self] in try read(into: $0, at: $1) }
        let pieces = BlobPieces(descriptor, source, link, cause) { [self] bytes, offset in
            try file.write(bytes, at: offset)
            received(bytes.count)
        }
        let moved: @Sendable (UInt64) -> Void = { [self] head in
            arrived(head)
            hashing.advance(to: head)
            progress(head)
        }
        return try await withTaskCancellationHandler {
            do {
                let head = try await pieces.run(moved)
                if head < descriptor.size { try await takeStream(from: source, at: head, received) { moved($1) } }
                return try await hashing.finish(at: descriptor.size)
            } catch {
                hashing.abandon()
                throw error
            }
        } onCancel: {
            hashing.abandon()
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

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws -> Int {
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
