import Archive
import OCI
import Remote
import Store
import TreeIndex

/// Names of indexes that came from a registry. Each claim has content of its own in the store, and what one repository
/// claims of a layer is never used for another.
enum AdoptedIndex {
    /// The most bytes of an index as it is in a registry, and unpacked.
    static let packedLimit: UInt64 = 128 << 20
    static let limit: UInt64 = 512 << 20

    /// - Parameter index: digest of the blob that the index came as.
    static func contentKey(_ repository: Repository, _ layer: Digest, index: Digest) -> Digest {
        Digest(of: Array("adopted\n\(repository)\n\(layer)\n\(index)".utf8))
    }

    /// The further name by which a layer's adopted index is found.
    static func slot(_ repository: Repository, _ layer: Digest) -> Digest {
        Digest(of: Array("adopted index\n\(repository)\n\(layer)".utf8))
    }

    static func slot(of layer: ImageLayer) -> Digest { slot(layer.repository, layer.descriptor.digest) }

    /// The index file of an offer, fit to be published under `contentKey`.
    /// - Throws: `ArchiveError`, `TreeIndexError`, `Unfit`.
    static func document(_ bytes: [UInt8], _ form: IndexOffer.Form, of layer: ImageLayer, contentKey: Digest) throws -> [UInt8] {
        switch form {
        case .zTOC:
            let document = try SOCIIndex.tree(from: bytes, layer: layer, contentKey: contentKey)
            try check(try TreeIndex(validating: document.bytes), layer)
            return document.bytes
        case .larder(let size):
            guard size <= limit else { throw Unfit("it is said to have \(size) bytes; at most \(limit) are read") }
            let index = try TreeIndex(validating: try ZstdDocument.unpack(bytes, count: Int(size)))
            try check(index, layer)
            // What it says of itself is nothing: this store has not seen the layer.
            return index.rekeyed(contentKey: contentKey, diffID: nil)
        }
    }

    private static func check(_ index: TreeIndex, _ layer: ImageLayer) throws(Unfit) {
        guard let identity = index.identity else { throw Unfit("it is no index of a layer") }
        guard identity.blobDigest == layer.descriptor.digest else { throw Unfit("it is the index of layer \(identity.blobDigest)") }
        guard identity.blobSize == layer.descriptor.size else { throw Unfit("it is of a layer of \(identity.blobSize) bytes, and this one has \(layer.descriptor.size)") }
        if let diffID = identity.diffID, diffID != layer.diffID { throw Unfit("it is of a layer with the DiffID \(diffID)") }
        guard !identity.format.hasTableOfContents, identity.format == .tar || index.view.hasStarts else {
            throw Unfit("a layer of format \(identity.format.name) cannot be read in parts by it")
        }
        for number in 0..<index.view.spanCount {
            let span = index.view.span(number)
            guard span.sourceOffset <= identity.blobSize, span.sourceLength <= identity.blobSize - span.sourceOffset,
                span.length <= Supply.spanLimit, span.sourceLength <= Supply.spanLimit
            else { throw Unfit("its span \(number) is too large, or not in the layer") }
            guard span.digest != nil else { throw Unfit("its span \(number) has no digest") }
        }
    }

    /// An index that is well formed, and of no use here.
    struct Unfit: Error, CustomStringConvertible {
        let description: String
        init(_ description: String) { self.description = description }
    }
}

extension ImageLibrary {
    /// The layer's tree by an index beside one of its images; nil where there is none that can be used. The caller holds the
    /// layer's lease.
    func treeFromRegistry(of layer: ImageLayer) async throws -> LayerTree? {
        guard options.indexTrust == .registry, !store.isReadOnly, isWorthAnIndex(layer), !store.hasBlob(layer.descriptor.digest) else { return nil }
        for (_, offer) in await offers(for: layer).prefix(4) {
            let key = AdoptedIndex.contentKey(layer.repository, layer.descriptor.digest, index: offer.blob.digest)
            // It has lied before.
            if store.isRefused(key) { continue }
            do {
                let tree = try await adopt(offer, for: layer, as: key)
                logger.info("layer indexed by its registry", metadata: [
                    "layer": "\(layer.descriptor.digest)", "index": "\(offer.blob.digest)", "source": "\(tree.indexSource.rawValue)", "files": "\(tree.view.nodeCount)",
                ])
                return tree
            } catch is CancellationError {
                throw CancellationError()
            } catch {
                logger.warning("an index from the registry is not used; streaming the layer", metadata: [
                    "layer": "\(layer.descriptor.digest)", "index": "\(offer.blob.digest)", "reason": "\(error)",
                ])
            }
        }
        return nil
    }

    private func adopt(_ offer: IndexOffer, for layer: ImageLayer, as key: Digest) async throws -> LayerTree {
        guard offer.blob.size <= AdoptedIndex.packedLimit else { throw AdoptedIndex.Unfit("it has \(offer.blob.size) bytes; at most \(AdoptedIndex.packedLimit) are read") }
        let source = try remote.source(for: layer.repository)
        // Not for ever: the layer can be had without.
        let limit = options.revalidationLimit + .seconds(2 + Int64(offer.blob.size >> 18))
        let bytes = try await within(limit) { try await source.bytes(of: offer.blob) }
        return try await unpackers.runIfActive {
            let document = try AdoptedIndex.document(bytes, offer.form, of: layer, contentKey: key)
            if !self.store.hasTree(key) {
                let file = try self.store.temporary("tree")
                try file.write(document)
                try self.store.publishTree(file, key)
            }
            let slot = AdoptedIndex.slot(of: layer)
            try self.store.remove(.tree(slot))
            try self.store.linkTree(key, as: slot)
            guard let tree = try self.openTree(slot, layer)?.tree else { throw ImageError.unusableIndex(key) }
            return tree
        }
    }
}
