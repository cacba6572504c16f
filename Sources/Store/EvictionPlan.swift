import OCI

/// Why something may go, in the order in which it goes.
public enum EvictionReason: Int, Sendable, Comparable, CaseIterable {
    /// Damaged and put aside, an index of an older version, or spans that no index describes.
    case unusable
    /// No known image has it.
    case unneeded
    /// The compressed blob of a layer whose whole content is here: nothing has to be read from it any more.
    case unpacked
    /// Used longest ago.
    case unused
    /// As `unused`, of what is small and takes a whole layer to make again.
    case index

    public static func < (left: EvictionReason, right: EvictionReason) -> Bool { left.rawValue < right.rawValue }
}

extension EvictionReason: CustomStringConvertible {
    public var description: String {
        switch self {
        case .unusable: "nobody can use it"
        case .unneeded: "no image needs it"
        case .unpacked: "its content is all here"
        case .unused, .index: "unused longest"
        }
    }
}

/// Something that may go.
public struct EvictionCandidate: Sendable {
    enum Place: Sendable, Hashable {
        case object(StoreKey)
        /// An index by all its names: one of them alone would be found by some and missed by others.
        case tree([Digest])
        /// All of `quarantine/`.
        case quarantine
    }

    let place: Place
    public let kind: StoredKind
    /// The layer it belongs to; nil for snapshots and for what nobody knows.
    public let layer: Digest?
    /// Positions in `StoreContents.images`.
    let images: [Int]
    /// Bytes of disk that its going frees.
    public let allocatedBytes: UInt64
    /// In nanoseconds since 1970.
    public let lastUse: Int64
    public let reason: EvictionReason
    /// It comes back with its whole layer only: an index, or content of a layer that cannot be fetched in parts.
    let takesLayer: Bool

    /// Path below the store.
    public var path: String {
        switch place {
        case .object(let key): key.path
        case .tree(let names): StoreKey.tree(names[0]).path
        case .quarantine: StoreLayout.quarantine
        }
    }
}

/// Everything that may go, in the order in which it should. What is left out stays: documents of known images, what other tools
/// name, all of pinned images, and layers that somebody is working at. Whether a file is open is seen only when it comes to it.
struct EvictionPlan {
    private(set) var candidates: [EvictionCandidate] = []
    /// A document that nobody names may be one whose reference is about to be written: so young it stays, in nanoseconds.
    private static let documentAge: Int64 = 600_000_000_000

    private let contents: StoreContents
    private let now: Int64
    /// When anything of a content key was last used.
    private let latest: [Digest: Int64]

    /// - Parameter now: in nanoseconds since 1970.
    init(_ contents: StoreContents, now: Int64) {
        self.contents = contents
        self.now = now
        latest = contents.spans.mapValues { $0.map(\.lastUse).max() ?? 0 }
        if contents.quarantine.garbage > 0 {
            add(.quarantine, .garbage, nil, [], contents.quarantine.garbage, 0, .unusable)
        }
        planBlobs()
        planContent()
        planTrees()
        candidates.sort { left, right in
            let (first, second) = (left.reason.rank, right.reason.rank)
            if first != second { return first < second }
            if left.lastUse != right.lastUse { return left.lastUse < right.lastUse }
            return left.path < right.path
        }
    }

    private mutating func planBlobs() {
        var documents = contents.foreign
        for image in contents.images { documents.formUnion(image.documents) }
        for (digest, file) in contents.blobs where !documents.contains(digest) {
            let layer = contents.layers[digest]
            guard !isHeld(layer) else { continue }
            if layer == nil && file.allocatedBytes <= UInt64(ManifestDocument.sizeLimit) && now &- file.lastUse < Self.documentAge { continue }
            let reason: EvictionReason =
                if layer?.images.isEmpty ?? true { .unneeded } else if layer?.isSealed == true && layer?.isComplete == true { .unpacked } else { .unused }
            add(.object(file.key), .blob, layer?.digest ?? digest, layer?.images ?? [], file.allocatedBytes, file.lastUse, reason)
        }
    }

