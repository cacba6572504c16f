extension IndexValidator {
    /// Every node by itself, then what nodes say of each other.
    ///
    /// Parents have smaller ordinals than their children, so there are no cycles. A directory lists its children strictly
    /// by name and a child is listed by its own parent only, so each is listed at most once; and as the directories list
    /// as many as there are living nodes, each is listed exactly once.
    func checkTree() throws(TreeIndexError) {
        let root = view.node(0)
        guard root.isDirectory, root.parent == 0, root.nameLength == 0, !root.isDead else { throw damaged(0, "no proper root") }
        var depths = [UInt16](repeating: 0, count: view.nodeCount)
        var names = [UInt32](repeating: 0, count: view.nodeCount)
        var living = 0
        var listed = 0
        var sharedBlocks = SharedBlocks()
        var runsUsed: UInt64 = 0
        for ordinal in 0..<Ordinal(view.nodeCount) {
            let node = view.node(ordinal)
            try checkRecord(node, ordinal)
            if ordinal > 0 {
                guard node.parent < ordinal else { throw damaged(ordinal, "its parent \(node.parent) comes after it") }
                try checkName(node, ordinal)
                let depth = depths[Int(node.parent)] + 1
                guard depth <= IndexFormat.depthLimit else { throw damaged(ordinal, "it is too deep") }
                depths[Int(ordinal)] = depth
            }
            try checkAttributes(node, ordinal, &sharedBlocks)
            try checkRuns(node, ordinal, &runsUsed)
            try checkFileContent(node, ordinal)
            guard !node.isDead else { continue }
            living += 1
            if node.isHardLink { try checkLink(node, ordinal, &names) } else { names[Int(ordinal)] += 1 }
            listed += node.childCount
            if node.isDirectory { try checkChildren(of: node, ordinal) }
        }
        guard listed == living - 1, count(.children) == UInt64(listed) else {
            throw .damaged("directories list \(listed) of \(living - 1) nodes")
        }
        for ordinal in 0..<Ordinal(view.nodeCount) where view.node(ordinal).kind.isLinkable {
            guard view.node(ordinal).linkCount == names[Int(ordinal)] else { throw damaged(ordinal, "its link count is wrong") }
        }
    }

    /// What can be told from the record alone.
    private func checkRecord(_ node: TreeNode, _ ordinal: Ordinal) throws(TreeIndexError) {
        guard let kind = NodeKind(rawValue: node.kindByte), NodeFlags.all.isSuperset(of: node.flags), node.mode <= 0o7777,
            node.modifiedNanoseconds < 1_000_000_000, node.reserved == 0, node.reservedToo == 0
        else { throw damaged(ordinal, "a field has a value that it cannot have") }
        guard kind == .directory || node.flags.isDisjoint(with: [.opaque, .implicit]),
            kind == .regular || node.flags.isDisjoint(with: [.sparse, .large, .dead])
        else { throw damaged(ordinal, "flags that do not fit its kind") }
        if node.isDead {
            guard node.size == 0, node.linkCount == 0, node.flags == .dead else { throw damaged(ordinal, "dead, but not empty") }
        }
        if isSnapshot {
            guard kind != .whiteout, kind != .danglingLink, !node.isDead, !node.flags.contains(.opaque) else {
                throw damaged(ordinal, "a snapshot has no such nodes")
            }
            guard kind == .hardLink || node.layerSlot < max(1, view.layerCount) else { throw damaged(ordinal, "it is in no layer") }
        } else {
            guard node.layerSlot == 0, node.layerOrdinal == 0 else { throw damaged(ordinal, "a layer has no layers") }
        }
        if kind == .symlink || kind == .danglingLink {
            guard node.size > 0, node.size < IndexFormat.pathLimit, node.place <= count(.heap),
                node.size <= count(.heap) - node.place
            else { throw damaged(ordinal, "its target is out of bounds") }
        }
    }

    private func checkName(_ node: TreeNode, _ ordinal: Ordinal) throws(TreeIndexError) {
        guard node.nameLength > 0, node.nameLength <= IndexFormat.nameLimit,
            UInt64(node.nameOffset) + UInt64(node.nameLength) <= count(.heap)
        else { throw damaged(ordinal, "its name is out of bounds") }
        let name = view.name(of: node)
        for byte in name where byte == 0 || byte == UInt8(ascii: "/") {
            throw damaged(ordinal, "its name \(printable(name)) has a byte that no name can have")
        }
        guard name[0] == UInt8(ascii: ".") else { return }
        let isDots = name.count == 1 || (name.count == 2 && name[1] == UInt8(ascii: "."))
        guard !isDots, !name.starts(with: Marker.prefix) else { throw damaged(ordinal, "the name \(printable(name)) is reserved") }
    }

    private func checkLink(_ node: TreeNode, _ ordinal: Ordinal, _ names: inout [UInt32]) throws(TreeIndexError) {
        guard view.contains(node.first), view.node(node.first).kind.isLinkable, !view.node(node.first).isDead else {
            throw damaged(ordinal, "a hard link to nothing that can have one")
        }
        names[Int(node.first)] += 1
    }

    private func checkChildren(of directory: TreeNode, _ ordinal: Ordinal) throws(TreeIndexError) {
        guard UInt64(directory.first) + UInt64(directory.count) <= count(.children) else {
            throw damaged(ordinal, "its children are out of bounds")
        }
        var subdirectories: UInt32 = 0
        var previous: UnsafeRawBufferPointer?
        for position in 0..<directory.childCount {
            let child = view.child(of: directory, at: position)
            guard view.contains(child), child != 0 else { throw damaged(ordinal, "a child that does not exist") }
            let node = view.node(child)
            guard node.parent == ordinal, !node.isDead else { throw damaged(ordinal, "a child that is not its own") }
            // The child's own turn comes later (its ordinal is larger): its name is looked at here first.
            guard node.nameLength > 0, UInt64(node.nameOffset) + UInt64(node.nameLength) <= count(.heap) else {
                throw damaged(child, "its name is out of bounds")
            }
            let name = view.name(of: node)
            if let previous, compareNames(previous, name) >= 0 { throw damaged(ordinal, "its children are not in order") }
            previous = name
            if node.isDirectory { subdirectories += 1 }
        }
        guard directory.linkCount == 2 + subdirectories else { throw damaged(ordinal, "its link count is wrong") }
    }
}
