/// A manifest or an index, decoded from the exact bytes whose digest was proven. OCI and Docker schema 2 alike.
public enum ManifestDocument: Sendable {
    case manifest(ImageManifest)
    case index(ImageIndex)

    /// What Larder reads of one manifest at most, in bytes. distribution-spec asks for at least 4 MiB.
    public static let sizeLimit = 8 << 20

    /// - Parameter mediaType: what the registry or the descriptor said; the document's own `mediaType` wins, and a document
    ///   that says neither is told by its shape.
    /// - Throws: `ManifestError` where the document is no image manifest or index, or breaks a limit.
    public init(decoding bytes: [UInt8], mediaType: String?) throws(ManifestError) {
        guard bytes.count <= Self.sizeLimit else { throw .tooLarge(bytes: UInt64(bytes.count)) }
        let shape: Shape = try Self.decode(bytes)
        guard shape.schemaVersion == 2 else { throw .unsupported("schemaVersion \(shape.schemaVersion.map(String.init) ?? "missing") (only 2 is read; schema 1 is long dead)") }
        let type = shape.mediaType ?? mediaType.map { String($0.prefix { $0 != ";" }) } ?? ""
        if MediaType.isIndex(type) || (!MediaType.isManifest(type) && shape.manifests != nil && shape.layers == nil) {
            // Both lists in one document is a known way to make two readers see two images (CVE-2021-41190).
            guard shape.layers == nil, shape.config == nil else { throw .ambiguous }
            self = .index(ImageIndex(manifests: shape.manifests ?? [], annotations: shape.annotations))
        } else if MediaType.isManifest(type) || shape.layers != nil {
            guard shape.manifests == nil else { throw .ambiguous }
            guard let config = shape.config else { throw .invalid("no config descriptor") }
            let layers = shape.layers ?? []
            guard layers.count <= ImageManifest.layerLimit else { throw .invalid("\(layers.count) layers; at most \(ImageManifest.layerLimit) are read") }
            self = .manifest(ImageManifest(config: config, layers: layers, annotations: shape.annotations, artifactType: shape.artifactType, subject: shape.subject))
        } else {
            throw .unsupported(type.isEmpty ? "a document that is neither manifest nor index" : "media type '\(type.prefix(100))'")
        }
    }

    private struct Shape: Decodable {
        var schemaVersion: Int?
        var mediaType: String?
        var artifactType: String?
        var config: Descriptor?
        var layers: [Descriptor]?
        var manifests: [Descriptor]?
        var annotations: [String: String]?
        var subject: Descriptor?
    }

    static func decode<Value: Decodable>(_ bytes: [UInt8]) throws(ManifestError) -> Value {
        do {
            return try JSONText.decode(Value.self, from: bytes)
        } catch let error as DecodingError {
            throw .invalid(error.summary)
        } catch {
            throw .invalid("\(error)")
        }
    }
}

/// Several images, usually one for each platform.
public struct ImageIndex: Sendable {
    public var manifests: [Descriptor]
    public var annotations: [String: String]?

    /// The best manifest for `platform`; the first of equals, as other clients choose. A sole manifest without a platform
    /// fits any. Attestations and other artifacts never fit.
    public func manifest(for platform: Platform) -> Descriptor? {
        let images = manifests.filter {
            (MediaType.isManifest($0.mediaType) || MediaType.isIndex($0.mediaType)) && $0.artifactType == nil
                && $0.annotations?["vnd.docker.reference.type"] == nil
        }
        var best: (score: Int, descriptor: Descriptor)?
        for descriptor in images {
            let score = descriptor.platform.map { platform.suitability(of: $0) } ?? (images.count == 1 ? 1 : nil)
            if let score, score > best?.score ?? 0 { best = (score, descriptor) }
        }
        return best?.descriptor
    }

    public var platforms: [Platform] { manifests.compactMap(\.platform) }
}

public enum ManifestError: Error, Sendable, Equatable, CustomStringConvertible {
    case tooLarge(bytes: UInt64)
    case ambiguous
    case invalid(String)
    case unsupported(String)

    public var description: String {
        switch self {
        case .tooLarge(let bytes): "the manifest is \(bytes) bytes; at most \(ManifestDocument.sizeLimit) are read"
        case .ambiguous: "the document is a manifest and an index at once, so two readers could see two images; refused"
        case .invalid(let reason): "the document is damaged: \(reason)"
        case .unsupported(let what): "not an image: \(what)"
        }
    }
}

extension DecodingError {
    /// One line that names the place and the fault, without the source text.
    var summary: String {
        switch self {
        case .keyNotFound(let key, let context): "'\((context.codingPath + [key]).path)' is missing"
        case .typeMismatch(_, let context), .valueNotFound(_, let context):
            "'\(context.codingPath.path)' has the wrong type"
        case .dataCorrupted(let context):
            context.codingPath.isEmpty ? "not JSON" : "'\(context.codingPath.path)': \(context.debugDescription.prefix(200))"
        @unknown default: "not readable"
        }
    }
}

extension [any CodingKey] {
    var path: String { map { $0.intValue.map(String.init) ?? String($0.stringValue.prefix(60)) }.joined(separator: ".") }
}
