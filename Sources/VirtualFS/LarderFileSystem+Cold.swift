import Images
import LinuxIO
import OCI
import Remote
import Store
import TreeIndex

/// The cold side: the same operations for trees that must first be opened and content that must first be fetched. All
/// of it waits no longer than the sources of `Remote` do without an answer.
extension LarderFileSystem {
    public func coldLookup(_ parent: NodeID, _ name: [UInt8]) async throws(FSError) -> Entry {
        try await answering("lookup") {
            if parent.serial == SyntheticTable.serial { return try await self.coldLookupSynthetic(parent, name) }
            let tree = try self.tree(parent)
            switch try await tree.openedOrStreaming() {
            case .whole(let content):
                try Self.check(parent, content)
                return name.withUnsafeBytes { Self.entry(tree, content, parent.ordinal, $0) }
            case .streaming(let stream):
                guard let (ordinal, node) = try await stream.child(of: parent.ordinal, named: name) else { return .absent(lifetime: 0) }
                return tree.entry(ordinal, node)
            }
        }
    }

    public func coldAttributes(_ node: NodeID) async throws(FSError) -> Entry {
        try await answering("getattr") {
            let tree = try self.tree(node)
            switch try await tree.openedOrStreaming() {
            case .whole(let content):
                try Self.check(node, content)
                return tree.entry(node.ordinal, in: content)
            case .streaming(let stream): return tree.entry(node.ordinal, try await stream.node(node.ordinal))
            }
        }
    }

    public func coldReadLink(_ node: NodeID) async throws(FSError) -> [UInt8] {
        try await answering("readlink") {
            let tree = try self.tree(node)
            switch try await tree.openedOrStreaming() {
            case .whole(let content):
                try Self.check(node, content)
                guard content.view.node(node.ordinal).kind == .symlink else { throw FSError.invalid }
                return Array(content.view.linkTarget(of: content.view.node(node.ordinal)))
            case .streaming(let stream):
                guard try await stream.node(node.ordinal).kind == .symlink else { throw FSError.invalid }
                return try await stream.linkTarget(node.ordinal)
            }
        }
    }

    public func coldOpen(_ node: NodeID, flags: Int32) async throws(FSError) -> OpenedFile {
        try await answering("open") {
            if node.serial == SyntheticTable.serial { return try await self.coldOpenSynthetic(node) }
            let tree = try self.tree(node)
            switch try await tree.openedOrStreaming() {
            case .whole(let content):
                try Self.check(node, content)
                guard !content.view.node(node.ordinal).isDirectory else { throw FSError.isDirectory }
                return OpenedFile(caching: .keep, complete: content.hasObject(node.ordinal))
            case .streaming(let stream):
                guard try await !stream.node(node.ordinal).isDirectory else { throw FSError.isDirectory }
                return OpenedFile(caching: .keep)
            }
        }
    }

    public func coldRead(_ node: NodeID, handle: UInt64, at offset: UInt64, count: Int) async throws(FSError) -> [UInt8] {
        try await answering("read") {
            if node.serial == SyntheticTable.serial { return try await self.coldReadSynthetic(node, offset, count) }
            let tree = try self.tree(node)
            if tree.content == nil, case .streaming(let stream) = try await tree.openedOrStreaming() {
                return try await stream.read(node.ordinal, at: offset, count: count)
            }
            let content = try await tree.opened()
            try Self.check(node, content)
            var bytes = [UInt8](repeating: 0, count: count)
            // A span that was fetched can be gone again before it is read, when the store has little room. That is no error of
            // the reader's: he is served in the end, because every fetch lets somebody go on.
            let deadline = ContinuousClock.now + Self.evictionLimit
            while true {
                let read = try bytes.withUnsafeMutableBytes { try content.read(node.ordinal, at: offset, into: $0) }
                if let read { return Array(bytes.prefix(read)) }
                guard ContinuousClock.now < deadline else { throw DeadlineExceeded(limit: Self.evictionLimit) }
                try await content.fetch(node.ordinal, at: offset, count: count)
            }
        }
    }

    public func coldReadDirectory(_ node: NodeID, from offset: UInt64, wantsEntries: Bool, limit: Int) async throws(FSError) -> ListingPart {
        try await answering("readdir") {
            if node.serial == SyntheticTable.serial { return try await self.coldReadSyntheticDirectory(node, offset, wantsEntries, limit) }
            // A listing is complete or it is none: a layer that is streaming is waited for.
            _ = try await self.tree(node).opened()
            guard let part = try self.collectedDirectory(node, from: offset, wantsEntries: wantsEntries, limit: limit) else { throw FSError.io }
            return part
        }
    }

    /// For how long content may be evicted again and again between fetching and reading it.
    private static let evictionLimit = Duration.seconds(60)

    private func tree(_ node: NodeID) throws(FSError) -> MountedTree {
        guard let tree = trees[node.serial] else { throw .stale }
        return tree
    }

    /// Runs `work` and turns whatever it throws into an `FSError`, with a line in the log that names blob and reason.
    private func answering<Value: Sendable>(_ operation: String, _ work: @escaping @Sendable () async throws -> Value) async throws(FSError) -> Value {
        do {
            return try await work()
        } catch {
            throw report(error, operation)
        }
    }

    /// What an error of the layers below means to a reader. Logged here, because nobody above knows more.
    func report(_ error: any Error, _ operation: String) -> FSError {
        let result: FSError
        switch error {
        case let error as FSError: return error
        case is CancellationError: return .interrupted
        case is DeadlineExceeded: result = .timedOut
        case ImageError.unknownNode: return .stale
        case let error as RemoteError where error.isCancellation: return .interrupted
        case let error as RemoteError where error.kind == .stalled: result = .timedOut
        case let error as SystemError where error.isCancellation: return .interrupted
        default: result = .io
        }
        logger.error("cannot answer", metadata: ["operation": "\(operation)", "reason": "\(error)"])
        return result
    }
}

extension SystemError {
    fileprivate var isCancellation: Bool { code == 4 }
}
