import Glibc
import Images
import LinuxIO
import Logging
import OCI
import Synchronization
import TreeIndex

/// The tree of a Larder mount: what Larder itself makes (`Synthetic...`), and below it image trees under their serials and
/// caches as live trees.
///
/// This file is the hot side: every operation answers from memory or says `.cold`. The cold twins are in
/// `LarderFileSystem+Cold.swift`, what is synthetic in `LarderFileSystem+Synthetic.swift`.
public final class LarderFileSystem: FileSystem {
    public let root: NodeID
    let library: ImageLibrary
    let logger: Logger
    let trees: TreeTable
    /// nil where one tree alone is mounted.
    let caches: CacheTrees?
    let synthetic = SyntheticTable()
    let documents = HandleTable<[UInt8]>()
    let serials = Mutex<[TreeKey: UInt32]>([:])
    /// Seconds since the epoch: the time of everything that is synthetic.
    let startTime: Int64
    let status: @Sendable () async -> String
    let metrics: @Sendable () -> [Metric]
    let reads: ReadCounters

    /// The whole tree.
    public init(
        library: ImageLibrary, caches: CacheTrees?, logger: Logger, started: Int64, status: @escaping @Sendable () async -> String,
        metrics: @escaping @Sendable () -> [Metric], reads: ReadCounters = ReadCounters()
    ) {
        self.reads = reads
        root = SyntheticTable.root
        trees = TreeTable()
        self.library = library
        self.caches = caches
        self.logger = logger
        startTime = started
        self.status = status
        self.metrics = metrics
    }

    /// One immutable tree alone, opened already, whose attributes the kernel may cache for ever.
    public init(library: ImageLibrary, logger: Logger, tree: ContentTree, key: String) throws {
        let serial = try library.store.serial(for: key)
        root = NodeID(serial: serial, ordinal: 0)
        trees = TreeTable()
        self.library = library
        caches = nil
        self.logger = logger
        startTime = 0
        status = { "" }
        metrics = { [] }
        reads = ReadCounters()
        let mounted = try trees.tree(serial) { MountedTree(serial: serial, frozen: true) { .whole(tree) } }
        mounted.adopt(tree)
    }

    // MARK: - Names

    public func lookup(_ parent: NodeID, _ name: UnsafeRawBufferPointer) throws(FSError) -> Answer<Entry> {
        if parent.isLive { return try live(parent).lookup(parent, name) }
        guard parent.serial != SyntheticTable.serial else { return try lookupSynthetic(parent, name) }
        guard let tree = trees[parent.serial] else { throw .stale }
        guard let content = tree.content else { return .cold }
        try Self.check(parent, content)
        return .ready(Self.entry(tree, content, parent.ordinal, name))
    }

    /// - Precondition: the tree has the node `directory`.
    static func entry(_ tree: MountedTree, _ content: ContentTree, _ directory: Ordinal, _ name: UnsafeRawBufferPointer) -> Entry {
        guard let child = content.view.child(of: directory, named: name) else { return .absent(lifetime: .infinity) }
        let node = content.view.canonical(child)
        // A hard link to a file of a lower layer has nothing to show in its own layer alone.
        guard content.view.node(node).kind != .danglingLink else { return .absent(lifetime: .infinity) }
        return tree.entry(node, in: content)
    }

    public func forget(_ node: NodeID, count: UInt64) {
        if node.isLive {
            try? live(node).forget(node, count: count)
        } else if node.serial == SyntheticTable.serial {
            synthetic.forget(node, count: count)
        }
    }

    public func attributes(_ node: NodeID) throws(FSError) -> Answer<Entry> {
        if node.isLive { return try live(node).attributes(node) }
        guard node.serial != SyntheticTable.serial else { return try attributesOfSynthetic(node) }
        guard let tree = trees[node.serial] else { throw .stale }
        guard let content = tree.content else { return node.ordinal == 0 ? .ready(tree.closedRoot) : .cold }
        try Self.check(node, content)
        return .ready(tree.entry(node.ordinal, in: content))
    }

    public func readLink(_ node: NodeID, into buffer: UnsafeMutableRawBufferPointer) throws(FSError) -> Answer<Int> {
        if node.isLive { return try live(node).readLink(node, into: buffer) }
        guard node.serial != SyntheticTable.serial else { return .ready(try copy(try targetOfSynthetic(node), into: buffer)) }
        guard let tree = trees[node.serial] else { throw .stale }
        guard let content = tree.content else { return .cold }
        try Self.check(node, content)
        guard content.view.node(node.ordinal).kind == .symlink else { throw .invalid }
        let target = content.view.linkTarget(of: content.view.node(node.ordinal))
        guard target.count <= buffer.count else { throw .nameTooLong }
        buffer.copyMemory(from: target)
        return .ready(target.count)
    }

