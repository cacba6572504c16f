import Glibc
import LinuxIO
import Synchronization
import VirtualFS

/// A filesystem in memory whose names can be made to wait, for the tests. Nothing here is fast on purpose.
final class MemoryFS: FileSystem {
    struct Node: Sendable {
        var attributes: Attributes
        var content: [UInt8] = []
        var children: [(name: [UInt8], node: NodeID)] = []
        var index: [[UInt8]: NodeID] = [:]
        var extended: [(name: [UInt8], value: [UInt8])] = []
        var caching = OpenedFile.Caching.keep
        var backing: String?
        var isComplete = false
    }

    struct State: Sendable {
        var nodes: [NodeID: Node] = [:]
        var waits: [[UInt8]: @Sendable () async throws(FSError) -> Void] = [:]
        var opens = 0
        var releases = 0
        var synchronizing: @Sendable () -> Void = {}
        /// What a read of a file without content waits for.
        var reading: @Sendable () async throws(FSError) -> Void = { () async throws(FSError) in }
    }

    let root = NodeID(serial: 7, ordinal: 0)
    let state: Mutex<State>
    /// Seconds, for names and attributes alike.
    let lifetime: Double

    init(lifetime: Double = .infinity) {
        self.lifetime = lifetime
        let rootNode = Node(attributes: Attributes(node: root, mode: S_IFDIR | 0o755, linkCount: 2))
        state = Mutex(State(nodes: [root: rootNode]))
    }

    // MARK: building

    @discardableResult
    func add(_ name: String, to parent: NodeID? = nil, mode: UInt32, size: UInt64? = nil, content: [UInt8] = []) -> NodeID {
        state.withLock { state in
            let node = NodeID(serial: 7, ordinal: UInt32(state.nodes.count))
            let attributes = Attributes(
                node: node, mode: mode, size: size ?? UInt64(content.count), blocks: UInt64(content.count + 511) / 512,
                modifiedSeconds: 1_600_000_000, modifiedNanoseconds: 5)
            state.nodes[node] = Node(attributes: attributes, content: content)
            let name = Array(name.utf8)
            state.nodes[parent ?? root]?.children.append((name, node))
            state.nodes[parent ?? root]?.index[name] = node
            return node
        }
    }

    @discardableResult
    func file(_ name: String, in parent: NodeID? = nil, _ content: String) -> NodeID {
        add(name, to: parent, mode: S_IFREG | 0o644, content: Array(content.utf8))
    }

    @discardableResult
    func directory(_ name: String, in parent: NodeID? = nil) -> NodeID { add(name, to: parent, mode: S_IFDIR | 0o755) }

    func change(_ node: NodeID, _ body: (inout Node) -> Void) {
        state.withLock { state in
            if var value = state.nodes[node] {
                body(&value)
                state.nodes[node] = value
            }
        }
    }

    /// Looking `name` up waits for `body` on the cold side.
    func makeCold(_ name: String, _ body: @escaping @Sendable () async throws(FSError) -> Void) {
        state.withLock { $0.waits[Array(name.utf8)] = body }
    }

    // MARK: FileSystem

    private func get(_ node: NodeID) throws(FSError) -> Node {
        guard let value = state.withLock({ $0.nodes[node] }) else { throw .stale }
        return value
    }

    private func entry(_ attributes: Attributes) -> Entry { Entry(attributes, nameLifetime: lifetime, attributeLifetime: lifetime) }

    private func find(_ parent: NodeID, _ name: [UInt8]) throws(FSError) -> Entry {
        guard let child = try get(parent).index[name] else { return .absent(lifetime: lifetime) }
        return entry(try get(child).attributes)
    }

    func lookup(_ parent: NodeID, _ name: UnsafeRawBufferPointer) throws(FSError) -> Answer<Entry> {
        let name = [UInt8](name)
        if state.withLock({ $0.waits[name] != nil }) { return .cold }
        return .ready(try find(parent, name))
    }

    func coldLookup(_ parent: NodeID, _ name: [UInt8]) async throws(FSError) -> Entry {
        if let wait = state.withLock({ $0.waits[name] }) { try await wait() }
        return try find(parent, name)
    }

    func forget(_ node: NodeID, count: UInt64) {}

    func attributes(_ node: NodeID) throws(FSError) -> Answer<Entry> { .ready(entry(try get(node).attributes)) }
    func coldAttributes(_ node: NodeID) async throws(FSError) -> Entry { entry(try get(node).attributes) }

