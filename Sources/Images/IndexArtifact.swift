import OCI

/// An OCI artifact that carries the indexes of an image's layers, and its access profile, in the image's registry. Its subject
/// is the image's manifest.
///
/// Each index is a blob of type `indexType`: one index file (`TreeIndex/IndexFormat`) as a zstd frame. It is named by the
/// digest of its layer, so that it serves for as long as the layer does, whatever becomes of the image's tags.
struct IndexArtifact: Sendable {
    static let type = "application/vnd.larder.index.v2"
    static let indexType = "application/vnd.larder.layer-index.v2+zstd"
    static let profileType = "application/vnd.larder.profile.v1+json"

    private static let layerAnnotation = "vnd.larder.layer.digest"
    private static let sizeAnnotation = "vnd.larder.index.size"
    /// On the artifact: whether it has a profile. A list of referrers repeats it.
    static let profileAnnotation = "vnd.larder.profile"
    /// What the config of an artifact consists of.
    static let config: [UInt8] = Array("{}".utf8)

    /// The index of one layer.
    struct Index: Sendable, Hashable {
        /// Digest of the layer's blob.
        let layer: Digest
        let blob: Descriptor
        /// Bytes of the index, unpacked.
        let size: UInt64

        init(layer: Digest, digest: Digest, packedSize: UInt64, size: UInt64) {
            self.layer = layer
            self.size = size
            blob = Descriptor(
                mediaType: indexType, digest: digest, size: packedSize,
                annotations: [layerAnnotation: layer.description, sizeAnnotation: String(size)])
        }

        init?(_ descriptor: Descriptor) {
            guard descriptor.mediaType == indexType, let annotations = descriptor.annotations,
                let layer = annotations[layerAnnotation].flatMap({ Digest($0) }), let size = annotations[sizeAnnotation].flatMap({ UInt64($0) })
            else { return nil }
            self.layer = layer
            self.size = size
            blob = descriptor
        }
    }

    let indexes: [Index]
    let profile: Descriptor?

    init(indexes: [Index], profile: Descriptor?) {
        self.indexes = indexes
        self.profile = profile
    }

    /// - Throws: `ManifestError` where the document is no such artifact, or another image's.
    init(decoding bytes: [UInt8], subject: Digest) throws(ManifestError) {
        guard case .manifest(let manifest) = try ManifestDocument(decoding: bytes, mediaType: MediaType.manifest), manifest.kind == Self.type else {
            throw .unsupported("it is no index of Larder's")
        }
        guard manifest.subject?.digest == subject else { throw .invalid("it is the index of another image") }
        indexes = manifest.layers.compactMap { Index($0) }
        profile = manifest.layers.first { $0.mediaType == Self.profileType }
    }

    /// The manifest. The same indexes of the same image always make the same one.
    func manifest(of image: Image) -> ImageManifest {
        let subject = image.manifestDescriptor
        var annotations = ["org.opencontainers.image.title": "Larder index"]
        if profile != nil { annotations[Self.profileAnnotation] = "1" }
        return ImageManifest(
            config: Descriptor(mediaType: MediaType.empty, digest: Digest(of: Self.config), size: UInt64(Self.config.count)),
            layers: indexes.map(\.blob) + (profile.map { [$0] } ?? []), annotations: annotations, artifactType: Self.type,
            subject: Descriptor(mediaType: subject.mediaType, digest: subject.digest, size: subject.size))
    }
}
