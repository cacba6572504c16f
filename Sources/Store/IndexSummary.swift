import Glibc
import LinuxIO
import OCI
import Synchronization
import TreeIndex

/// What an index says of the content that belongs to it: as much as is needed to account for it and to let it go.
public struct IndexSummary: Sendable {
    /// Of a layer; nil for a snapshot.
    public let identity: LayerIdentity?
    /// Content keys of a snapshot's layers, lowest first; empty for a layer.
    public let layers: [Digest]
    /// Files, directories and all else.
    public let nodeCount: Int
    /// Bytes of all files, holes included, each inode once.
    public let logicalBytes: UInt64
    public let spanCount: Int
    /// Whether a span that has gone can be fetched by itself; otherwise it takes the whole layer.
    public let servesSpans: Bool
    /// Large files that are, or can become, objects of their own.
    public let objects: [Digest]
    /// One bit for each span: set where the span holds nothing but a part of a large file.
    private let exclusive: [UInt64]

    init(_ index: TreeIndex) {
        let view = index.view
        identity = index.identity
        layers = index.isSnapshot ? (0..<view.layerCount).compactMap { view.layer($0).treeKey } : []
        nodeCount = view.nodeCount
        var logical: UInt64 = 0
        for ordinal in 0..<Ordinal(view.nodeCount) {
            let node = view.node(ordinal)
            if node.kind == .regular && !node.isDead && !node.isHardLink { logical &+= node.size }
        }
        logicalBytes = logical
        spanCount = view.spanCount
        servesSpans = identity.map { [.tar, .estargz, .zstdChunked].contains($0.format) || view.hasStarts } ?? false
        objects = (0..<view.objectCount).compactMap { view.object($0).digest }
        var bits = [UInt64](repeating: 0, count: (view.spanCount + 63) / 64)
        for number in 0..<view.spanCount where view.span(number).flags.contains(.exclusive) { bits[number / 64] |= 1 << UInt64(number % 64) }
        exclusive = bits
    }

    /// Whether every byte of every file can be read from these spans and objects.
    func isComplete(spans: Set<UInt32>, hasObject: (Digest) -> Bool) -> Bool {
        guard objects.allSatisfy(hasObject) else { return false }
        return (0..<spanCount).allSatisfy { exclusive[$0 / 64] & 1 << UInt64($0 % 64) != 0 || spans.contains(UInt32($0)) }
    }
}

/// Summaries of indexes, each read once: to validate a large index takes milliseconds.
final class SummaryCache: Sendable {
    private struct Entry {
        let inode: UInt64
        let changed: Int
        let summary: IndexSummary?
    }

    private let entries = Mutex<[Digest: Entry]>([:])

    /// nil where the index is damaged, of an older version, or has gone.
    func summary(_ key: Digest, _ status: stat, in store: Store) -> IndexSummary? {
        let (inode, changed) = (UInt64(status.st_ino), status.st_mtim.tv_sec)
        if let known = entries.withLock({ $0[key] }), known.inode == inode, known.changed == changed { return known.summary }
        // Without its mark: to be looked at by us is no use.
        let summary = store.validTree(key).map { IndexSummary($0) }
        entries.withLock { $0[key] = Entry(inode: inode, changed: changed, summary: summary) }
        return summary
    }

    /// Forgets what is no longer there.
    func keep(_ keys: Set<Digest>) { entries.withLock { entries in entries = entries.filter { keys.contains($0.key) } } }
}

extension Store {
    /// The index as it is, unused and untouched: a bad one stays where it is.
    fileprivate func validTree(_ key: Digest) -> TreeIndex? {
        guard let file = try? root.openIfPresent(StoreKey.tree(key).path, O_RDONLY | O_NOFOLLOW), let map = try? MappedFile(file) else { return nil }
        return try? TreeIndex(validating: map)
    }
}
