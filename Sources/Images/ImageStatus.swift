import FoundationEssentials
import OCI
import Store

/// What is here of an image, layer by layer: `status.json` in the mount and `larder image inspect`.
public struct ImageStatus: Sendable, Encodable {
    public struct Layer: Sendable, Encodable {
        public var digest: Digest
        public var diffID: Digest
        public var mediaType: String
        /// Compressed bytes.
        public var size: UInt64
        /// How the layer is packed: tar, gzip, zstd, estargz, zstd:chunked; absent before it was looked into.
        public var format: String?
        /// Where its index comes from: stream, or table-of-contents.
        public var indexSource: String?
        public var files: Int?
        /// Bytes of file content, unpacked, and how many of them are in the store.
        public var contentBytes: UInt64?
        public var contentBytesHere: UInt64?
        /// The compressed blob is in the store.
        public var blobHere: Bool
        /// Blob digest and DiffID of the whole layer are proven.
        public var sealed: Bool
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
        let layers = image.layers.map { layer in
            let tree = try? storedTree(of: layer)
            let stored = tree?.storedBytes
            return ImageStatus.Layer(
                digest: layer.descriptor.digest, diffID: layer.diffID, mediaType: layer.descriptor.mediaType, size: layer.descriptor.size,
                format: tree?.format.name, indexSource: tree.map { $0.format.hasTableOfContents ? "table-of-contents" : "stream" },
                files: tree?.view.nodeCount, contentBytes: stored?.total, contentBytesHere: stored?.here,
                blobHere: store.hasBlob(layer.descriptor.digest), sealed: store.hasTree(layer.descriptor.digest)
            )
        }
        return ImageStatus(
            reference: image.reference.description, digest: image.manifestDescriptor.digest,
            platform: Platform(os: image.config.os ?? "unknown", architecture: image.config.architecture ?? "unknown", variant: image.config.variant).description,
            created: image.config.created, chainID: image.chain.last, size: image.size,
            complete: layers.allSatisfy { $0.sealed && $0.contentBytes == $0.contentBytesHere }, layers: layers
        )
    }
}
