import OCI
import Store
import TreeIndex

/// What a pull has come to with one layer.
public struct PullEvent: Sendable {
    public enum Phase: Sendable { case present, started, downloading, unpacking, done }

    public let layer: Digest
    public let phase: Phase
    /// Compressed bytes.
    public let received: UInt64
    public let total: UInt64
}

extension ImageLibrary {
    /// Fetches an image whole: every blob, unpacked and sealed. Asks the registry for the tag's present meaning; layers
    /// come in parallel.
    public func pull(_ reference: Reference) async throws -> Image {
        let image = try await image(reference, refresh: true)
        try await withThrowingTaskGroup(of: Void.self) { group in
            var waiting = Set(image.layers).sorted { $0.descriptor.size > $1.descriptor.size }[...]
            for _ in 0..<4 {
                if let layer = waiting.popFirst() { group.addTask { try await self.complete(layer) } }
            }
            while try await group.next() != nil {
                if let layer = waiting.popFirst() { group.addTask { try await self.complete(layer) } }
            }
        }
        _ = try await snapshot(of: image)
        return image
    }

    /// Makes a layer complete and sealed: blob in the store, every span there, blob digest and DiffID proven.
    public func complete(_ layer: ImageLayer) async throws {
        if try isComplete(layer) { return observe(layer, .present, layer.descriptor.size) }
        let lease = try await store.exclusive("layer-\(layer.descriptor.digest.hex)")
        defer { _ = lease }
        if try isComplete(layer) { return observe(layer, .present, layer.descriptor.size) }
        let stored = try storedTree(of: layer)
        guard let tree = stored, tree.format.hasTableOfContents else {
            let proven = try await stream(layer)
            if let stored, stored.isAdopted { try await blocking { try self.compare(stored, with: proven) } }
            return
        }
        do {
            try await fetchBlob(layer.descriptor, from: layer.repository) { self.observe(layer, .downloading, $0) }
            observe(layer, .unpacking, layer.descriptor.size)
            try await fill(tree)
            try await seal(tree)
            observe(layer, .done, layer.descriptor.size)
        } catch let error as SealError {
            try await replace(tree, because: error)
        } catch ImageError.brokenPromise(let descriptor, let reason) {
            // The blob is here and proven, so that it is the table which is wrong.
            try await replace(tree, because: ImageError.brokenPromise(descriptor, reason))
        }
    }

    /// Drops a layer's index that contradicts the layer, and makes one of the layer itself.
    private func replace(_ tree: LayerTree, because error: any Error) async throws {
        logger.error("the table of contents does not say what the layer says; dropped, the layer decides", metadata: ["layer": "\(tree.layer.descriptor.digest)", "reason": "\(error)"])
        try discard(tree)
        _ = try await stream(tree.layer)
    }

    func isComplete(_ layer: ImageLayer) throws -> Bool {
        // A bounded store lets the blobs of unpacked layers go first: to fetch them again at every pull would be for nothing.
        guard store.hasTree(layer.descriptor.digest), store.hasBlob(layer.descriptor.digest) || !store.limits.isEmpty, let tree = try storedTree(of: layer) else { return false }
        try tree.refreshPresence()
        return tree.isComplete
    }

    /// Brings every missing span of a layer into the store.
    private func fill(_ tree: LayerTree) async throws {
        try await tree.fetcher.bring(0..<tree.view.spanCount, for: .pull)
        await supply.fresh.settle()
        // Readers can be served without the disk; who pulls wants to have it.
        guard supply.fresh.isStoring else { throw StoreError.noSpace(store: store.path, freeBytes: store.freeSpace) }
        try await tree.assembleObjects()
    }

    /// A blob of a known image, whole and verified, from the store or its registry.
    func fetchBlob(_ descriptor: Descriptor, from repository: Repository, progress: @escaping @Sendable (UInt64) -> Void = { _ in }) async throws {
        guard !store.hasBlob(descriptor.digest) else { return }
        try await blobFlights.run(descriptor.digest) {
            do {
                try await self.fetchOnce(descriptor, from: repository, progress)
            } catch ImageError.wrongDigest(let what, let expected, let found) {
                let reason = ImageError.wrongDigest(of: what, expected: expected, found: found)
                self.logger.warning("wrong bytes, asking again", metadata: ["blob": "\(descriptor.digest)", "reason": "\(reason)"])
                try await self.fetchOnce(descriptor, from: repository, progress)
            }
        }
    }

    private func fetchOnce(_ descriptor: Descriptor, from repository: Repository, _ progress: @escaping @Sendable (UInt64) -> Void) async throws {
        let temporary = try store.temporary("blob")
        let download = BlobDownload(descriptor, into: try temporary.descriptor.duplicate())
        supply.ledger.requested(.pull)
        try await download.run(from: try remote.source(for: repository), over: supply.links[repository.host], for: .pull) {
            self.supply.ledger.received($0, of: descriptor.digest, for: .pull)
        } progress: {
            progress($0)
        }
        try await blocking { _ = try self.store.publishBlob(temporary, descriptor.digest) }
    }

    /// Brings a blob that a known image names into the store.
    public func fetchBlob(_ digest: Digest) async throws {
        guard !store.hasBlob(digest) else { return }
        _ = try await blobSize(digest)
        guard let blob = catalog.withLock({ $0.blobs[digest] }) else { throw ImageError.unknownBlob(digest) }
        try await fetchBlob(blob.descriptor, from: blob.repository)
    }

    func observe(_ layer: ImageLayer, _ phase: PullEvent.Phase, _ received: UInt64) {
        observer?(PullEvent(layer: layer.descriptor.digest, phase: phase, received: received, total: layer.descriptor.size))
    }
}
