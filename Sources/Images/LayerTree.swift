import LinuxIO
import OCI
import Store
import Synchronization
import TreeIndex

/// One layer whose index is known, with its content: what is in the store, and how to get the rest.
public final class LayerTree: Sendable {
    /// What does not change about the layer: the index and what is worth looking up once.
    struct Parts: Sendable {
        let index: TreeIndex
        let view: TreeView
        /// The whole layer has been proven. What nobody reads of it is not needed any more.
        let isProven: Bool
        /// Names the layer's spans in the store.
        let contentKey: Digest
        /// Large files that have spans, in the order of their content.
        let largeFiles: [Ordinal]
        /// Large files that have no spans, only an object, with their sizes in bytes.
        let loneObjects: [(digest: Digest, size: UInt64)]
    }

    let parts: Parts
    public let layer: ImageLayer
    public let format: LayerFormat
    let supply: Supply
    private let presence: Mutex<SpanPresence>
    private let missing: Atomic<Int>
    let flights: SpanFlights
    /// Brings back the content of a layer that does not serve spans, by streaming it once more.
    let restore: @Sendable () async throws -> Void
    /// Who serves in place of this tree where its index came from outside and is of no use any more.
    let succession = Succession()

    public var index: TreeIndex { parts.index }
    public var view: TreeView { parts.view }
    public var contentKey: Digest { parts.contentKey }

    init(_ index: TreeIndex, _ identity: LayerIdentity, layer: ImageLayer, supply: Supply, restore: @escaping @Sendable () async throws -> Void) throws {
        let view = index.view
        var largeFiles: [Ordinal] = []
        var loneObjects: [(digest: Digest, size: UInt64)] = []
        for ordinal in 0..<Ordinal(view.nodeCount) {
            let node = view.node(ordinal)
            guard node.flags.contains(.large), !node.isDead else { continue }
            if node.contentOffset != nil {
                largeFiles.append(ordinal)
            } else if let digest = node.objectNumber.flatMap({ view.object($0).digest }) {
                loneObjects.append((digest, node.size))
            }
        }
        largeFiles.sort { (view.node($0).contentOffset ?? 0) < (view.node($1).contentOffset ?? 0) }
        parts = Parts(index: index, view: view, isProven: identity.diffID != nil, contentKey: identity.contentKey, largeFiles: largeFiles, loneObjects: loneObjects)
        self.layer = layer
        self.supply = supply
        self.restore = restore
        format = identity.format
        flights = SpanFlights(spanCount: view.spanCount)
        let presence = try SpanPresence(of: parts, in: supply.store)
        missing = Atomic(presence.missing)
        self.presence = Mutex(presence)
    }

    /// Single spans can be fetched by range. Otherwise the layer has to be streamed anew for what has gone from the store.
    var servesSpans: Bool { format.hasTableOfContents || format == .tar || view.hasStarts }

    // MARK: - What is here

    /// Every byte of every file is in the store.
    public var isComplete: Bool { missing.load(ordering: .relaxed) == 0 }

    /// Bytes of content in the store, and in all.
    public var storedBytes: (here: UInt64, total: UInt64) {
        var here: UInt64 = 0
        var total: UInt64 = 0
        presence.withLock { presence in
            for number in 0..<view.spanCount {
                total += view.span(number).length
                if presence[number] { here += view.span(number).length }
            }
        }
        for object in parts.loneObjects {
            total += object.size
            if supply.store.hasObject(object.digest) { here += object.size }
        }
        return (here, total)
    }

    /// Bytes of the file that are in the store: what `st_blocks` counts.
    public func storedSize(_ ordinal: Ordinal) -> UInt64 {
        let node = view.node(ordinal)
        let stored = view.storedSize(of: node)
        if isComplete || stored == 0 || hasObject(ordinal) { return stored }
        guard let content = node.contentOffset else { return 0 }
        return presence.withLock { presence in
            var bytes: UInt64 = 0
            for number in view.spanNumbers(in: content..<content + stored) where presence[number] {
                let span = view.span(number)
                bytes += min(span.contentEnd, content + stored) - max(span.contentStart, content)
            }
            return bytes
        }
    }

    /// Whether all of a file's content is in the store.
    public func isHere(_ ordinal: Ordinal) -> Bool { storedSize(ordinal) == view.storedSize(of: view.node(ordinal)) }

