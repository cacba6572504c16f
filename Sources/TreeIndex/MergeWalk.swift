/// The walk of `SnapshotMerge`: all layers' trees at once, breadth first.
struct MergeWalk {
    let views: [TreeView]
    let limits: TreeLimits
    var tables = TreeTables()

    // Directories of the result that are still to be entered, and what unites in each of them (a range of `members`).
    private var pending: [(ordinal: Ordinal, members: Range<Int>)] = []
    private var members: [LayerNode] = []
    // Where an inode with several names has come out.
    private var inodes: [LayerNode: Ordinal] = [:]
    private var resolved: [LayerNode: LayerNode] = [:]
    private var linkedFromAbove: Set<LayerNode> = []
    private var attributeBlocks: [AttributeBlock: UInt32] = [:]

    init(views: [TreeView], limits: TreeLimits) {
        self.views = views
        self.limits = limits
    }

    mutating func run() throws(TreeIndexError) {
        resolved = try DanglingLinks(views: views).resolveAll()
        linkedFromAbove = Set(resolved.values)
        var roots = Overlay()
        for slot in views.indices.reversed() { roots.add(LayerNode(slot: UInt16(slot), ordinal: 0), views[slot].node(0)) }
        if roots.directories.isEmpty {
            var root = TreeNode(parent: 0, kind: .directory)
            root.makeImplicit()
            _ = try tables.append(root, limits: limits)
            return
        }
        try emitDirectory(roots, name: UnsafeRawBufferPointer(start: nil, count: 0), in: 0)
        var next = 0
        while next < pending.count {
            try enter(pending[next].ordinal, pending[next].members)
            next += 1
        }
    }

    /// Merges the sorted children of all directories that unite in one.
    private mutating func enter(_ directory: Ordinal, _ range: Range<Int>) throws(TreeIndexError) {
        var cursors = members[range].map { MergeCursor($0, in: views[Int($0.slot)]) }
        let first = tables.nodes.count
        var overlay = Overlay()
        while let name = MergeCursor.smallestName(of: cursors) {
            overlay.removeAll()
            for index in cursors.indices where cursors[index].isAt(name) {
                overlay.add(cursors[index].current, cursors[index].node)
                cursors[index].advance()
            }
            if let file = overlay.file {
                try emitFile(file, name: name, in: directory)
            } else if !overlay.directories.isEmpty {
                try emitDirectory(overlay, name: name, in: directory)
                tables.nodes[Int(directory)].linkCount += 1
            }
        }
        tables.nodes[Int(directory)].first = UInt32(tables.children.count)
        tables.nodes[Int(directory)].count = UInt32(tables.nodes.count - first)
        tables.children.append(contentsOf: Ordinal(first)..<Ordinal(tables.nodes.count))
    }

    /// - Precondition: `overlay` has a directory.
    private mutating func emitDirectory(
        _ overlay: Overlay, name: UnsafeRawBufferPointer, in parent: Ordinal
    ) throws(TreeIndexError) {
        let directories = overlay.directories
        var node = try copy(overlay.described ?? directories[0], name: name, in: parent)
        node.flags.formIntersection(.implicit)
        node.linkCount = 2
        let ordinal = try tables.append(node, limits: limits)
        pending.append((ordinal, members.count..<members.count + directories.count))
        members += directories
    }

    private mutating func emitFile(
        _ name: LayerNode, name bytes: UnsafeRawBufferPointer, in parent: Ordinal
    ) throws(TreeIndexError) {
        let view = views[Int(name.slot)]
        var inode = LayerNode(slot: name.slot, ordinal: view.canonical(name.ordinal))
        if let target = resolved[inode] { inode = target }
        if let canonical = inodes[inode] {
            var link = TreeNode(parent: parent, kind: .hardLink)
            try setName(bytes, of: &link)
            link.first = canonical
            _ = try tables.append(link, limits: limits)
            tables.nodes[Int(canonical)].linkCount += 1
            return
        }
        let node = try copy(inode, name: bytes, in: parent)
        let ordinal = try tables.append(node, limits: limits)
        let mayHaveMoreNames = views[Int(inode.slot)].node(inode.ordinal).linkCount > 1 || linkedFromAbove.contains(inode)
        if mayHaveMoreNames { inodes[inode] = ordinal }
    }

    /// The node of a layer as the snapshot shows it: without content, which stays the layer's.
    private mutating func copy(
        _ source: LayerNode, name: UnsafeRawBufferPointer, in parent: Ordinal
    ) throws(TreeIndexError) -> TreeNode {
        let view = views[Int(source.slot)]
        let original = view.node(source.ordinal)
        var node = original
        node.parent = parent
        node.first = 0
        node.count = 0
        node.linkCount = 1
        node.objectPlusOne = 0
        node.layerSlot = source.slot
        node.layerOrdinal = source.ordinal
        node.place = 0
        if node.kind == .regular { node.place = IndexFormat.noContent }
        if node.kind == .symlink { node.place = UInt64(try tables.intern(view.linkTarget(of: original), limits: limits)) }
        try setName(name, of: &node)
        if node.attributesLength > 0 {
            let key = AttributeBlock(slot: source.slot, offset: original.attributesOffset, length: original.attributesLength)
            if let known = attributeBlocks[key] {
                node.attributesOffset = known
            } else {
                let start = view.attributes + Int(original.attributesOffset)
                let block = UnsafeRawBufferPointer(start: start, count: Int(original.attributesLength))
                node.attributesOffset = try tables.intern(attributeBlock: block, limits: limits)
                attributeBlocks[key] = node.attributesOffset
            }
        }
        return node
    }

    private mutating func setName(_ name: UnsafeRawBufferPointer, of node: inout TreeNode) throws(TreeIndexError) {
        node.nameOffset = try tables.intern(name, limits: limits)
        node.nameLength = UInt16(name.count)
    }
}

/// A block of attributes in one of the layers: many nodes may share it.
private struct AttributeBlock: Hashable {
    var slot: UInt16
    var offset: UInt32
    var length: UInt32
}
