import Images
import LinuxIO
import OCI
import Synchronization
import TreeIndex

/// An image tree under a serial of its own. It is opened when something first looks inside: until then only its root is
/// known, and `ls -l` of the directory above costs nothing.
///
/// Once opened it answers from the mapped index, without locks. The tree stays for the life of the mount, because the
/// kernel may hold ids of it for ever.
final class MountedTree: Sendable {
    enum Opened: Sendable {
        case whole(ContentTree)
        case streaming(LayerStream)
    }

    let serial: UInt32
    /// Whether attributes of incomplete files may be cached for ever too (`--tree`, where no message is the goal).
    private let frozen: Bool
    private let open: @Sendable () async throws -> Opened
    private let tree = Mutex<ContentTree?>(nil)
    /// The same object as in `tree`, for readers that take no lock; 0 before it is opened.
    private let pointer = Atomic<UInt>(0)

    init(serial: UInt32, frozen: Bool, open: @escaping @Sendable () async throws -> Opened) {
        self.serial = serial
        self.frozen = frozen
        self.open = open
    }

    /// The opened tree. Valid for as long as this object: `tree` holds it and never lets go.
    @inline(__always)
    var content: ContentTree? {
        let bits = pointer.load(ordering: .acquiring)
        guard bits != 0, let raw = UnsafeRawPointer(bitPattern: bits) else { return nil }
        return Unmanaged<ContentTree>.fromOpaque(raw).takeUnretainedValue()
    }

    /// Takes a tree that was opened elsewhere.
    @discardableResult
    func adopt(_ content: ContentTree) -> ContentTree {
        tree.withLock { tree in
            if let first = tree { return first }
            tree = content
            pointer.store(UInt(bitPattern: Unmanaged.passUnretained(content).toOpaque()), ordering: .releasing)
            return content
        }
    }

    /// Opens the tree whole.
    func opened() async throws -> ContentTree {
        if let content { return content }
        switch try await open() {
        case .whole(let content): return adopt(content)
        case .streaming(let stream): return adopt(try await stream.content())
        }
    }

    /// Opens the tree, or the stream that is making it.
    func openedOrStreaming() async throws -> Opened {
        if let content { return .whole(content) }
        let opened = try await open()
        if case .whole(let content) = opened { return .whole(adopt(content)) }
        return opened
    }

    // MARK: - Nodes

    /// The root before the tree is opened: what every directory looks like.
    var closedRoot: Entry {
        Entry(Attributes(node: NodeID(serial: serial, ordinal: 0), mode: 0o040755, linkCount: 2, size: 4096), nameLifetime: 1, attributeLifetime: 0)
    }

    func entry(_ ordinal: Ordinal, in content: ContentTree) -> Entry {
        let node = content.view.node(ordinal)
        var attributes = Self.attributes(node, id: NodeID(serial: serial, ordinal: ordinal))
        var lifetime = Double.infinity
        if node.kind == .regular && node.size > 0 {
            attributes.blocks = (content.storedSize(ordinal) + 511) / 512
            if !frozen && !content.location(ordinal).layer.isComplete { lifetime = 1 }
        }
        return Entry(attributes, nameLifetime: .infinity, attributeLifetime: lifetime)
    }

    /// A node of a layer that is still streaming: link counts and times may change until its end.
    func entry(_ ordinal: Ordinal, _ node: TreeNode) -> Entry {
        Entry(Self.attributes(node, id: NodeID(serial: serial, ordinal: ordinal)), nameLifetime: 0, attributeLifetime: 0)
    }

    private static func attributes(_ node: TreeNode, id: NodeID) -> Attributes {
        Attributes(
            node: id, mode: node.kind.typeBits | node.mode, linkCount: max(1, node.linkCount), uid: node.uid, gid: node.gid,
            deviceMajor: node.deviceMajor, deviceMinor: node.deviceMinor, size: node.isDirectory ? 4096 : node.size, blocks: 0,
            modifiedSeconds: node.modifiedSeconds, modifiedNanoseconds: node.modifiedNanoseconds
        )
    }
}
