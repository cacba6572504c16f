import Archive
import OCI
import Store
import TreeIndex

/// The layer's own bytes contradict its index, which came from elsewhere: a table of contents, or a registry.
struct SealError: Error, CustomStringConvertible {
    let description: String
}

extension ImageLibrary {
    /// Proves a layer that was read by its table of contents: the blob's digest (it is in the store), the DiffID, and that
    /// the table says of every file what the tar says. Then its index is published under the layer's digest: sealed.
    func seal(_ tree: LayerTree) async throws {
        let layer = tree.layer
        try await unpackers.runIfActive { [self] in
            guard let blob = try store.openBlob(layer.descriptor.digest) else { throw ImageError.unknownBlob(layer.descriptor.digest) }
            let seal = Seal(tree)
            let found = try seal.read(BlobDownloadReader(BlobDownload(present: layer.descriptor, file: blob)))
            guard found == layer.diffID else {
                throw ImageError.wrongDigest(of: "the uncompressed layer \(layer.descriptor.digest)", expected: layer.diffID, found: found)
            }
            try seal.check()
            try publish(tree, sealedBy: found)
        }
    }

    /// Seals a layer as soon as all of its content is here; does nothing before, or where it is sealed already. A layer read by
    /// its table of contents also needs its blob, because its spans leave out what lies between files.
    /// - Throws: `SealError` where the layer contradicts its index.
    func sealIfComplete(_ tree: LayerTree) async throws {
        let digest = tree.layer.descriptor.digest
        guard tree.isComplete, !store.hasTree(digest) else { return }
        if tree.format.hasTableOfContents {
            if store.hasBlob(digest) { try await seal(tree) }
            return
        }
        // What readers are served from memory has still to come to the disk.
        await supply.fresh.settle()
        try await restoreFlights.run(tree.contentKey) {
            let tail = try await self.tail(of: tree)
            do {
                // All of the layer is hashed, and nobody waits for it.
                try await self.supply.idly {
                    try TarSpaceSeal(tree, tail: tail).prove()
                    try self.publish(tree, sealedBy: tree.layer.diffID)
                }
            } catch let gone as SpanGone {
                self.logger.info("not sealed yet, content has gone", metadata: ["layer": "\(digest)", "span": "\(gone.number)"])
            }
        }
    }

    /// What is in a layer's tar behind its last span: nothing, but where soci has counted.
    private func tail(of tree: LayerTree) async throws -> [UInt8] {
        guard SOCIIndex.mayHaveTail(tree) else { return [] }
        let span = tree.view.span(tree.view.spanCount - 1)
        let source = try await supply.bytes(span.sourceOffset..<span.sourceOffset + span.sourceLength, of: tree.layer)
        return try await unpackers.runIfActive { try SOCIIndex.tail(of: tree, source: source) }
    }

    private func publish(_ tree: LayerTree, sealedBy diffID: Digest) throws {
        let temporary = try store.temporary("index")
        try temporary.write(tree.index.sealed(diffID))
        try store.publish(temporary, as: .tree(tree.layer.descriptor.digest))
        logger.info("layer sealed", metadata: ["layer": "\(tree.layer.descriptor.digest)"])
    }

    /// Drops an index from a table of contents and all that came from it.
    func discard(_ tree: LayerTree) throws {
        trees.withLock { trees in trees = trees.filter { $0.value.tree.contentKey != tree.contentKey } }
        try store.remove(.tree(tree.contentKey))
        try store.removeSpans(tree.contentKey)
    }
}

/// Reads a layer's tar and compares it with an index that came from a table of contents: names, attributes and links by
/// a tree built beside it, content chunk by chunk by digest.
private final class Seal {
    private let tree: LayerTree
    private var builder = TreeBuilder()
    private var proven: Set<Ordinal> = []
    private let block = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 64)

    init(_ tree: LayerTree) { self.tree = tree }

    deinit { block.deallocate() }

    /// Reads the whole layer and returns its DiffID.
    func read(_ blob: any ByteReader) throws -> Digest {
        let tar = DiffIDReader(try LayerReader(blob))
        let reader = TarReader(tar)
        while let entry = try reader.next() {
            guard !TableOfContents.isHidden(entry.path), let ordinal = try builder.add(entry), entry.kind == .regular else { continue }
            try compareContent(builder.path(of: ordinal), reader)
            // The tree beside has no content of its own; only what is said *about* files is compared.
            if entry.storedSize > 0 { try builder.setObject(ordinal, Digest(of: [])) }
        }
        return try tar.finish()
    }

    /// Compares a member's payload with the digests of the chunks that the table gives the same path.
    private func compareContent(_ path: [UInt8], _ reader: TarReader) throws {
        let view = tree.view
        guard let ordinal = view.find(path).map({ view.canonical($0) }), let content = view.node(ordinal).contentOffset else { return }
        let stored = content..<content + view.storedSize(of: view.node(ordinal))
        var chunks = view.spanNumbers(in: stored).flatMap { view.span($0).chunkNumbers }.map { view.chunk($0) }
            .filter { stored.contains($0.contentStart) }[...]
        var hasher = DigestHasher()
        var left = chunks.first?.length ?? 0
        var matches = true
        while true {
            let room = left == 0 ? block.count : Int(min(UInt64(block.count), left))
            let count = try reader.read(into: UnsafeMutableRawBufferPointer(rebasing: block[..<room]))
            if count == 0 { break }
            guard let chunk = chunks.first else {
                matches = false
                continue
            }
            hasher.update(UnsafeRawBufferPointer(rebasing: block[..<count]))
            left -= UInt64(count)
            if left == 0 {
                if hasher.finish() != chunk.digest { matches = false }
                chunks.removeFirst()
                left = chunks.first?.length ?? 0
            }
        }
        // Of two members with one path the later counts, so a wrong one may still be followed by the right one.
        if matches && chunks.isEmpty { proven.insert(ordinal) } else { proven.remove(ordinal) }
    }

    func check() throws {
        let view = tree.view
        for ordinal in 0..<Ordinal(view.nodeCount) {
            let node = view.node(ordinal)
            guard node.kind == .regular, !node.isDead, node.contentOffset != nil, !proven.contains(ordinal) else { continue }
            throw SealError(description: "'\(String(decoding: view.path(of: ordinal), as: UTF8.self))': its content is not what the table of contents says")
        }
        guard let identity = tree.index.identity else { throw ImageError.unusableIndex(tree.contentKey) }
        let other = try TreeIndex(validating: try builder.finish(identity).bytes)
        if let difference = TreeIndex.difference(tree.index, other, times: tree.format == .estargz ? .seconds : .nanoseconds) {
            throw SealError(description: difference)
        }
    }
}
