import FoundationEssentials
import OCI

/// A layer that a test makes: the blob, and what an image has to say about it.
public struct LayerFixture: Sendable {
    public var blob: [UInt8]
    public var mediaType: String
    /// What the image claims; right unless a test changes it.
    public var diffID: Digest
    public var annotations: [String: String]?

    public var digest: Digest { Digest(of: blob) }

    public init(blob: [UInt8], mediaType: String, diffID: Digest, annotations: [String: String]? = nil) {
        self.blob = blob
        self.mediaType = mediaType
        self.diffID = diffID
        self.annotations = annotations
    }

    public static func plain(_ members: [TarMember]) -> LayerFixture { plain(tar: members.tar) }

    public static func plain(tar: [UInt8]) -> LayerFixture {
        LayerFixture(blob: tar, mediaType: "application/vnd.oci.image.layer.v1.tar", diffID: Digest(of: tar))
    }

    public static func gzip(_ members: [TarMember]) async throws -> LayerFixture { try await gzip(tar: members.tar) }

    public static func gzip(tar: [UInt8]) async throws -> LayerFixture {
        let blob = try await Shell.check("gzip", ["-1nc"], input: tar).bytes
        return LayerFixture(blob: blob, mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", diffID: Digest(of: tar))
    }

    public static func zstd(tar: [UInt8]) async throws -> LayerFixture {
        let blob = try await Shell.check("zstd", ["-q", "-1", "-c"], input: tar).bytes
        return LayerFixture(blob: blob, mediaType: "application/vnd.oci.image.layer.v1.tar+zstd", diffID: Digest(of: tar))
    }
}

extension OCILayout {
    /// Adds an image of `layers`, whose config claims their DiffIDs.
    public func add(_ layers: [LayerFixture], platform: Platform = .host, diffIDs: [Digest]? = nil, note: String = "") throws -> Descriptor {
        let descriptors = try layers.map { layer in
            var descriptor = try add(blob: layer.blob, layer.mediaType)
            descriptor.annotations = layer.annotations
            return descriptor
        }
        let claims = (diffIDs ?? layers.map(\.diffID)).map { "\"\($0)\"" }.joined(separator: ",")
        let config = try add(
            blob: Array(#"{"os":"\#(platform.os)","architecture":"\#(platform.architecture)","author":"\#(note)","rootfs":{"type":"layers","diff_ids":[\#(claims)]}}"#.utf8),
            MediaType.config)
        return try add(manifest: config, descriptors, platform: platform)
    }

    /// Adds a manifest that says just this.
    public func add(manifest config: Descriptor, _ layers: [Descriptor], platform: Platform = .host) throws -> Descriptor {
        struct Document: Encodable {
            var schemaVersion = 2
            var mediaType = MediaType.manifest
            let config: Descriptor
            let layers: [Descriptor]
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        var manifest = try add(blob: Array(try encoder.encode(Document(config: config, layers: layers))), MediaType.manifest)
        manifest.platform = platform
        return manifest
    }
}
