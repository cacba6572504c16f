import Archive

extension TreeBuilder {
    /// Adds a member as the image specification says: a later one replaces an earlier one of the same path, directories
    /// are united, missing parents are made.
    /// - Returns: the ordinal of the entry or whiteout; nil for a member that makes none (an opaque marker, aufs's
    ///   bookkeeping).
    @discardableResult
    public mutating func add(_ entry: ArchiveEntry) throws(TreeIndexError) -> Ordinal? {
        let path = try LayerPath(entry.path, limits: limits)
        switch try Marker(path, of: entry.path) {
        case .bookkeeping:
            return nil
        case .opaque:
            let directory = try makeDirectories(path.components.dropLast(), for: entry.path)
            tables.nodes[Int(directory)].flags.insert(.opaque)
            return nil
        case .whiteout(let name):
            let directory = try makeDirectories(path.components.dropLast(), for: entry.path)
            return try addWhiteout(name, in: directory)
        case .none:
            guard let name = path.components.last else { return try describeRoot(entry) }
            let directory = try makeDirectories(path.components.dropLast(), for: entry.path)
            return try add(entry, path: path, name: name, in: directory)
        }
    }

    private mutating func describeRoot(_ entry: ArchiveEntry) throws(TreeIndexError) -> Ordinal {
        guard entry.kind == .directory else { throw .badPath(entry.path, "the root can be nothing but a directory") }
        try describe(0, as: entry)
        return 0
    }

    /// A real entry of the name wins over the whiteout; a directory is then a new one, of which lower layers say nothing.
    private mutating func addWhiteout(_ name: ArraySlice<UInt8>, in directory: Ordinal) throws(TreeIndexError) -> Ordinal {
        if let existing = child(of: directory, named: name) {
            if tables.nodes[Int(existing)].isDirectory {
                tables.nodes[Int(existing)].flags.insert(.opaque)
                tables.nodes[Int(existing)].flags.remove(.implicit)
            }
            return existing
        }
        return try makeNode(.whiteout, named: name, in: directory)
    }

    private mutating func add(
        _ entry: ArchiveEntry, path: LayerPath, name: ArraySlice<UInt8>, in directory: Ordinal
    ) throws(TreeIndexError) -> Ordinal {
        let kind = NodeKind(entry.kind)
        let target = kind == .hardLink ? try linkPath(of: entry, path: path) : nil
        let ordinal: Ordinal
        if let existing = child(of: directory, named: name) {
            let old = tables.nodes[Int(existing)]
            if old.isDirectory, kind == .directory {
                try describe(existing, as: entry)
                return existing
            }
            clear(existing)
            reset(existing, to: kind)
            if kind == .directory { tables.nodes[Int(existing)].flags.insert(.opaque) }
            ordinal = existing
        } else {
            ordinal = try makeNode(kind, named: name, in: directory)
        }
        if let target {
            try link(ordinal, to: target, entry: entry)
        } else {
            try describe(ordinal, as: entry)
        }
        return ordinal
    }

    /// Walks down `components`, making what is missing.
    private mutating func makeDirectories(
        _ components: ArraySlice<ArraySlice<UInt8>>, for path: [UInt8]
    ) throws(TreeIndexError) -> Ordinal {
        var current: Ordinal = 0
        for component in components {
            guard let next = child(of: current, named: component) else {
                current = try makeNode(.directory, named: component, in: current)
                tables.nodes[Int(current)].makeImplicit()
                continue
            }
            switch tables.nodes[Int(next)].kind {
            case .directory:
                break
            case .whiteout:
                // The whiteout came first: the directory is a new one, of which lower layers say nothing.
                reset(next, to: .directory)
                tables.nodes[Int(next)].makeImplicit()
                tables.nodes[Int(next)].flags = .opaque
            default:
                throw .parentIsNoDirectory(path: path, blocker: tables.path(of: next))
            }
            current = next
        }
        return current
    }
}

// MARK: nodes
extension TreeBuilder {
    /// A new node under a name that has no living one.
    private mutating func makeNode(
        _ kind: NodeKind, named name: ArraySlice<UInt8>, in parent: Ordinal
    ) throws(TreeIndexError) -> Ordinal {
        let ordinal: Ordinal
        if let dead = names.find(name, in: parent, tables: tables) {
            reset(dead, to: kind)
            ordinal = dead
        } else {
            var node = TreeNode(parent: parent, kind: kind)
            node.nameOffset = try tables.intern(name, limits: limits)
            node.nameLength = UInt16(name.count)
            node.linkCount = 1
            ordinal = try tables.append(node, limits: limits)
            seatNewNode()
            names.insert(ordinal, tables: tables)
        }
        older[Int(ordinal)] = youngest[Int(parent)]
        youngest[Int(parent)] = ordinal
        return ordinal
    }

    /// A blank node of the kind at the same place in the tree.
    func blank(like node: TreeNode, kind: NodeKind) -> TreeNode {
        var fresh = TreeNode(parent: node.parent, kind: kind)
        fresh.nameOffset = node.nameOffset
        fresh.nameLength = node.nameLength
        fresh.linkCount = 1
        return fresh
    }

    private mutating func reset(_ ordinal: Ordinal, to kind: NodeKind) {
        tables.nodes[Int(ordinal)] = blank(like: tables.nodes[Int(ordinal)], kind: kind)
    }

    /// Takes away what is at `ordinal`, as rm -r does: an inode with other names lives on under those. The node itself
    /// stays listed by its parent, for its successor.
    private mutating func clear(_ ordinal: Ordinal) {
        release(ordinal)
        var pending = takeChildren(of: ordinal)
        while let next = pending.popLast() {
            release(next)
            pending += takeChildren(of: next)
            reset(next, to: .regular)
            tables.nodes[Int(next)].flags = .dead
            tables.nodes[Int(next)].linkCount = 0
            tables.nodes[Int(next)].place = IndexFormat.noContent
        }
    }

    private mutating func takeChildren(of directory: Ordinal) -> [Ordinal] {
        var children: [Ordinal] = []
        var current = youngest[Int(directory)]
        youngest[Int(directory)] = 0
        while current != 0 {
            children.append(current)
            current = older[Int(current)]
        }
        return children
    }

    /// Takes the name `ordinal` away from its inode.
    private mutating func release(_ ordinal: Ordinal) {
        let node = tables.nodes[Int(ordinal)]
        guard let heir = rings.leave(ordinal) else { return }
        if !node.isHardLink {
            var inode = node
            inode.parent = tables.nodes[Int(heir)].parent
            inode.nameOffset = tables.nodes[Int(heir)].nameOffset
            inode.nameLength = tables.nodes[Int(heir)].nameLength
            tables.nodes[Int(heir)] = inode
        }
        tables.nodes[Int(heir)].linkCount -= 1
    }
}
