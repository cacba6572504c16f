import Glibc
import LinuxIO
import OCI

/// One file of the store, as a scan found it.
public struct StoredFile: Sendable {
    public let key: StoreKey
    /// Bytes of disk.
    public let allocatedBytes: UInt64
    /// When it was last used, in nanoseconds since 1970: exact to a minute where this user may mark it.
    public let lastUse: Int64
}

/// An index with all names it has in the store.
public struct StoredTree: Sendable {
    public internal(set) var names: [Digest]
    public let allocatedBytes: UInt64
    public let lastUse: Int64
    /// nil where it cannot be used: damaged, or of an older version.
    public let summary: IndexSummary?
}

/// Everything in the store that can be fetched or made again, found by looking at every file: about a second for 150,000.
/// What comes and goes meanwhile may or may not be in it.
public struct StoreContents: Sendable {
    public internal(set) var blobs: [Digest: StoredFile] = [:]
    public internal(set) var objects: [Digest: StoredFile] = [:]
    /// By content key.
    public internal(set) var spans: [Digest: [StoredFile]] = [:]
    public internal(set) var trees: [StoredTree] = []
    public internal(set) var quarantine: StoreTotals = StoreTotals()

    /// What the store's references name.
    public internal(set) var images: [StoredImage] = []
    /// Layers that an image names or an index was made from, by the digest of their blob.
    public internal(set) var layers: [Digest: StoredLayer] = [:]
    /// Layers somebody is working at, in whatever process.
    public internal(set) var leased: Set<Digest> = []
    /// Blobs that entries of other tools in `index.json` need.
    var foreign: Set<Digest> = []

    /// Which layer the spans of a content key belong to.
    private(set) var layerOfContent: [Digest: Digest] = [:]
    /// Which layers an object is content of.
    private(set) var layersOfObject: [Digest: [Digest]] = [:]

    public var totals: StoreTotals {
        var totals = quarantine
        totals.blobs = blobs.values.reduce(0) { $0 + $1.allocatedBytes }
        totals.content = objects.values.reduce(0) { $0 + $1.allocatedBytes }
        totals.indexes = trees.reduce(0) { $0 + $1.allocatedBytes }
        for files in spans.values { totals.content += files.reduce(0) { $0 + $1.allocatedBytes } }
        return totals
    }
}

/// What is here of a layer.
public struct StoredLayer: Sendable {
    /// Its compressed blob's digest.
    public let digest: Digest
    /// Positions in `StoreContents.images`, ascending.
    public internal(set) var images: [Int] = []
    /// Positions in `StoreContents.trees`.
    public internal(set) var trees: [Int] = []
    public internal(set) var contentKeys: [Digest] = []
    public internal(set) var objects: [Digest] = []
    /// Whether a part of its content can be fetched by itself.
    public internal(set) var servesSpans = false
    /// Whether the whole layer was proven.
    public internal(set) var isSealed = false
    /// Whether every byte of every file is here, so that the blob is not needed to read it.
    public internal(set) var isComplete = false
}

extension StoreContents {
    /// Connects what was found: which index describes which layer, and which content is whose.
    mutating func connect() {
        for (position, image) in images.enumerated() {
            for digest in image.layers { layers[digest, default: StoredLayer(digest: digest)].images.append(position) }
        }
        for (position, tree) in trees.enumerated() {
            guard let summary = tree.summary, let identity = summary.identity else { continue }
            let digest = identity.blobDigest
            var layer = layers[digest] ?? StoredLayer(digest: digest)
            layer.trees.append(position)
            if !layer.contentKeys.contains(identity.contentKey) { layer.contentKeys.append(identity.contentKey) }
            for object in summary.objects where !layer.objects.contains(object) { layer.objects.append(object) }
            layer.servesSpans = layer.servesSpans || summary.servesSpans
            layerOfContent[identity.contentKey] = digest
            if tree.names.contains(digest) {
                layer.isSealed = true
                let here = Set((spans[identity.contentKey] ?? []).compactMap(\.spanNumber))
                layer.isComplete = summary.isComplete(spans: here) { objects[$0] != nil }
            }
            layers[digest] = layer
        }
        for layer in layers.values {
            for object in layer.objects { layersOfObject[object, default: []].append(layer.digest) }
        }
    }

    /// Positions of the images a snapshot's index is of: those that have all its layers.
    func images(ofSnapshot summary: IndexSummary) -> [Int] {
        let digests = summary.layers.map { layerOfContent[$0] }
        guard !digests.isEmpty, digests.allSatisfy({ $0 != nil }) else { return [] }
        let known = digests.compactMap { $0.flatMap { layers[$0] } }
        return images.indices.filter { image in known.allSatisfy { $0.images.contains(image) } }
    }
}

extension StoredFile {
    var spanNumber: UInt32? { if case .span(_, let number) = key { number } else { nil } }
}
