/// A validated index as a handful of raw pointers: trivial to copy, nothing is counted, allocated or checked again.
///
/// **Lifetime.** Valid as long as the `TreeIndex` it comes from; whoever keeps a view keeps the index too.
/// **Ordinals** come from this view, or must have passed `contains(_:)`.
public struct TreeView: @unchecked Sendable {
    public let nodeCount: Int
    @usableFromInline let nodes: UnsafeRawPointer
    @usableFromInline let children: UnsafeRawPointer
    @usableFromInline let heap: UnsafeRawPointer
    @usableFromInline let attributes: UnsafeRawPointer
    @usableFromInline let runs: UnsafeRawPointer
    @usableFromInline let spans: UnsafeRawPointer
    @usableFromInline let chunks: UnsafeRawPointer
    @usableFromInline let objects: UnsafeRawPointer
    @usableFromInline let layers: UnsafeRawPointer
    @usableFromInline let starts: UnsafeRawPointer
    @usableFromInline let windows: UnsafeRawPointer
    public let spanCount: Int
    public let chunkCount: Int
    public let objectCount: Int
    public let layerCount: Int
    /// Every span says how it can be decompressed by itself, from its own range of the blob: see `start`.
    public let hasStarts: Bool

    /// - Precondition: the sections of `header` lie within the bytes at `base`.
    init(base: UnsafeRawPointer, header: IndexHeader) {
        func start(_ section: IndexSection) -> UnsafeRawPointer { base + Int(header[section].offset) }
        func count(_ section: IndexSection) -> Int { Int(header[section].count) }
        nodes = start(.nodes)
        children = start(.children)
        heap = start(.heap)
        attributes = start(.attributes)
        runs = start(.runs)
        spans = start(.spans)
        chunks = start(.chunks)
        objects = start(.objects)
        layers = start(.layers)
        starts = start(.starts)
        windows = start(.windows)
        nodeCount = count(.nodes)
        spanCount = count(.spans)
        chunkCount = count(.chunks)
        objectCount = count(.objects)
        layerCount = count(.layers)
        hasStarts = count(.starts) > 0
    }
}

// MARK: nodes
extension TreeView {
    /// Whether a number that came from outside (an NFS handle) is the ordinal of a node.
    @inlinable public func contains(_ ordinal: Ordinal) -> Bool { Int(ordinal) < nodeCount }

    @inlinable public func node(_ ordinal: Ordinal) -> TreeNode {
        assert(contains(ordinal))
        return nodes.loadUnaligned(fromByteOffset: Int(ordinal) * MemoryLayout<TreeNode>.stride, as: TreeNode.self)
    }

    /// The node that carries the inode: of a hard link the one it names, otherwise the node itself.
    @inlinable public func canonical(_ ordinal: Ordinal) -> Ordinal {
        let node = node(ordinal)
        return node.isHardLink ? node.first : ordinal
    }

    /// The bytes of a node's name; empty for the root.
    @inlinable public func name(of node: TreeNode) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: heap + Int(node.nameOffset), count: Int(node.nameLength))
    }

    /// The target of a symlink or dangling link; empty for every other kind.
    @inlinable public func linkTarget(of node: TreeNode) -> UnsafeRawBufferPointer {
        guard node.kind == .symlink || node.kind == .danglingLink else { return UnsafeRawBufferPointer(start: nil, count: 0) }
        return UnsafeRawBufferPointer(start: heap + Int(node.place), count: Int(node.size))
    }

    /// Names from the root down joined by `/`; empty for the root. For messages and reports: it allocates.
    public func path(of ordinal: Ordinal) -> [UInt8] {
        var names: [UnsafeRawBufferPointer] = []
        var current = ordinal
        while current != 0 {
            let node = node(current)
            names.append(name(of: node))
            current = node.parent
        }
        return Array(names.reversed().joined(separator: [UInt8(ascii: "/")]))
    }
}

// MARK: directories
extension TreeView {
    /// The entry at a position of a directory, by name bytes. A position is a readdir cookie that holds for ever.
    /// - Precondition: `directory` is one, and `0 <= position < directory.childCount`.
    @inlinable public func child(of directory: TreeNode, at position: Int) -> Ordinal {
        assert(position >= 0 && position < directory.childCount)
        return children.loadUnaligned(
            fromByteOffset: (Int(directory.first) + position) * MemoryLayout<Ordinal>.stride, as: Ordinal.self)
    }

    /// The entry of that name, by binary search; nil where there is none, or `directory` is no directory.
    @inlinable public func child(of directory: TreeNode, named name: UnsafeRawBufferPointer) -> Ordinal? {
        var low = 0
        var high = directory.childCount
        while low < high {
            let middle = (low + high) / 2
            let candidate = child(of: directory, at: middle)
            let order = compareNames(self.name(of: node(candidate)), name)
            if order == 0 { return candidate }
            if order < 0 { low = middle + 1 } else { high = middle }
        }
        return nil
    }

    @inlinable public func child(of directory: Ordinal, named name: UnsafeRawBufferPointer) -> Ordinal? {
        child(of: node(directory), named: name)
    }

    /// Walks from the root by names; hard links are not resolved, symlinks not followed. Allocates.
    public func find(_ path: [UInt8]) -> Ordinal? {
        guard let path = try? LayerPath(path, limits: TreeLimits()) else { return nil }
        var current: Ordinal = 0
        for component in path.components {
            guard let next = component.withUnsafeBytes({ child(of: current, named: $0) }) else { return nil }
            current = next
        }
        return current
    }
}

// MARK: extended attributes
extension TreeView {
    /// All attributes of an inode, by name.
    @inlinable public func attributes(of node: TreeNode) -> AttributeSequence {
        let block = UnsafeRawBufferPointer(start: attributes + Int(node.attributesOffset), count: Int(node.attributesLength))
        return AttributeSequence(block: block)
    }

    @inlinable public func attribute(of node: TreeNode, named name: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        for attribute in attributes(of: node) where compareNames(attribute.name, name) == 0 { return attribute.value }
        return nil
    }
}