    private func copy(_ bytes: [UInt8], into buffer: UnsafeMutableRawBufferPointer) -> Int {
        let count = min(bytes.count, buffer.count)
        bytes.withUnsafeBytes { buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0.prefix(count))) }
        return count
    }

    func readLink(_ node: NodeID, into buffer: UnsafeMutableRawBufferPointer) throws(FSError) -> Answer<Int> {
        let value = try get(node)
        guard value.attributes.mode & S_IFMT == S_IFLNK else { throw .invalid }
        return .ready(copy(value.content, into: buffer))
    }

    func coldReadLink(_ node: NodeID) async throws(FSError) -> [UInt8] { throw .unsupported }

    func open(_ node: NodeID, flags: Int32) throws(FSError) -> Answer<OpenedFile> {
        let value = try get(node)
        state.withLock { $0.opens += 1 }
        return .ready(OpenedFile(handle: node.rawValue, caching: value.caching, complete: value.isComplete))
    }

    func coldOpen(_ node: NodeID, flags: Int32) async throws(FSError) -> OpenedFile { throw .unsupported }

    func reopen(_ node: NodeID, isBacked: Bool) throws(FSError) -> OpenedFile? { throw .stale }

    func withBacking(_ node: NodeID, _ body: (Int32) -> Int32) throws(FSError) -> Int32? {
        guard let path = try get(node).backing else { return nil }
        do throws(SystemError) {
            let file = try OwnedDescriptor.open(path, O_RDONLY)
            defer { extendLifetime(file) }
            return body(file.raw)
        } catch { throw .io }
    }

    func read(_ node: NodeID, handle: UInt64, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(FSError) -> Answer<Int> {
        let value = try get(node)
        if value.content.isEmpty && value.attributes.size > 0 { return .cold }
        guard offset < value.content.count else { return .ready(0) }
        return .ready(
            value.content.withUnsafeBytes { bytes in
                let part = bytes[Int(offset)..<min(bytes.count, Int(offset) + buffer.count)]
                buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: part))
                return part.count
            })
    }

    /// A file with a size but no content is `x` throughout.
    func coldRead(_ node: NodeID, handle: UInt64, at offset: UInt64, count: Int) async throws(FSError) -> [UInt8] {
        let size = try get(node).attributes.size
        try await state.withLock { $0.reading }()
        return [UInt8](repeating: UInt8(ascii: "x"), count: Int(min(UInt64(count), size - min(size, offset))))
    }

    func release(_ node: NodeID, handle: UInt64) { state.withLock { $0.releases += 1 } }

    func synchronize(_ node: NodeID, handle: UInt64, dataOnly: Bool) throws(FSError) { state.withLock { $0.synchronizing }() }

    func coldReadDirectory(_ node: NodeID, from offset: UInt64, wantsEntries: Bool, limit: Int) async throws(FSError) -> ListingPart { throw .unsupported }

    func readDirectory(
        _ node: NodeID, from offset: UInt64, wantsEntries: Bool, emit: (UnsafeRawBufferPointer, Entry, UInt64) -> Bool
    ) throws(FSError) -> Answer<ListingUse> {
        let children = try get(node).children
        var place = Int(offset)
        while place < children.count {
            let entry = entry(try get(children[place].node).attributes)
            place += 1
            guard children[place - 1].name.withUnsafeBytes({ emit($0, entry, UInt64(place)) }) else { break }
        }
        return .ready(lifetime == .infinity ? .again : .once)
    }

    private func fill(_ value: [UInt8], _ buffer: UnsafeMutableRawBufferPointer) throws(FSError) -> Int {
        if buffer.isEmpty { return value.count }
        guard value.count <= buffer.count else { throw .range }
        return copy(value, into: buffer)
    }

    func attribute(_ node: NodeID, _ name: UnsafeRawBufferPointer, into buffer: UnsafeMutableRawBufferPointer) throws(FSError) -> Int {
        let name = [UInt8](name)
        guard let found = try get(node).extended.first(where: { $0.name == name }) else { throw .noAttribute }
        return try fill(found.value, buffer)
    }

    func attributeNames(_ node: NodeID, into buffer: UnsafeMutableRawBufferPointer) throws(FSError) -> Int {
        try fill(try get(node).extended.flatMap { $0.name + [0] }, buffer)
    }

    func statistics() -> FSStatistics {
        FSStatistics(blockSize: 4096, blocks: 1000, blocksFree: 400, blocksAvailable: 300, files: 50, filesFree: 20)
    }
}
