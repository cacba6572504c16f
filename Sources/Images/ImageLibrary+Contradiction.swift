import OCI
import Store
import TreeIndex

/// What happens when a layer's bytes are not what an index from a registry says. The layer decides: it is read whole, which
/// its own digest proves.
extension ImageLibrary {
    /// Puts the layer's own tree in the place of one that was adopted. Returns the tree that serves the old one's nodes.
    ///
    /// - Parameter error: what is wrong with the old one; thrown where the new tree has other nodes, so that who still reads
    ///   in the old one cannot be helped.
    func settle(_ tree: LayerTree, because error: any Error) async throws -> LayerTree {
        if let heir = tree.succession.current { return heir }
        try await settlements.run(tree.contentKey) {
            let lease = try await self.store.exclusive("layer-\(tree.layer.descriptor.digest.hex)")
            defer { _ = lease }
            try await self.settleAlone(tree, because: error)
        }
        guard let heir = tree.succession.current else { throw error }
        return heir
    }

    /// Seals a layer whose content is all here; where it contradicts an index from a registry, the layer decides.
    func sealOrSettle(_ tree: LayerTree) async throws {
        do {
            try await sealIfComplete(tree)
        } catch let error as SealError where tree.isAdopted {
            _ = try await settle(tree, because: error)
        }
    }

    private func settleAlone(_ tree: LayerTree, because error: any Error) async throws {
        let layer = tree.layer
        guard tree.isAdopted, !tree.succession.isSettled else { return }
        let known = try await blocking { try self.sealedTree(of: layer) }
        // Proven whole: then it is what came over the network that was wrong, or what is on the disk.
        if let known, known.contentKey == tree.contentKey { throw error }
        logger.warning("the layer is not what its index from the registry says; reading the layer itself", metadata: [
            "layer": "\(layer.descriptor.digest)", "index": "\(tree.indexSource.rawValue)", "reason": "\(error)",
        ])
        // Where the layer cannot be had, nothing is known of who is wrong, and the index stays.
        let proven = if let known { known } else { try await stream(layer) }
        await supply.fresh.settle()
        try await blocking { try self.supersede(tree, by: proven, because: error) }
    }

    /// Takes an adopted index out of use if it names other things than the layer, which was read whole meanwhile.
    func compare(_ tree: LayerTree, with proven: LayerTree) throws {
        guard tree.contentKey != proven.contentKey, !tree.hasSameNodes(as: proven) else { return }
        try supersede(tree, by: proven, because: SealError(description: "the layer has other files than the index"))
    }

    /// Takes an adopted index out of use now that the layer itself has been read.
    private func supersede(_ tree: LayerTree, by proven: LayerTree, because error: any Error) throws {
        guard tree.contentKey != proven.contentKey else { throw error }
        let layer = tree.layer
        let hasSameNodes = tree.hasSameNodes(as: proven)
        if hasSameNodes, tree.claimsContent(of: proven) {
            // The index was right: what came over the network was not.
            logger.warning("the index was right, and the bytes that came were wrong", metadata: ["layer": "\(layer.descriptor.digest)"])
            try store.remove(.tree(tree.contentKey))
        } else {
            logger.error("an index from a registry lies; it is dropped and will not be used again", metadata: [
                "layer": "\(layer.descriptor.digest)", "repository": "\(layer.repository)", "content": "\(tree.contentKey)", "reason": "\(error)",
                "shown": "\(hasSameNodes ? "goes on with the layer's own content" : "trees that are already shown have wrong names, and the images other ones from now on")",
            ])
            try store.refuseTree(tree.contentKey, reason: "layer \(layer.descriptor.digest) of \(layer.repository): \(error)")
        }
        try store.remove(.tree(AdoptedIndex.slot(of: layer)))
        try store.removeSpans(tree.contentKey)
        trees.withLock { trees in trees = trees.filter { $0.value.tree.contentKey != tree.contentKey } }
        snapshots.withLock { snapshots in snapshots = snapshots.filter { !$0.value.layers.contains { $0 === tree } } }
        if hasSameNodes { tree.succession.pass(to: proven) }
        tree.succession.markSettled()
    }
}

extension ImageLibrary {
    /// Whether an index from a registry that this tree was made of has turned out to lie, here or in another process, so that
    /// who looks at the image anew gets another tree. Asks the disk.
    public func isOutlived(_ tree: ContentTree) -> Bool {
        tree.layers.contains { $0.isAdopted && $0.succession.current == nil && store.isRefused($0.contentKey) }
    }
}

extension ContentTree {
    /// Whether this tree is made of an index from a registry, so that another one may come in its place.
    public var canBeOutlived: Bool { layers.contains(where: \.serving.isAdopted) }
}

extension LayerTree {
    fileprivate func hasSameNodes(as proven: LayerTree) -> Bool {
        TreeIndex.haveSameOrdinals(index, proven.index) && TreeIndex.difference(index, proven.index) == nil
    }

    /// Whether the digests of this tree's content are those of `proven`, as far as the two can be compared.
    fileprivate func claimsContent(of proven: LayerTree) -> Bool {
        guard view.spanCount == proven.view.spanCount else { return false }
        for number in 0..<view.spanCount {
            let (span, other) = (view.span(number), proven.view.span(number))
            guard span.contentStart == other.contentStart, span.length == other.length, span.sourceOffset == other.sourceOffset,
                span.sourceLength == other.sourceLength, span.flags == other.flags, span.digest == other.digest
            else { return false }
            guard view.hasStarts == proven.view.hasStarts else { return false }
            guard view.hasStarts else { continue }
            let (start, twin) = (view.start(number), proven.view.start(number))
            guard start.kind == twin.kind, start.bits == twin.bits, view.window(of: start).elementsEqual(proven.view.window(of: twin)) else { return false }
        }
        return true
    }
}
