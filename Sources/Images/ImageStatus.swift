import FoundationEssentials
import OCI
import Store

/// What is here of an image, layer by layer: `status.json` in the mount and `larder image inspect`.
public struct ImageStatus: Sendable, Codable {
    public struct Layer: Sendable, Codable {
        public var digest: Digest
        public var diffID: Digest
        public var mediaType: String
        /// Compressed bytes.
        public var size: UInt64
        /// How the layer is packed: tar, gzip, zstd, estargz, zstd:chunked; absent before it was looked into.
        public var format: String?
        /// Where its index comes from: `IndexSource`.
        public var indexSource: String?
        public var files: Int?
        /// Bytes of file content, unpacked, and how many of them are in the store.
        public var contentBytes: UInt64?
        public var contentBytesHere: UInt64?
        /// The compressed blob is in the store.
        public var blobHere: Bool
        /// The DiffID of the whole layer is proven; its blob digest as well where the blob came whole.
        public var sealed: Bool
        /// Compressed bytes that this process has fetched, by cause (demand, ahead, profile, rest, fill, stream, pull); absent where it
        /// has fetched none.
        public var fetched: [String: UInt64]?
        /// Compressed bytes per second over the last seconds.
        public var bytesPerSecond: Double?
        /// Readers that wait for content of this layer now.
        public var waitingReaders: Int?
        /// The rest of it is being fetched, because its readers have waited for too long.
        public var fetchingRest: Bool?
    }

    /// What is read of the image first.
    public struct Profile: Sendable, Codable {
        /// The image has an access profile here.
        public var present: Bool
        /// What is read of it is recorded now.
        public var recording: Bool
        /// Spans that the profile asked for when this process began to use the image, and those of them that have come.
        public var wantedSpans: Int
        public var broughtSpans: Int
    }

    public var reference: String
    public var digest: Digest
    public var platform: String
    public var created: String?
    public var chainID: Digest?
    /// Compressed bytes of all layers.
    public var size: UInt64
    /// Every layer is here whole and sealed: the image needs no registry.
    public var complete: Bool
    public var profile: Profile
    public var layers: [Layer]

    /// The document as text, keys sorted, with a closing newline.
    public var json: [UInt8] {
        get throws {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            return Array(try encoder.encode(self)) + [UInt8(ascii: "\n")]
        }
    }
}

extension ImageLibrary {
    public func status(of image: Image) -> ImageStatus {
        let fetches = fetchCounters
        let layers = image.layers.map { status(of: $0, try? storedTree(of: $0), fetches) }
        return ImageStatus(
            reference: image.reference.description, digest: image.manifestDescriptor.digest,
            platform: Platform(os: image.config.os ?? "unknown", architecture: image.config.architecture ?? "unknown", variant: image.config.variant).description,
            created: image.config.created, chainID: image.chain.last, size: image.size, complete: layers.allSatisfy(\.isComplete), profile: profileStatus(of: image),
            layers: layers
        )
    }

    /// As `status`, of what this process has to do with: nil for an image of whose layers it has opened and fetched none, because to
    /// open the indexes of all images that a store has would fill memory with what nobody uses.
    public func statusInUse(of image: Image) -> ImageStatus? {
        let fetches = fetchCounters
        let isUsed = trees.withLock { trees in image.layers.contains { trees[$0.descriptor.digest] != nil || trees[AdoptedIndex.slot(of: $0)] != nil } }
            || image.layers.contains { fetches.layers[$0.descriptor.digest] != nil }
            || uses.withLock { $0[image.manifestDescriptor.digest] != nil }
        return isUsed ? status(of: image) : nil
    }

    private func status(of layer: ImageLayer, _ tree: LayerTree?, _ fetches: FetchCounters) -> ImageStatus.Layer {
        let stored = tree?.storedBytes
        let fetched = fetches.layers[layer.descriptor.digest]
        return ImageStatus.Layer(
            digest: layer.descriptor.digest, diffID: layer.diffID, mediaType: layer.descriptor.mediaType, size: layer.descriptor.size,
            format: tree?.format.name, indexSource: tree?.indexSource.rawValue, files: tree?.view.nodeCount, contentBytes: stored?.total,
            contentBytesHere: stored?.here, blobHere: store.hasBlob(layer.descriptor.digest), sealed: store.hasTree(layer.descriptor.digest),
            fetched: fetched.map { Dictionary(uniqueKeysWithValues: $0.bytes.map { ($0.key.name, $0.value) }) }, bytesPerSecond: fetched?.bytesPerSecond,
            waitingReaders: fetched?.waitingReaders, fetchingRest: fetched?.isFetchingRest
        )
    }

    /// How many opened layers have their index from each source.
    public var indexSources: [IndexSource: Int] {
        let opened = trees.withLock { trees in Dictionary(trees.values.map { ($0.tree.contentKey, $0.tree) }) { first, _ in first } }
        return Dictionary(opened.values.map { ($0.indexSource, 1) }, uniquingKeysWith: +)
    }
}

extension ImageStatus.Layer {
    /// All of it is here and proven.
    fileprivate var isComplete: Bool { sealed && contentBytes == contentBytesHere }
}
