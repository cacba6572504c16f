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
        /// nil once the index is being finished.
        var builder: TreeBuilder? = TreeBuilder()
        var error: (any Error)?
        var tree: LayerTree?
    }

    public let layer: ImageLayer
    private let store: Store
    private let download: BlobDownload
    private let state = Mutex(State())
    private let progress = Progress()

    init(layer: ImageLayer, store: Store, download: BlobDownload) {
        self.layer = layer
        self.store = store
        self.download = download
    }

    // MARK: - The unpacker's side

    /// Adds a member; nil where it only marks something (an opaque directory).
    func add(_ entry: ArchiveEntry) throws -> Ordinal? { try build { try $0.add(entry) } }
    func setContent(_ ordinal: Ordinal, at offset: UInt64) throws { try build { try $0.setContent(ordinal, at: offset) } }
    func setObject(_ ordinal: Ordinal, _ digest: Digest) throws { try build { try $0.setObject(ordinal, digest) } }
    func append(_ span: ContentSpan) throws { _ = try build { try $0.append(span) } }

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
            if let tree = state.tree { return tree.view.node(ordinal) }
            guard let builder = state.builder, Int(ordinal) < builder.nodeCount else { return nil }
            return builder.node(ordinal)
        }
    }

    /// The target of a symlink that `child` has found.
    public func linkTarget(_ ordinal: Ordinal) async throws -> [UInt8] {
        try await follow { state in
            if let tree = state.tree { return Array(tree.view.linkTarget(of: tree.view.node(ordinal))) }
            return state.builder?.linkTarget(of: ordinal)
        }
    }

    /// Waits until the file's bytes are in the store, and reads them there. Sparse files wait for the whole layer.
    public func read(_ ordinal: Ordinal, at offset: UInt64, count: Int) async throws -> [UInt8] {
        let node = try await node(ordinal)
        guard offset < node.size else { return [] }
        let end = min(node.size, offset + UInt64(count))
        if !node.flags.contains(.sparse) {
            let early: [UInt8]? = try await follow { state in
                if state.tree != nil { return .some(nil) }
                guard let builder = state.builder else { return nil }
                return try self.readEarly(builder, ordinal, offset..<end).map { .some($0) }
            }
            if let early { return early }
        }
        let tree = try await whole()
        var bytes = [UInt8](repeating: 0, count: Int(end - offset))
        while true {
            if let read = try bytes.withUnsafeMutableBytes({ try tree.read(ordinal, at: offset, into: $0) }) { return Array(bytes.prefix(read)) }
            try await tree.fetch(ordinal, at: offset, count: count)
        }
    }

    /// The bytes where all of them are published already, else nil.
    private func readEarly(_ builder: TreeBuilder, _ ordinal: Ordinal, _ range: Range<UInt64>) throws -> [UInt8]? {
        let node = builder.node(ordinal)
        var bytes = [UInt8](repeating: 0, count: Int(range.upperBound - range.lowerBound))
        if let digest = builder.objectDigest(of: ordinal) {
            guard let file = try store.openObject(digest) else { return nil }
            _ = try bytes.withUnsafeMutableBytes { try file.read(into: $0, at: range.lowerBound) }
            return bytes
        }
        guard let content = node.contentOffset else { return nil }
        var done = 0
        while done < bytes.count {
            let position = content + range.lowerBound + UInt64(done)
            guard let number = builder.spanNumber(at: position), let file = try store.openSpan(layer.descriptor.digest, UInt32(number)) else { return nil }
            let span = builder.span(number)
            let count = min(bytes.count - done, Int(span.contentEnd - position))
            _ = try bytes.withUnsafeMutableBytes {
                try file.read(into: UnsafeMutableRawBufferPointer(rebasing: $0[done..<done + count]), at: position - span.contentStart)
            }
            done += count
        }
        return bytes
    }

    /// Asks `body` again after every advance until it answers; throws when the stream has failed.
    private func follow<Value: Sendable>(_ body: @Sendable (borrowing State) throws -> Value?) async throws -> Value {
        while true {
            let seen = progress.count
            if let value = try state.withLock({ state throws in
                if let error = state.error { throw error }
                return download.verified || state.tree != nil ? try body(state) : nil
            }) { return value }
            _ = try await progress.next(after: seen)
        }
    }
}
