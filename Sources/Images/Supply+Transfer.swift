import Archive
import LinuxIO
import NIOCore
import OCI
import Remote
import Store
import TreeIndex

/// One request on its way: bytes arrive, and each span is decompressed and verified as soon as its last one has.
extension Supply {
    typealias Landed = @Sendable (Int, Result<Void, any Error>) -> Void

    /// Brings the spans of a batch. `landed` is told of each that can be read or cannot be right; what keeps all the rest
    /// from coming is thrown.
    func transfer(_ batch: SpanBatch, of tree: LayerTree, landed: @escaping Landed) async throws {
        let request = batch.request
        for number in request.numbers {
            let span = tree.view.span(number)
            guard span.sourceLength <= Self.spanLimit, span.length <= Self.spanLimit else {
                throw ImageError.blob(tree.layer.descriptor, "span \(number) is \(span.sourceLength) bytes in the blob and \(span.length) unpacked; at most \(Self.spanLimit) are read at once")
            }
        }
        let size = Int(request.source.upperBound - request.source.lowerBound)
        var permits = try await memory.permits(request.numbers.map { Int(tree.view.span($0).length) } + [size], for: batch.cause)
        let own = permits.popLast()
        defer { withExtendedLifetime(own) {} }
        let compressed = try SpanBuffer(size)
        // By the position in the answer where each span is whole. A permit goes with its span, to be given back when that is on disk.
        var pending = zip(request.numbers, permits).map { Pending(number: $0, end: tree.sourceEnd($0) - request.source.lowerBound, permit: $1) }
        permits = []
        pending.sort { $0.end > $1.end }
        let isLocal = try await readStored(request.source, of: tree.layer, into: compressed)
        try await withThrowingTaskGroup(of: Void.self) { group in
            func settle(upTo received: UInt64) {
                while let item = pending.last, item.end <= received {
                    pending.removeLast()
                    group.addTask { landed(item.number, await self.settle(item.number, of: tree, compressed, at: request.source.lowerBound, item.permit, batch.cause)) }
                }
            }
            if !isLocal {
                try await receive(request.source, of: tree.layer, into: compressed, for: batch.cause) { settle(upTo: $0) }
            }
            settle(upTo: .max)
            try await group.waitForAll()
        }
    }

    private struct Pending {
        let number: Int
        let end: UInt64
        let permit: UrgencyGate.Permit
    }

    /// One range of a blob from its registry. `progress` is told how many bytes are there.
    private func receive(
        _ range: Range<UInt64>, of layer: ImageLayer, into buffer: SpanBuffer, for cause: FetchCause, progress: (UInt64) -> Void
    ) async throws {
        let link = links[layer.repository.host]
        let source = try remote.source(for: layer.repository)
        let asked = ContinuousClock.now
        ledger.requested(cause)
        let stream = try await source.blob(layer.descriptor, range: range)
        link.began(after: .now - asked)
        defer { link.ended() }
        var received = 0
        for try await part in stream {
            let count = part.readableBytes
            guard received + count <= buffer.bytes.count else { throw ArchiveError(.malformed, "more bytes came than were asked for") }
            part.withUnsafeReadableBytes { UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[received..<received + count]).copyMemory(from: $0) }
            received += count
            link.received(count)
            ledger.received(count, of: layer.descriptor.digest, for: cause)
            progress(UInt64(received))
        }
    }

    /// The same range from the blob in the store. False where it is not there.
    private func readStored(_ range: Range<UInt64>, of layer: ImageLayer, into buffer: SpanBuffer) async throws -> Bool {
        guard store.hasBlob(layer.descriptor.digest) else { return false }
        return try await workers.runIfActive {
            guard let blob = try store.openBlob(layer.descriptor.digest) else { return false }
            return try blob.read(into: buffer.bytes, at: range.lowerBound) == buffer.bytes.count
        }
    }

    /// Decompresses and verifies a span and makes it readable.
    private func settle(
        _ number: Int, of tree: LayerTree, _ compressed: SpanBuffer, at start: UInt64, _ permit: UrgencyGate.Permit, _ cause: FetchCause
    ) async -> Result<Void, any Error> {
        do {
            do {
                try await keep(number, of: tree, compressed, at: start, permit, cause)
            } catch let error as ArchiveError {
                // Wrong bytes are sometimes a passing fault of the way here, or of the disk. A second look at the source settles it.
                let span = tree.view.span(number)
                logger.warning("wrong bytes, asking again", metadata: ["blob": "\(tree.layer.descriptor.digest)", "from": "\(span.sourceOffset)", "reason": "\(error)"])
                let again = try SpanBuffer(Int(span.sourceLength))
                try await receive(span.sourceOffset..<tree.sourceEnd(number), of: tree.layer, into: again, for: cause) { _ in }
                do {
                    try await keep(number, of: tree, again, at: span.sourceOffset, permit, cause)
                } catch let error as ArchiveError {
                    throw ImageError.brokenPromise(
                        tree.layer.descriptor, "bytes \(span.sourceOffset) to \(tree.sourceEnd(number)) are not what its index promises: \(error)")
                }
            }
            return .success(())
        } catch {
            return .failure(error)
        }
    }

    private func keep(
        _ number: Int, of tree: LayerTree, _ compressed: SpanBuffer, at start: UInt64, _ permit: UrgencyGate.Permit, _ cause: FetchCause
    ) async throws {
        let work: @Sendable () throws -> Void = {
            let began = ContinuousClock.now
            let span = tree.view.span(number)
            let content = try SpanBuffer(Int(span.length))
            let source = compressed.part(Int(span.sourceOffset - start), Int(span.sourceLength))
            try SpanContent.decode(number, of: tree, from: source, at: span.sourceOffset, into: content.bytes)
            activity.decoded(span.length, in: .now - began)
            fresh.insert(content, number, of: tree, permit)
        }
        if cause.canWait { try await idly(work) } else { try await workers.runIfActive(work) }
    }
}

extension LayerTree {
    /// Where a span's bytes end in the blob.
    func sourceEnd(_ number: Int) -> UInt64 {
        let span = view.span(number)
        return span.sourceOffset + span.sourceLength
    }
}
