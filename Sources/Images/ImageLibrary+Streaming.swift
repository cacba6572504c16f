import Archive
import LinuxIO
import OCI
import Remote
import Store
import TreeIndex

/// A layer from its whole blob, in one pass.
extension ImageLibrary {
    /// Bytes that nobody has proven yet could not be unpacked: they may be wrong, and the layer right.
    private struct DoubtfulBytes: Error {
        let cause: any Error
    }

    /// Streams the layer: fetches the blob into the store while it is unpacked into an index, spans and objects. What
    /// looks like wrong bytes from the network is asked for once more.
    ///
    /// The caller holds the layer's lease.
    func stream(_ layer: ImageLayer) async throws -> LayerTree {
        let started = ContinuousClock.now
        let stream = LayerStream(layer: layer, store: store)
        streams.insert(stream)
        defer { streams.remove(stream) }
        do {
            observe(layer, .started, 0)
            try await unpackTwice(stream)
            let tree = try await blocking {
                guard let tree = try self.storedTree(of: layer) else { throw ImageError.unusableIndex(layer.descriptor.digest) }
                try tree.refreshPresence()
                return tree
            }
            stream.end(.success(tree))
            observe(layer, .done, layer.descriptor.size)
            logger.info("layer unpacked and sealed", metadata: ["layer": "\(layer.descriptor.digest)", "files": "\(tree.view.nodeCount)", "took": "\(ContinuousClock.now - started)"])
            return tree
        } catch {
            stream.end(.failure(error))
            throw error
        }
    }

    private func unpackTwice(_ stream: LayerStream) async throws {
        let digest = stream.layer.descriptor.digest
        let reason: any Error
        do {
            return try await unpack(stream)
        } catch ImageError.wrongDigest(let what, let expected, let found) where expected == digest {
            reason = ImageError.wrongDigest(of: what, expected: expected, found: found)
        } catch let error as DoubtfulBytes {
            reason = error.cause
        }
        logger.warning("wrong bytes, asking again", metadata: ["blob": "\(digest)", "reason": "\(reason)"])
        do { try await unpack(stream) } catch let error as DoubtfulBytes { throw error.cause }
    }

    private func unpack(_ stream: LayerStream) async throws {
        let layer = stream.layer
        let temporary: TemporaryFile?
        let download: BlobDownload
        if let blob = try await blocking({ try self.provenBlob(of: layer) }) {
            temporary = nil
            download = blob
        } else {
            let file = try store.temporary("blob")
            temporary = file
            download = BlobDownload(layer.descriptor, into: try file.descriptor.duplicate())
        }
        let source = try remote.source(for: layer.repository)
        stream.begin(download)
        do {
            // Whichever fails first ends the other: no gigabytes for a layer that cannot be unpacked.
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { [unpackers, store] in
                    try await unpackers.runIfActive {
                        try LayerUnpacker(layer: layer, store: store, download: download, stream: stream, hidesBookkeeping: LayerTable(layer.descriptor) != nil).run()
                    }
                }
                if let temporary {
                    group.addTask {
                        self.supply.ledger.requested(.stream)
                        try await download.run(from: source, over: self.supply.links[layer.repository.host]) {
                            self.supply.ledger.received($0, of: layer.descriptor.digest, for: .stream)
                        } progress: {
                            self.observe(layer, .downloading, $0)
                        }
                        stream.advance()
                        try await self.blocking { _ = try self.store.publishBlob(temporary, layer.descriptor.digest) }
                        self.observe(layer, .unpacking, layer.descriptor.size)
                    }
                }
                while try await group.next() != nil {}
            }
        } catch {
            // The unpacker sees a failed download as a failed read.
            let cause = (error as? ArchiveError)?.underlying ?? error
            guard cause is ArchiveError || cause is TreeIndexError else { throw cause }
            let named = ImageError.blob(layer.descriptor, "\(cause)")
            if download.verified { throw named }
            throw DoubtfulBytes(cause: named)
        }
    }

    /// The layer's blob from the store, read whole and hashed anew: what is unpacked from it would outlive any damage.
    private func provenBlob(of layer: ImageLayer) throws -> BlobDownload? {
        guard let file = try store.openProvenBlob(layer.descriptor.digest) else { return nil }
        return BlobDownload(present: layer.descriptor, file: file)
    }

    /// Brings back content of a streamed layer that has gone from the store. The same bytes make the same spans.
    func restream(_ layer: ImageLayer) async throws {
        try await restoreFlights.run(layer.descriptor.digest) {
            let lease = try await self.store.exclusive("layer-\(layer.descriptor.digest.hex)")
            defer { _ = lease }
            // Another process may have brought it back while this one waited.
            if try await self.blocking({ try self.storedTree(of: layer)?.isCompleteNow() ?? false }) { return }
            _ = try await self.stream(layer)
        }
    }
}
