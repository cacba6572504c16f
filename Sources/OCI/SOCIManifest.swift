/// The manifest of a SOCI index: which zTOC belongs to which layer (soci-snapshotter, `soci/soci_index.go`).
///
/// Version 1 is an artifact whose subject is the image's manifest. Version 2 has no subject: the image's own manifest names it
/// by an annotation, so that whoever trusts the image's digest trusts the index. Both are manifests of zTOCs as layers.
public struct SOCIManifest: Sendable {
    /// Artifact type, and media type of the config, of version 1.
    public static let firstType = "application/vnd.amazon.soci.index.v1+json"
    public static let secondType = "application/vnd.amazon.soci.index.v2+json"
    /// On an image's manifest: the digest of its index of version 2.
    public static let indexAnnotation = "com.amazon.soci.index-digest"
    /// What the config consists of.
    public static let config: [UInt8] = Array("{}".utf8)

    private static let layerAnnotation = "com.amazon.soci.image-layer-digest"
    private static let layerTypeAnnotation = "com.amazon.soci.image-layer-mediaType"
    private static let spanSizeAnnotation = "com.amazon.soci.span-size"
    private static let toolAnnotation = "com.amazon.soci.build-tool-identifier"
    private static let ztocType = "application/octet-stream"

    /// The zTOCs by the digests of the layers that they describe. Small layers usually have none.
    public var ztocs: [Digest: Descriptor]
    /// The image's manifest; nil in version 2.
    public var subject: Descriptor?

    /// - Throws: `ManifestError` where the document is no SOCI index.
    public init(decoding bytes: [UInt8]) throws(ManifestError) {
        guard case .manifest(let manifest) = try ManifestDocument(decoding: bytes, mediaType: MediaType.manifest) else {
            throw .invalid("an index where the manifest of a SOCI index should be")
        }
        let type = manifest.artifactType ?? manifest.config.mediaType
        guard [Self.firstType, Self.secondType].contains(type) || [Self.firstType, Self.secondType].contains(manifest.config.mediaType) else {
            throw .unsupported("'\(type.prefix(100))', which is no SOCI index")
        }
        subject = manifest.subject
        ztocs = [:]
        for ztoc in manifest.layers {
            guard let layer = ztoc.annotations?[Self.layerAnnotation].flatMap({ Digest($0) }) else { continue }
            // One image may have a layer twice.
            ztocs[layer] = ztocs[layer] ?? ztoc
        }
    }

    /// A manifest of version 1. The same zTOCs always make the same bytes.
    /// - Parameters:
    ///   - subject: the image's manifest.
    ///   - ztocs: the image's layers that have one, in their order, each with digest and size of its zTOC.
    public static func encode(
        subject: Descriptor, ztocs: [(layer: Descriptor, digest: Digest, size: UInt64)], spanSize: UInt64, buildTool: String
    ) throws -> [UInt8] {
        let layers = ztocs.map { ztoc in
            Descriptor(mediaType: ztocType, digest: ztoc.digest, size: ztoc.size, annotations: [
                layerAnnotation: ztoc.layer.digest.description, layerTypeAnnotation: ztoc.layer.mediaType, spanSizeAnnotation: String(spanSize),
            ])
        }
        let manifest = ImageManifest(
            config: Descriptor(mediaType: firstType, digest: Digest(of: config), size: UInt64(config.count)), layers: layers,
            annotations: [toolAnnotation: buildTool], artifactType: firstType,
            subject: Descriptor(mediaType: subject.mediaType, digest: subject.digest, size: subject.size)
        )
        return try manifest.encoded()
    }
}
