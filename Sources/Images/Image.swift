import OCI

/// One image, resolved: every digest from what the user named down to the layers. An immutable value.
public final class Image: Sendable {
    public let reference: Reference
    /// What the reference resolved to: a manifest, or an index it was chosen from.
    public let top: Descriptor
    public let manifestDescriptor: Descriptor
    /// The documents' own bytes, as their digests demand.
    public let indexBytes: [UInt8]?
    public let manifestBytes: [UInt8]
    public let configBytes: [UInt8]
    public let manifest: ImageManifest
    public let config: ImageConfig
    /// Lowest first.
    public let layers: [ImageLayer]
    /// ChainID of every prefix of the layers.
    public let chain: [Digest]

    /// - Throws: `ImageError.inconsistent` where config and manifest do not belong together.
    init(
        reference: Reference, top: Descriptor, manifestDescriptor: Descriptor, indexBytes: [UInt8]?, manifestBytes: [UInt8],
        configBytes: [UInt8], manifest: ImageManifest, config: ImageConfig
    ) throws {
        if let odd = manifest.layers.first(where: { !MediaType.isLayer($0.mediaType) }) {
            throw ImageError.inconsistent(reference, "not a container image: a layer has the media type '\(odd.mediaType.prefix(100))'")
        }
        guard config.diffIDs.count == manifest.layers.count else {
            throw ImageError.inconsistent(reference, "the manifest has \(manifest.layers.count) layers, its config \(config.diffIDs.count) DiffIDs")
        }
        self.reference = reference
        self.top = top
        self.manifestDescriptor = manifestDescriptor
        self.indexBytes = indexBytes
        self.manifestBytes = manifestBytes
        self.configBytes = configBytes
        self.manifest = manifest
        self.config = config
        layers = zip(manifest.layers, config.diffIDs).map { ImageLayer(descriptor: $0, diffID: $1, repository: reference.repository) }
        chain = ChainID.chain(of: config.diffIDs)
    }

    /// Bytes of all layers as they are in the registry.
    public var size: UInt64 { manifest.layers.reduce(0) { $0 &+ $1.size } }

    /// Every blob the image needs, documents included.
    public var blobs: [Descriptor] {
        (indexBytes == nil ? [] : [top]) + [manifestDescriptor, manifest.config] + manifest.layers
    }
}

/// A layer as one image names it: with the DiffID that image claims and the repository to fetch it from.
public struct ImageLayer: Sendable, Hashable {
    public let descriptor: Descriptor
    public let diffID: Digest
    public let repository: Repository
}
