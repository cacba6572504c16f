import OCI

/// What the known images are made of, so that a layer, a snapshot or a blob can be asked for by its digest alone.
struct Catalog: Sendable {
    /// The image last seen under each reference.
    private(set) var references: [Reference: Image] = [:]
    /// By the digest of the manifest. Never shrinks: the kernel may hold nodes of an image that was removed.
    private(set) var images: [Digest: Image] = [:]
    private(set) var layers: [Digest: [ImageLayer]] = [:]
    private(set) var snapshots: [Digest: [(image: Image, count: Int)]] = [:]
    private(set) var blobs: [Digest: (descriptor: Descriptor, repository: Repository)] = [:]

    mutating func add(_ image: Image) {
        references[image.reference] = image
        for blob in image.blobs where blobs[blob.digest] == nil { blobs[blob.digest] = (blob, image.reference.repository) }
        for layer in image.layers where layers[layer.descriptor.digest]?.contains(layer) != true {
            layers[layer.descriptor.digest, default: []].append(layer)
        }
        guard images[image.manifestDescriptor.digest] == nil else { return }
        images[image.manifestDescriptor.digest] = image
        for (position, id) in image.chain.enumerated() { snapshots[id, default: []].append((image, position + 1)) }
    }

    /// Forgets a reference. What other images have not as well can no longer be asked for by digest.
    mutating func remove(_ reference: Reference) {
        references[reference] = nil
        let kept = references.values
        (layers, snapshots, blobs) = ([:], [:], [:])
        let nodes = images
        images = [:]
        for image in kept { add(image) }
        images.merge(nodes) { new, _ in new }
    }
}

extension ImageLibrary {
    /// References the store knows, sorted.
    public func references() throws -> [Reference] {
        try store.references().map(\.0).sorted { $0.description < $1.description }
    }

    /// Every image whose reference the store knows and whose documents are there. Nothing is fetched.
    public func knownImages() async throws -> [Image] {
        var images: [Image] = []
        for (reference, top) in try store.references() {
            if let image = try? await loadOffline(reference, top: top) { images.append(image) }
        }
        return images
    }

    private func loadOffline(_ reference: Reference, top: Descriptor) async throws -> Image? {
        if let known = catalog.withLock({ $0.references[reference] }), known.top.digest == top.digest { return known }
        guard store.hasBlob(top.digest) else { return nil }
        let image = try await load(reference, top: top, offline: true)
        catalog.withLock { $0.add(image) }
        return image
    }

    /// The layers that known images have under this digest: usually one.
    public func layers(_ digest: Digest) async throws -> [ImageLayer] {
        if let found = catalog.withLock({ $0.layers[digest] }) { return found }
        _ = try await knownImages()
        return catalog.withLock { $0.layers[digest] } ?? []
    }

    /// The images that have a prefix of this ChainID, and how many layers the prefix has.
    public func snapshotOwners(_ chainID: Digest) async throws -> [(image: Image, count: Int)] {
        if let found = catalog.withLock({ $0.snapshots[chainID] }) { return found }
        _ = try await knownImages()
        return catalog.withLock { $0.snapshots[chainID] } ?? []
    }

    /// Size of a blob that is in the store or part of a known image; nil for any other.
    public func blobSize(_ digest: Digest) async throws -> UInt64? {
        if let size = try store.blobSize(digest) { return size }
        if let found = catalog.withLock({ $0.blobs[digest] }) { return found.descriptor.size }
        _ = try await knownImages()
        return catalog.withLock { $0.blobs[digest] }?.descriptor.size
    }

    /// The image with this manifest, if it was resolved in this process or read from the store.
    public func image(manifest: Digest) -> Image? { catalog.withLock { $0.images[manifest] } }

    /// Blobs of known images, with their sizes in bytes.
    public func knownBlobs() async throws -> [(digest: Digest, size: UInt64)] {
        _ = try await knownImages()
        return catalog.withLock { $0.blobs.map { (digest: $0.key, size: $0.value.descriptor.size) } }.sorted { $0.digest < $1.digest }
    }

    /// Whether the configuration names this host.
    public func knowsHost(_ host: String) -> Bool { remote.knows(host: host) }

    /// Where content of a repository comes from when it is not here, as `user.larder.source` shows it.
    public func sourceName(_ repository: Repository) -> String {
        (remote.isLayout(host: repository.host) ? "layout:" : "registry:") + "\(repository)"
    }

    public func sourceName(ofBlob digest: Digest) -> String? {
        catalog.withLock { $0.blobs[digest]?.repository }.map { sourceName($0) }
    }

    public func knownLayers() async throws -> [Digest] {
        var layers: Set<Digest> = []
        for image in try await knownImages() { layers.formUnion(image.manifest.layers.map(\.digest)) }
        return layers.sorted()
    }

    public func knownSnapshots() async throws -> [Digest] {
        var chains: Set<Digest> = []
        for image in try await knownImages() { chains.formUnion(image.chain) }
        return chains.sorted()
    }
}