    /// An ordinal that the tree does not have comes from a forged or outdated handle.
    @inline(__always)
    static func check(_ node: NodeID, _ content: ContentTree) throws(FSError) {
        guard content.view.contains(node.ordinal) else { throw .stale }
    }

    private func copy(_ bytes: [UInt8], into buffer: UnsafeMutableRawBufferPointer) throws(FSError) -> Int {
        guard bytes.count <= buffer.count else { throw .range }
        buffer.copyBytes(from: bytes)
        return bytes.count
    }

    // MARK: - Files

    public func open(_ node: NodeID, flags: Int32) throws(FSError) -> Answer<OpenedFile> {
        if node.isLive { return try live(node).open(node, flags: flags) }
        guard flags & (O_WRONLY | O_RDWR | O_TRUNC) == 0 else { throw .readOnly }
        guard node.serial != SyntheticTable.serial else { return try openSynthetic(node) }
        guard let tree = trees[node.serial] else { throw .stale }
        guard let content = tree.content else { return .cold }
        try Self.check(node, content)
        guard !content.view.node(node.ordinal).isDirectory else { throw .isDirectory }
        return .ready(OpenedFile(caching: .keep, complete: content.hasObject(node.ordinal)))
    }

    public func reopen(_ node: NodeID, isBacked: Bool) throws(FSError) -> OpenedFile? {
        try live(node).reopen(node, isBacked: isBacked)
    }

    public func withBacking(_ node: NodeID, _ body: (Int32) -> Int32) throws(FSError) -> Int32? {
        if node.isLive { return try live(node).withBacking(node, body) }
        if node.serial == SyntheticTable.serial { return try withSyntheticBacking(node, body) }
        guard let tree = trees[node.serial] else { throw .stale }
        guard let content = tree.content else { return nil }
        try Self.check(node, content)
        do {
            guard let object = try content.openObject(node.ordinal) else { return nil }
            defer { extendLifetime(object) }
            // The kernel keeps this open file for as long as it reads from it: so long nobody evicts it.
            object.holdInUse()
            return body(object.raw)
        } catch {
            throw report(error, "open")
        }
    }

    public func read(
        _ node: NodeID, handle: UInt64, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer
    ) throws(FSError) -> Answer<Int> {
        if node.isLive { return try live(node).read(node, handle: handle, at: offset, into: buffer) }
        guard node.serial != SyntheticTable.serial else { return try readSynthetic(node, handle, offset, buffer) }
        guard let tree = trees[node.serial] else { throw .stale }
        guard let content = tree.content else { return .cold }
        try Self.check(node, content)
        do {
            guard let count = try content.read(node.ordinal, at: offset, into: buffer) else {
                reads.miss()
                return .cold
            }
            reads.hit()
            return .ready(count)
        } catch {
            throw report(error, "read")
        }
    }

    public func release(_ node: NodeID, handle: UInt64) {
        if node.isLive {
            try? live(node).release(node, handle: handle)
        } else if node.serial == SyntheticTable.serial {
            documents.remove(handle)
        }
    }

    // MARK: - Directories

    public func readDirectory(
        _ node: NodeID, from offset: UInt64, wantsEntries: Bool, emit: (UnsafeRawBufferPointer, Entry, UInt64) -> Bool
    ) throws(FSError) -> Answer<ListingUse> {
        if node.isLive { return try live(node).readDirectory(node, from: offset, wantsEntries: wantsEntries, emit: emit) }
        guard node.serial != SyntheticTable.serial else { return .cold }
        guard let tree = trees[node.serial] else { throw .stale }
        guard let content = tree.content else { return .cold }
        try Self.check(node, content)
        let directory = content.view.node(node.ordinal)
        guard directory.isDirectory else { throw .notDirectory }
        let count = directory.childCount
        guard offset < UInt64(count) else { return .ready(.again) }
        for position in Int(offset)..<count {
            let child = content.view.child(of: directory, at: position)
            let inode = content.view.canonical(child)
            guard content.view.node(inode).kind != .danglingLink else { continue }
            guard emit(content.view.name(of: content.view.node(child)), tree.entry(inode, in: content), UInt64(position) + 1) else { break }
        }
        return .ready(.again)
    }

    // MARK: - The filesystem itself

    public func statistics() -> FSStatistics {
        FSStatistics(library.store.disk)
    }
}