    private mutating func planContent() {
        for (key, files) in contents.spans {
            let layer = contents.layerOfContent[key].flatMap { contents.layers[$0] }
            guard !isHeld(layer) else { continue }
            if let layer {
                add(files, of: layer)
            } else {
                // A layer that is being unpacked has spans before it has an index; whose they are cannot be told.
                guard contents.leased.isEmpty else { continue }
                for file in files { add(.object(file.key), .garbage, nil, [], file.allocatedBytes, file.lastUse, .unusable) }
            }
        }
        for (digest, file) in contents.objects {
            let owners = (contents.layersOfObject[digest] ?? []).compactMap { contents.layers[$0] }
            guard !owners.contains(where: { isHeld($0) }) else { continue }
            if owners.isEmpty && !contents.leased.isEmpty { continue }
            let images = Set(owners.flatMap(\.images)).sorted()
            add(
                .object(file.key), .content, owners.first?.digest, images, file.allocatedBytes, lastUse(file, of: owners),
                images.isEmpty ? .unneeded : .unused, takesLayer: !owners.isEmpty && !owners.contains(where: \.servesSpans))
        }
    }

    private mutating func planTrees() {
        for tree in contents.trees {
            guard let summary = tree.summary else {
                add(tree, nil, [], .unusable)
                continue
            }
            if let identity = summary.identity {
                let layer = contents.layers[identity.blobDigest]
                guard !isHeld(layer) else { continue }
                add(tree, identity.blobDigest, layer?.images ?? [], layer?.images.isEmpty ?? true ? .unneeded : .index)
            } else {
                let images = contents.images(ofSnapshot: summary)
                guard !images.contains(where: { contents.images[$0].isPinned }), contents.leased.isEmpty else { continue }
                add(tree, nil, images, images.isEmpty ? .unneeded : .index)
            }
        }
    }

    private mutating func add(_ files: [StoredFile], of layer: StoredLayer) {
        for file in files {
            add(
                .object(file.key), .content, layer.digest, layer.images, file.allocatedBytes, lastUse(file, of: [layer]), reason(layer),
                takesLayer: !layer.servesSpans)
        }
    }

    /// What comes back with its whole layer only is used whenever anything of the layer is.
    private func lastUse(_ file: StoredFile, of owners: [StoredLayer]) -> Int64 {
        if owners.contains(where: \.servesSpans) { return file.lastUse }
        return owners.flatMap(\.contentKeys).compactMap { latest[$0] }.reduce(file.lastUse, max)
    }

    /// A layer of no known image may still be shown, by a mount that began before the image was removed: so this is only a
    /// reason to go first among equals, not at once.
    private func reason(_ layer: StoredLayer) -> EvictionReason { layer.images.isEmpty ? .unneeded : .unused }

    private func isHeld(_ layer: StoredLayer?) -> Bool {
        guard let layer else { return false }
        return contents.leased.contains(layer.digest) || layer.images.contains { contents.images[$0].isPinned }
    }

    private mutating func add(_ tree: StoredTree, _ layer: Digest?, _ images: [Int], _ reason: EvictionReason) {
        add(.tree(tree.names), .index, layer, images, tree.allocatedBytes, tree.lastUse, reason, takesLayer: true)
    }

    private mutating func add(
        _ place: EvictionCandidate.Place, _ kind: StoredKind, _ layer: Digest?, _ images: [Int], _ bytes: UInt64, _ lastUse: Int64,
        _ reason: EvictionReason, takesLayer: Bool = false
    ) {
        candidates.append(
            EvictionCandidate(
                place: place, kind: kind, layer: layer, images: images, allocatedBytes: bytes, lastUse: lastUse, reason: reason, takesLayer: takesLayer))
    }
}

extension EvictionReason {
    /// What no image needs competes with what some image needs by its last use: only who prunes by hand takes it first.
    fileprivate var rank: Int {
        switch self {
        case .unusable: 0
        case .unpacked: 1
        case .unneeded, .unused: 2
        case .index: 3
        }
    }
}
