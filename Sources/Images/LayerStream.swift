import Archive
import OCI
import Store
import Synchronization
import TreeIndex

/// A layer while it is unpacked: the growing tree, and readers that follow behind its head.
///
/// A reader sees a name or a byte as soon as it has passed the head *and* the blob it comes from is verified (DESIGN
/// tenet 4). Ordinals are those of the finished index.
public final class LayerStream: Sendable {
    private struct State {
        /// nil before the first attempt.
        var download: BlobDownload?
        /// nil once the index is being finished.
        var builder: TreeBuilder?
        var error: (any Error)?
        var tree: LayerTree?
    }

    public let layer: ImageLayer
    private let store: Store
    private let contentKey: Digest
    private let state = Mutex(State())
    private let progress = Progress()

    init(layer: ImageLayer, store: Store) {
        self.layer = layer
        self.store = store
        contentKey = LayerUnpacker.contentKey(of: layer.descriptor.digest)
    }

    /// Ends the stream where it still waits for bytes.
    func cancel() { state.withLock { $0.download }?.cancel() }

    // MARK: - The unpacker's side

    /// Starts with an empty tree. Readers notice nothing of an attempt before this one: it failed before its blob was
    /// verified, so they have seen nothing of it.
    func begin(_ download: BlobDownload) {
        state.withLock { state in
            state.download = download
            state.builder = TreeBuilder()
        }
    }

    /// Adds a member; nil where it only marks something (an opaque directory).
    func add(_ entry: ArchiveEntry) throws -> Ordinal? { try build { try $0.add(entry) } }
    func setContent(_ ordinal: Ordinal, at offset: UInt64) throws { try build { try $0.setContent(ordinal, at: offset) } }
    func setObject(_ ordinal: Ordinal, _ digest: Digest) throws { try build { try $0.setObject(ordinal, digest) } }
    func append(_ span: ContentSpan, start: SpanEntry?) throws { _ = try build { try $0.append(span, start: start) } }

    private func build<Value: Sendable>(_ body: (inout TreeBuilder) throws -> Value) throws -> Value {
        try state.withLock { state in
            guard state.builder != nil else { throw ImageError.blob(layer.descriptor, "unpacked twice at once") }
            return try body(&state.builder!)
        }
    }

    /// Ends the growth: from here on readers wait for the finished tree.
    func finish(_ identity: LayerIdentity) throws -> IndexDocument {
        guard let builder = state.withLock({ $0.builder.take() }) else { throw ImageError.blob(layer.descriptor, "unpacked twice at once") }
        return try builder.finish(identity)
    }

    /// More has been published.
    func advance() { progress.advance() }

    func end(_ result: Result<LayerTree, any Error>) {
        state.withLock { state in
            switch result {
            case .success(let tree): state.tree = tree
            case .failure(let error): state.error = error
            }
        }
        progress.advance()
    }

    // MARK: - The readers' side

    /// The finished tree, once there is one.
    public var finished: LayerTree? { state.withLock { $0.tree } }

    /// Waits for the whole layer.
    public func whole() async throws -> LayerTree { try await follow { $0.tree } }

    /// Waits for the whole layer and gives it as a tree that can be shown.
    public func content() async throws -> ContentTree { ContentTree(layer: try await whole()) }

    /// The entry `name` of `directory`, as soon as it has passed the head; nil once it is sure that there is none.
    public func child(of directory: Ordinal, named name: [UInt8]) async throws -> (ordinal: Ordinal, node: TreeNode)? {
        let found: (ordinal: Ordinal, node: TreeNode)?? = try await follow { state in
            if let tree = state.tree {
                guard tree.view.contains(directory) else { throw ImageError.unknownNode(directory, layer.descriptor.digest) }
                let child = name.withUnsafeBytes { tree.view.child(of: directory, named: $0) }.map { tree.view.canonical($0) }
                return .some(child.map { ($0, tree.view.node($0)) })
            }
            guard let builder = state.builder, let child = builder.child(of: directory, named: name[...]) else { return nil }
            let inode = builder.canonical(child)
            let node = builder.node(inode)
            // A whiteout or a dangling link may still become something else.
            guard node.kind != .whiteout, node.kind != .danglingLink else { return nil }
            return .some((inode, node))
        }
        return found ?? nil
    }