    /// sha256 of a file's content as far as it can be told without fetching: known from the index, or computed from what is
    /// here where the file is small.
    public func contentDigest(_ ordinal: Ordinal) -> Digest? {
        let node = view.node(ordinal)
        guard node.kind == .regular else { return nil }
        if let digest = objectDigest(ordinal) { return digest }
        guard node.size <= 4 << 20 else { return nil }
        var bytes = [UInt8](repeating: 0, count: Int(node.size))
        guard let count = try? bytes.withUnsafeMutableBytes({ try read(ordinal, at: 0, into: $0) }), count == bytes.count else { return nil }
        return Digest(of: bytes)
    }

    /// Whether a span was in the store when it was last looked at.
    func hasSpan(_ number: Int) -> Bool { presence.withLock { $0[number] } }

    func mark(_ number: Int) {
        presence.withLock { presence in
            if presence.insert(number) { missing.subtract(1, ordering: .relaxed) }
        }
    }

    func markMissing(_ number: Int) {
        presence.withLock { presence in
            if presence.remove(number) { missing.add(1, ordering: .relaxed) }
        }
    }

    /// Looks into the store anew, after another process or a stream has filled it.
    func refreshPresence() throws {
        // Before the store is looked at: what is published meanwhile is then in both.
        let fresh = supply.fresh.numbers(of: contentKey)
        var found = try SpanPresence(of: parts, in: supply.store)
        for number in fresh { _ = found.insert(number) }
        presence.withLock { [found] presence in
            presence = found
            missing.store(found.missing, ordering: .relaxed)
        }
    }

    /// Looks anew, and says whether everything is here.
    func isCompleteNow() throws -> Bool {
        try refreshPresence()
        return isComplete
    }

    // MARK: - Objects

    func objectDigest(_ ordinal: Ordinal) -> Digest? { view.node(ordinal).objectNumber.flatMap { view.object($0).digest } }

    /// A descriptor for the whole content of a large file; nil where it is not (yet) one object.
    public func openObject(_ ordinal: Ordinal) throws -> OwnedDescriptor? {
        guard let digest = objectDigest(ordinal) else { return nil }
        return try supply.store.openObject(digest)
    }

    /// Whether `openObject` would answer.
    public func hasObject(_ ordinal: Ordinal) -> Bool { objectDigest(ordinal).map { supply.store.hasObject($0) } ?? false }

    /// The large file whose content an exclusive span holds a part of. nil also where only a file that a later member of the
    /// archive replaced had it.
    func largeFile(at number: Int) -> Ordinal? { parts.largeFile(at: number) }
}

extension LayerTree.Parts {
    func largeFile(at number: Int) -> Ordinal? {
        let span = view.span(number)
        guard span.flags.contains(.exclusive) else { return nil }
        // The last one that begins at or before the span.
        var low = 0
        var high = largeFiles.count
        while low < high {
            let middle = (low + high) / 2
            if (view.node(largeFiles[middle]).contentOffset ?? 0) <= span.contentStart { low = middle + 1 } else { high = middle }
        }
        guard low > 0 else { return nil }
        let node = view.node(largeFiles[low - 1])
        guard let content = node.contentOffset, span.contentEnd - content <= view.storedSize(of: node) else { return nil }
        return largeFiles[low - 1]
    }

    /// The spans that hold a large file's content and nothing else: what an object makes superfluous.
    func exclusiveSpans(of ordinal: Ordinal) -> Range<Int> {
        let node = view.node(ordinal)
        guard let content = node.contentOffset else { return 0..<0 }
        let spans = view.spanNumbers(in: content..<content + view.storedSize(of: node))
        let exclusive = spans.filter { view.span($0).flags.contains(.exclusive) }
        // They are neighbours: what is not exclusive is at the edges.
        guard let first = exclusive.first, let last = exclusive.last else { return 0..<0 }
        return first..<last + 1
    }
}

extension LayerFormat {
    /// The layer's maker has described it: its content space is files alone, and its chunks have digests.
    var hasTableOfContents: Bool { self == .estargz || self == .zstdChunked }

    /// As `status.json` and messages call it.
    public var name: String {
        switch self {
        case .tar: "tar"
        case .gzip: "gzip"
        case .zstd: "zstd"
        case .estargz: "estargz"
        case .zstdChunked: "zstd:chunked"
        }
    }
}
