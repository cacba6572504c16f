import FoundationEssentials
import LinuxIO
import OCI

/// An OCI image layout that a test writes blob by blob.
public final class OCILayout {
    public let path: String
    private let directory: TemporaryDirectory
    private let prefix: String
    private var entries: [Descriptor] = []

    /// - Parameter name: a folder below `directory`; empty for the directory itself.
    public init(in directory: TemporaryDirectory, _ name: String = "") throws {
        self.directory = directory
        prefix = name.isEmpty ? "" : name + "/"
        path = name.isEmpty ? directory.path : directory.path + "/" + name
        try directory.write(prefix + "oci-layout", #"{"imageLayoutVersion":"1.0.0"}"#)
        try writeIndex()
    }

    public func add(blob bytes: [UInt8], _ mediaType: String) throws -> Descriptor {
        let digest = Digest(of: bytes)
        try directory.write("\(prefix)blobs/sha256/\(digest.hex)", bytes)
        return Descriptor(mediaType: mediaType, digest: digest, size: UInt64(bytes.count))
    }

    /// Adds an image of these layers (already compressed with gzip). Its DiffIDs are made up.
    public func add(image layers: [[UInt8]], platform: Platform = .host) throws -> (manifest: Descriptor, config: Descriptor, layers: [Descriptor]) {
        let layers = try layers.map { try add(blob: $0, "application/vnd.oci.image.layer.v1.tar+gzip") }
        let diffIDs = layers.map { "\"\(Digest(of: Array("\($0.digest)".utf8)))\"" }.joined(separator: ",")
        let config = try add(
            blob: Array(#"{"os":"\#(platform.os)","architecture":"\#(platform.architecture)","rootfs":{"type":"layers","diff_ids":[\#(diffIDs)]}}"#.utf8),
            MediaType.config)
        let document = Manifest(mediaType: MediaType.manifest, config: config, layers: layers)
        var manifest = try add(blob: Array(try JSONEncoder().encode(document)), MediaType.manifest)
        manifest.platform = platform
        return (manifest, config, layers)
    }

    public func add(index manifests: [Descriptor]) throws -> Descriptor {
        try add(blob: Array(try JSONEncoder().encode(Index(mediaType: MediaType.index, manifests: manifests))), MediaType.index)
    }

    /// Gives a manifest or index the ref.name `name`.
    public func tag(_ descriptor: Descriptor, _ name: String) throws {
        var entry = descriptor
        entry.annotations = ["org.opencontainers.image.ref.name": name]
        entries.append(entry)
        try writeIndex()
    }

    private func writeIndex() throws {
        try directory.write(prefix + "index.json", Array(try JSONEncoder().encode(Index(mediaType: nil, manifests: entries))))
    }

    private struct Manifest: Encodable {
        var schemaVersion = 2
        let mediaType: String
        let config: Descriptor
        let layers: [Descriptor]
    }

    private struct Index: Encodable {
        var schemaVersion = 2
        let mediaType: String?
        let manifests: [Descriptor]
    }
}
