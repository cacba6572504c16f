import Archive
import LinuxIO
import OCI
import Remote
import Store
import TreeIndex

extension ImageLibrary {
    /// The tree of a layer, from the first of these that has it: the store (proven whole, by its table of contents, or by
    /// an index from its registry); the table of contents in the blob; an index beside the image in its registry; a stream of
    /// the whole blob, whose index is then kept for ever.
    public func tree(of layer: ImageLayer) async throws -> LayerTree {
        try await layerFlights.run(layer) {
            if let tree = try await self.blocking({ try self.storedTree(of: layer) }) { return tree }
            let lease = try await self.store.exclusive("layer-\(layer.descriptor.digest.hex)")
            defer { _ = lease }
            // Another process may have done the work while this one waited.
            if let tree = try await self.blocking({ try self.storedTree(of: layer) }) { return tree }
            if let tree = try await self.treeFromTable(of: layer) { return tree }
            if let tree = try await self.treeFromRegistry(of: layer) { return tree }
            return try await self.stream(layer)
        }
    }

    /// A layer that is being streamed, for readers that follow behind its head. Starts the stream where nothing else can
    /// serve the layer; nil where the whole tree was to be had at once.
    public func streaming(_ layer: ImageLayer) async throws -> LayerStream? {
        try await withThrowingTaskGroup(of: LayerStream?.self) { group in
            group.addTask {
                _ = try await self.tree(of: layer)
                return nil
            }
            group.addTask { try await self.streams.next(layer.descriptor.digest) }
            // The work that `tree` has begun goes on without this waiter.
            defer { group.cancelAll() }
            return try await group.next() ?? nil
        }
    }

    // MARK: - From the store

    /// The layer's tree if its index is in the store: the sealed one first, then one from its table of contents, then one
    /// that this repository has beside an image.
    func storedTree(of layer: ImageLayer) throws -> LayerTree? {
        if let sealed = try sealedTree(of: layer) { return sealed }
        if let table = LayerTable(layer.descriptor) { return try openTree(table.key, layer)?.tree }
        return options.indexTrust == .none ? nil : try openTree(AdoptedIndex.slot(of: layer), layer)?.tree
    }

    /// The layer's tree if the whole layer was proven.
    func sealedTree(of layer: ImageLayer) throws -> LayerTree? {
        guard let sealed = try openTree(layer.descriptor.digest, layer) else { return nil }
        guard let proven = sealed.diffID else { throw ImageError.unusableIndex(layer.descriptor.digest) }
        guard proven == layer.diffID else {
            throw ImageError.wrongDigest(of: "the uncompressed layer \(layer.descriptor.digest)", expected: layer.diffID, found: proven)
        }
        return sealed.tree
    }

    /// Opens an index once: it is validated whole, which takes its time. Indexes with one content key (before and after
    /// sealing) share one `LayerTree`, so that presence and flights are shared too.
    func openTree(_ key: Digest, _ layer: ImageLayer) throws -> KnownTree? {
        if let known = trees.withLock({ $0[key] }), store.hasTree(key) { return known }
        guard let index = try store.openTree(key) else { return nil }
        guard let identity = index.identity else { throw ImageError.unusableIndex(key) }
        let tree = try LayerTree(index, identity, layer: layer, supply: supply) { [weak self] in
            try await self?.restream(layer)
        }
        tree.succession.arrange { [weak self] tree, error in
            guard let self else { throw error }
            return try await self.settle(tree, because: error)
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
            let tree = try await blocking {
                _ = try self.store.publishTree(try TableIndex.build(contents, format, layer: layer, table: table), table.key)
                guard let tree = try self.openTree(table.key, layer)?.tree else { throw ImageError.unusableIndex(table.key) }
                self.keepLandmark(contents.prefetchLength, of: tree)
                return tree
            }
            // Tables of 60,000 files left some 25 MB of small pieces behind.
            Heap.trim()
            logger.info("layer indexed from its table of contents", metadata: ["layer": "\(layer.descriptor.digest)", "format": "\(format.name)", "files": "\(tree.view.nodeCount)"])
            return tree
        } catch let error where error is ArchiveError || error is TreeIndexError || error is ImageError {
            // The table is no good. The tar stream itself is proven by the blob's digest, so it decides.
            logger.error("table of contents refused; streaming the layer", metadata: ["layer": "\(layer.descriptor.digest)", "reason": "\(error)"])
            return nil
        }
    }
}

/// An opened layer, and the DiffID that its index says was proven.
struct KnownTree: Sendable {
    let tree: LayerTree
    let diffID: Digest?
}
