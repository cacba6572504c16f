import FoundationEssentials

/// One image: its config and its layers, lowest first. Or an artifact, which has the same form (image-spec manifest.md).
public struct ImageManifest: Sendable {
    public static let layerLimit = 1024

    public var config: Descriptor
    public var layers: [Descriptor]
    public var annotations: [String: String]?
    /// What an artifact is; images have none.
    public var artifactType: String?
    /// The manifest that this one says something about (referrers, distribution-spec).
    public var subject: Descriptor?

    public init(config: Descriptor, layers: [Descriptor], annotations: [String: String]? = nil, artifactType: String? = nil, subject: Descriptor? = nil) {
        self.config = config
        self.layers = layers
        self.annotations = annotations
        self.artifactType = artifactType
        self.subject = subject
    }

    /// What kind of thing it is, as a registry lists it among the referrers of its subject: artifacts from before
    /// `artifactType` say it by the media type of their config.
    public var kind: String { artifactType ?? config.mediaType }

    /// The document, with the media type `MediaType.manifest`. The same manifest always makes the same bytes.
    public func encoded() throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return Array(try encoder.encode(Document(
            schemaVersion: 2, mediaType: MediaType.manifest, artifactType: artifactType, config: config, layers: layers, subject: subject, annotations: annotations)))
    }

    private struct Document: Encodable {
        let schemaVersion: Int
        let mediaType: String
        let artifactType: String?
        let config: Descriptor
        let layers: [Descriptor]
        let subject: Descriptor?
        let annotations: [String: String]?
    }
}
