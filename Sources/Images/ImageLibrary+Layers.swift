import Archive
import LinuxIO
import OCI
import Remote
import Store
import TreeIndex

extension ImageLibrary {
    /// The tree of a layer, from the first of these that has it: the store (proven whole, or by its table of contents);
    /// the table of contents in the blob; a stream of the whole blob, whose index is then kept for ever.
    public func tree(of layer: ImageLayer) async throws -> LayerTree {
        try await layerFlights.run(layer) {
            if let tree = try self.storedTree(of: layer) { return tree }
            let lease = try await self.store.exclusive("layer-\(layer.descriptor.digest.hex)")
            defer { _ = lease }
            // Another process may have done the work while this one waited.
            if let tree = try self.storedTree(of: layer) { return tree }
            if let tree = try await self.treeFromTable(of: layer) { return tree }
            return try await self.stream(layer)
        }
    }

    /// A layer that is being streamed, for readers that follow behind its head. Starts the stream where nothing else can
    /// serve the layer; nil where the whole tree was to be had at once.
    public func streaming(_ layer: ImageLayer) async throws -> LayerStream? {
        while true {
            if let stream = streams.withLock({ $0[layer.descriptor.digest] }) { return stream }
            do {
                _ = try await within(.milliseconds(20)) { try await self.tree(of: layer) }
                return nil
            } catch is DeadlineExceeded {
                // The flight goes on; by now it may have become a stream.
            }
        }
    }

    // MARK: - From the store

    /// The layer's tree if its index is in the store: the sealed one first, then one from its table of contents.
    func storedTree(of layer: ImageLayer) throws -> LayerTree? {
        if let sealed = try openTree(layer.descriptor.digest, layer) {
            guard let proven = sealed.diffID else { throw ImageError.unusableIndex(layer.descriptor.digest) }
            guard proven == layer.diffID else {
                throw ImageError.wrongDigest(of: "the uncompressed layer \(layer.descriptor.digest)", expected: layer.diffID, found: proven)
            }
            return sealed.tree
        }
        guard let table = LayerTable(layer.descriptor) else { return nil }
        return try openTree(table.key, layer)?.tree
    }

    /// Opens an index once: it is validated whole, which takes its time. Indexes with one content key (before and after
    /// sealing) share one `LayerTree`, so that presence and flights are shared too.
    private func openTree(_ key: Digest, _ layer: ImageLayer) throws -> KnownTree? {
        if let known = trees.withLock({ $0[key] }), store.hasTree(key) { return known }
        guard let index = try store.openTree(key) else { return nil }
        guard let identity = index.identity else { throw ImageError.unusableIndex(key) }
        let tree = try LayerTree(index, identity, layer: layer, supply: supply) { [weak self] in
            try await self?.restream(layer)
        }
        return trees.withLock { trees in
            let shared = trees.values.first { $0.tree.contentKey == identity.contentKey }?.tree ?? tree
            let known = KnownTree(tree: shared, diffID: identity.diffID)
            trees[key] = known
            return known
        }
    }

    // MARK: - From the table of contents

    private func treeFromTable(of layer: ImageLayer) async throws -> LayerTree? {
        guard let table = LayerTable(layer.descriptor) else { return nil }
        do {
            let (contents, format) = try await table.read(layer, supply)
            try await workers.runIfActive { [store] in
                _ = try store.publishTree(try TableIndex.build(contents, format, layer: layer, table: table), table.key)
            }
            guard let tree = try openTree(table.key, layer)?.tree else { throw ImageError.unusableIndex(table.key) }
            logger.info("layer indexed from its table of contents", metadata: ["layer": "\(layer.descriptor.digest)", "format": "\(format.name)", "files": "\(tree.view.nodeCount)"])
            return tree
        } catch let error where error is ArchiveError || error is TreeIndexError || error is ImageError {
            // The table is no good. The tar stream itself is proven by the blob's digest, so it decides.
            logger.error("table of contents refused; streaming the layer", metadata: ["layer": "\(layer.descriptor.digest)", "reason": "\(error)"])
            return nil
        }
    }

    // MARK: - From the whole blob

    /// Streams the layer once: fetches the blob into the store while it is unpacked into an index, spans and objects.
    /// The caller holds the layer's lease.
    func stream(_ layer: ImageLayer) async throws -> LayerTree {
        do {
            return try await streamOnce(layer)
        } catch ImageError.wrongDigest(let what, let expected, let found) where expected == layer.descriptor.digest {
            logger.warning("wrong bytes, asking again", metadata: ["blob": "\(layer.descriptor.digest)", "reason": "\(ImageError.wrongDigest(of: what, expected: expected, found: found))"])
            return try await streamOnce(layer)
        }
    }

    private func streamOnce(_ layer: ImageLayer) async throws -> LayerTree {
        let digest = layer.descriptor.digest
        let started = ContinuousClock.now
        let temporary: TemporaryFile?
        let download: BlobDownload
        if let blob = try store.openBlob(digest) {
            temporary = nil
            download = BlobDownload(present: layer.descriptor, file: blob)
        } else {
            let file = try store.temporary("blob")
            temporary = file
            download = BlobDownload(layer.descriptor, into: try file.descriptor.duplicate())
        }
        let source = try remote.source(for: layer.repository)
        let stream = LayerStream(layer: layer, store: store, download: download)
        streams.withLock { $0[digest] = stream }
        defer { streams.withLock { $0[digest] = nil } }
        do {
            observe(layer, .started, 0)
            // Whichever fails first ends the other: no gigabytes for a layer that cannot be unpacked.
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { [workers, store] in
                    try await workers.runIfActive {
                        try LayerUnpacker(layer: layer, store: store, download: download, stream: stream, hidesBookkeeping: LayerTable(layer.descriptor) != nil).run()
                    }
                }
                if let temporary {
                    group.addTask {
                        try await download.run(from: source) { self.observe(layer, .downloading, $0) }
                        stream.advance()
                        try self.store.publishBlob(temporary, digest)
                        self.observe(layer, .unpacking, layer.descriptor.size)
                    }
                }
                while try await group.next() != nil {}
            }
            guard let tree = try storedTree(of: layer) else { throw ImageError.unusableIndex(digest) }
            try tree.refreshPresence()
            stream.end(.success(tree))
            observe(layer, .done, layer.descriptor.size)
            logger.info("layer unpacked and sealed", metadata: ["layer": "\(digest)", "files": "\(tree.view.nodeCount)", "took": "\(ContinuousClock.now - started)"])
            return tree
        } catch {
            // The unpacker sees a failed download as a failed read.
            let cause = (error as? ArchiveError)?.underlying ?? error
            let named = cause is ArchiveError || cause is TreeIndexError ? ImageError.blob(layer.descriptor, "\(cause)") : cause
            stream.end(.failure(named))
            throw named
        }
    }

    /// Brings back content of a streamed layer that has gone from the store. The same bytes make the same spans.
    fileprivate func restream(_ layer: ImageLayer) async throws {
        let lease = try await store.exclusive("layer-\(layer.descriptor.digest.hex)")
        defer { _ = lease }
        _ = try await stream(layer)
    }
}

/// An opened layer, and the DiffID that its index says was proven.
struct KnownTree: Sendable {
    let tree: LayerTree
    let diffID: Digest?
}
