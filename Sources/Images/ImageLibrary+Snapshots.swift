import OCI
import Store
import TreeIndex

extension ImageLibrary {
    /// The merged tree of an image, or of its lowest `count` layers.
    public func snapshot(of image: Image, count: Int? = nil) async throws -> ContentTree {
        let wanted = image.layers.prefix(count ?? image.layers.count)
        let layers = try await withThrowingTaskGroup(of: (Int, LayerTree).self) { group in
            for (position, layer) in wanted.enumerated() {
                group.addTask { (position, try await self.tree(of: layer)) }
            }
            var trees: [LayerTree?] = Array(repeating: nil, count: wanted.count)
            for try await (position, tree) in group { trees[position] = tree }
            return trees.compactMap { $0 }
        }
        await offerTable[OfferTable.Key(image)]?.profile?.value
        let key = Self.snapshotKey(layers.map(\.contentKey))
        if let known = snapshots.withLock({ $0[key] }) { return known }
        return try await snapshotFlights.run(key) {
            let index = try await self.snapshotIndex(key, layers)
            let tree = ContentTree(snapshot: index, layers: layers)
            self.snapshots.withLock { $0[key] = tree }
            return tree
        }
    }

    /// Names the index of a snapshot in the store: by the layers' own trees, not by the ChainID. A ChainID is what an
    /// image *claims* until its layers are sealed, and one image's claim must not stand in another's place.
    static func snapshotKey(_ contentKeys: some Sequence<Digest>) -> Digest {
        Digest(of: Array(("snapshot\n" + contentKeys.map { "\($0)\n" }.joined()).utf8))
    }

    private func snapshotIndex(_ key: Digest, _ layers: [LayerTree]) async throws -> TreeIndex {
        try await workers.runIfActive { [store, logger] in
            if let index = try store.openTree(key), Self.fits(index, layers) { return index }
            let started = ContinuousClock.now
            let document = try SnapshotMerge.merge(layers.map { SnapshotMerge.Layer(index: $0.index, treeKey: $0.contentKey) })
            // One that does not fit is in the way: it was made of an index that has been made anew since.
            try store.remove(.tree(key))
            try store.publishTree(document, key)
            guard let index = try store.openTree(key) else { throw ImageError.unusableIndex(key) }
            logger.debug("merged a snapshot", metadata: ["layers": "\(layers.count)", "nodes": "\(index.view.nodeCount)", "took": "\(ContinuousClock.now - started)"])
            return index
        }
    }

    /// Whether a snapshot's index speaks of these layers: each node's place in its layer is relied on from here on.
    private static func fits(_ index: TreeIndex, _ layers: [LayerTree]) -> Bool {
        guard index.matches(layers: layers.map(\.index)) else { return false }
        return layers.indices.allSatisfy { index.view.layer($0).treeKey == layers[$0].contentKey }
    }
}
