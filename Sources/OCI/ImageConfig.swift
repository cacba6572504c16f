/// What Larder reads of an image's config (image-spec config.md): the DiffIDs its layers must have, and what describes it.
public struct ImageConfig: Sendable, Decodable {
    public var os: String?
    public var architecture: String?
    public var variant: String?
    public var created: String?
    /// Digest of each layer's uncompressed tar, lowest first.
    public var diffIDs: [Digest]

    /// A config is at most this many bytes.
    public static let sizeLimit = 8 << 20

    public init(decoding bytes: [UInt8]) throws(ManifestError) {
        guard bytes.count <= Self.sizeLimit else { throw .tooLarge(bytes: UInt64(bytes.count)) }
        self = try ManifestDocument.decode(bytes)
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Key.self)
        os = try container.decodeIfPresent(String.self, forKey: .os)
        architecture = try container.decodeIfPresent(String.self, forKey: .architecture)
        variant = try container.decodeIfPresent(String.self, forKey: .variant)
        created = try container.decodeIfPresent(String.self, forKey: .created)
        let rootfs = try container.nestedContainer(keyedBy: Key.self, forKey: .rootfs)
        diffIDs = try rootfs.decodeIfPresent([Digest].self, forKey: .diffIDs) ?? []
    }

    private enum Key: String, CodingKey {
        case os, architecture, variant, created, rootfs
        case diffIDs = "diff_ids"
    }
}

/// The name of a stack of layers, which containerd and BuildKit call a snapshot (image-spec config.md, Layer ChainID).
public enum ChainID {
    /// ChainIDs of every prefix of `diffIDs`, lowest first.
    public static func chain(of diffIDs: [Digest]) -> [Digest] {
        var chain: [Digest] = []
        for diffID in diffIDs {
            chain.append(chain.last.map { Digest(of: Array("\($0) \(diffID)".utf8)) } ?? diffID)
        }
        return chain
    }
}