    /// The record of a node that `child` has found.
    public func node(_ ordinal: Ordinal) async throws -> TreeNode {
        try await follow { state in
            if let tree = state.tree {
                guard tree.view.contains(ordinal) else { throw ImageError.unknownNode(ordinal, layer.descriptor.digest) }
                return tree.view.node(ordinal)
            }
            guard let builder = state.builder, Int(ordinal) < builder.nodeCount else { return nil }
            return builder.node(ordinal)
        }
    }

    /// The target of a symlink that `child` has found.
    public func linkTarget(_ ordinal: Ordinal) async throws -> [UInt8] {
        try await follow { state in
            if let tree = state.tree { return tree.view.contains(ordinal) ? Array(tree.view.linkTarget(of: tree.view.node(ordinal))) : [] }
            guard let builder = state.builder, Int(ordinal) < builder.nodeCount else { return nil }
            return builder.linkTarget(of: ordinal)
        }
    }

    /// Waits until the file's bytes are in the store, and reads them there. Sparse files wait for the whole layer.
    public func read(_ ordinal: Ordinal, at offset: UInt64, count: Int) async throws -> [UInt8] {
        let node = try await node(ordinal)
        guard offset < node.size else { return [] }
        let end = min(node.size, offset + UInt64(count))
        if !node.flags.contains(.sparse), let early = try await readEarly(ordinal, offset..<end) { return early }
        let tree = try await whole()
        var bytes = [UInt8](repeating: 0, count: Int(end - offset))
        while true {
            if let read = try bytes.withUnsafeMutableBytes({ try tree.read(ordinal, at: offset, into: $0) }) { return Array(bytes.prefix(read)) }
            try await tree.fetch(ordinal, at: offset, count: count)
        }
    }

    /// A piece of a file, and the published file that holds it.
    private struct Piece {
        let key: StoreKey
        let offset: UInt64
        let count: Int
    }

    /// Waits for the bytes behind the head; nil where the stream ended before.
    private func readEarly(_ ordinal: Ordinal, _ range: Range<UInt64>) async throws -> [UInt8]? {
        while true {
            let seen = progress.count
            // The places are looked up under the lock, which the unpacker needs too; the disk is read without it.
            let pieces: [Piece]?? = try await follow { state in
                if state.tree != nil { return .some(nil) }
                return state.builder.map { self.pieces($0, ordinal, range) }
            }
            guard let pieces = pieces ?? nil else {
                if finished != nil { return nil }
                _ = try await progress.next(after: seen)
                continue
            }
            if let bytes = try read(pieces, Int(range.upperBound - range.lowerBound)) { return bytes }
            _ = try await progress.next(after: seen)
        }
    }

    /// Where the bytes are; nil where the unpacker has not come to them.
    private func pieces(_ builder: borrowing TreeBuilder, _ ordinal: Ordinal, _ range: Range<UInt64>) -> [Piece]? {
        if let digest = builder.objectDigest(of: ordinal) {
            return [Piece(key: .object(digest), offset: range.lowerBound, count: Int(range.upperBound - range.lowerBound))]
        }
        guard let content = builder.node(ordinal).contentOffset else { return nil }
        var pieces: [Piece] = []
        var position = content + range.lowerBound
        let end = content + range.upperBound
        while position < end {
            guard let number = builder.spanNumber(at: position) else { return nil }
            let span = builder.span(number)
            let count = min(end, span.contentEnd) - position
            pieces.append(Piece(key: .span(contentKey, UInt32(number)), offset: position - span.contentStart, count: Int(count)))
            position += count
        }
        return pieces
    }

    /// The bytes where all of them are published; else nil.
    private func read(_ pieces: [Piece], _ count: Int) throws -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        var done = 0
        for piece in pieces {
            guard let file = try store.open(piece.key) else { return nil }
            let read = try bytes.withUnsafeMutableBytes {
                try file.read(into: UnsafeMutableRawBufferPointer(rebasing: $0[done..<done + piece.count]), at: piece.offset)
            }
            guard read == piece.count else { throw ImageError.cutShort(piece.key) }
            done += read
        }
        return bytes
    }

    /// Asks `body` again after every advance until it answers; throws when the stream has failed.
    private func follow<Value: Sendable>(_ body: @Sendable (borrowing State) throws -> Value?) async throws -> Value {
        while true {
            let seen = progress.count
            if let value = try state.withLock({ state throws in
                if let error = state.error { throw error }
                return state.download?.verified == true || state.tree != nil ? try body(state) : nil
            }) { return value }
            _ = try await progress.next(after: seen)
        }
    }
}
