import OCI

/// What a reference of the store names, as far as the documents in it tell: for every platform, because an index may have been
/// pulled for several.
public struct StoredImage: Sendable {
    /// nil for an entry of another tool.
    public let reference: Reference?
    /// What the reference names: a manifest, or an index.
    public let top: Descriptor
    public let isPinned: Bool
    /// Manifests, indexes and configs.
    public private(set) var documents: Set<Digest> = []
    /// Manifests among them.
    public private(set) var manifests: Set<Digest> = []
    /// Blobs of layers, lowest first, each once.
    public private(set) var layers: [Digest] = []
    /// Compressed bytes of the layers.
    public private(set) var layerBytes: UInt64 = 0

    /// - Parameter reference: nil for an entry of another tool.
    init(_ reference: Reference?, _ top: Descriptor, isPinned: Bool, in store: Store) {
        self.reference = reference
        self.top = top
        self.isPinned = isPinned
        add(top, in: store, depth: 0)
    }

    var everything: Set<Digest> { documents.union(layers) }

    private mutating func add(_ descriptor: Descriptor, in store: Store, depth: Int) {
        guard depth <= 4, documents.insert(descriptor.digest).inserted else { return }
        guard let bytes = try? store.blobBytes(descriptor.digest, limit: ManifestDocument.sizeLimit),
            let document = try? ManifestDocument(decoding: bytes, mediaType: descriptor.mediaType)
        else { return }
        switch document {
        case .index(let index):
            for manifest in index.manifests { add(manifest, in: store, depth: depth + 1) }
        case .manifest(let manifest):
            manifests.insert(descriptor.digest)
            documents.insert(manifest.config.digest)
            var known = Set(layers)
            for layer in manifest.layers where known.insert(layer.digest).inserted {
                layers.append(layer.digest)
                layerBytes &+= layer.size
            }
        }
    }
}
