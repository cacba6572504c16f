import OCI

/// Makes a snapshot of layers: what a runtime sees that unpacks one over the other, lowest first.
///
/// The trees are walked together, directory by directory, as a merge of sorted lists: linear in their nodes. Nodes come
/// out breadth first, so that the entries of a directory are neighbours.
public enum SnapshotMerge {
    /// A layer and the key under which the store has its index.
    public struct Layer: Sendable {
        public var index: TreeIndex
        public var treeKey: Digest

        public init(index: TreeIndex, treeKey: Digest) {
            self.index = index
            self.treeKey = treeKey
        }
    }

    /// - Throws: `.unresolvedLink` for a hard link whose target no layer up to its own has, `.tooMany` beyond the limits.
    public static func merge(_ layers: [Layer], limits: TreeLimits = TreeLimits()) throws(TreeIndexError) -> IndexDocument {
        guard layers.count <= min(limits.layers, Int(UInt16.max)) else { throw .tooMany("layers", limit: limits.layers) }
        var walk = MergeWalk(views: layers.map(\.index.view), limits: limits)
        for layer in layers {
            guard let identity = layer.index.identity else { throw .damaged("a snapshot where a layer is needed") }
            walk.tables.layers.append(
                LayerReference(treeKey: layer.treeKey, blobDigest: identity.blobDigest, diffID: identity.diffID))
        }
        try walk.run()
        // The views in the walk point into these.
        withExtendedLifetime(layers) {}
        var header = IndexHeader()
        header.what = IndexHeader.What.snapshot.rawValue
        return IndexDocument(header: header, tables: walk.tables)
    }
}

/// An inode or directory of one of the layers.
struct LayerNode: Hashable {
    var slot: UInt16
    var ordinal: Ordinal
}

/// The rule by which layers hide each other, for one name.
///
/// From the topmost layer down: a whiteout ends it; anything else that is no directory ends it too, and is what is seen
/// if it is the topmost; directories unite, and an opaque one is the last whose entries do. What a directory is like,
/// the topmost says that describes it, which may be one whose entries are hidden.
struct Overlay {
    /// The whole result where it is no directory.
    private(set) var file: LayerNode?
    /// Directories whose entries unite here, topmost first.
    private(set) var directories: [LayerNode] = []
    /// The directory with the owner, mode and so on of the result; nil where nobody has described it.
    private(set) var described: LayerNode?
    private var isOpaque = false
    private var isClosed = false

    /// Adds what the next lower layer has under the name.
    mutating func add(_ member: LayerNode, _ node: TreeNode) {
        guard !isClosed else { return }
        switch node.kind {
        case .directory:
            if !isOpaque { directories.append(member) }
            if described == nil, !node.flags.contains(.implicit) { described = member }
            isOpaque = isOpaque || node.flags.contains(.opaque)
            isClosed = isOpaque && described != nil
        case .whiteout:
            isClosed = true
        default:
            if directories.isEmpty { file = member }
            isClosed = true
        }
    }

    mutating func removeAll() {
        file = nil
        directories.removeAll(keepingCapacity: true)
        described = nil
        isOpaque = false
        isClosed = false
    }
}
