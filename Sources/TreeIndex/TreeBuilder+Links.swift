import Archive

extension TreeBuilder {
    /// Where a hard link points to; refuses what can never be right.
    func linkPath(of entry: ArchiveEntry, path: LayerPath) throws(TreeIndexError) -> LayerPath {
        try checkTarget(entry.linkTarget, path: entry.path)
        let target = try LayerPath(entry.linkTarget, limits: limits)
        guard !target.components.isEmpty else {
            throw .badLink(path: entry.path, target: entry.linkTarget, "a directory has no hard links")
        }
        guard !target.components.elementsEqual(path.components) else {
            throw .badLink(path: entry.path, target: entry.linkTarget, "a link to itself")
        }
        return target
    }

    /// Makes the blank node one more name of what is at `target`, or a dangling link if there is nothing yet.
    mutating func link(_ ordinal: Ordinal, to target: LayerPath, entry: ArchiveEntry) throws(TreeIndexError) {
        guard let found = find(target).map(canonical) else { return try dangle(ordinal, target: target) }
        switch tables.nodes[Int(found)].kind {
        case .directory:
            throw .badLink(path: entry.path, target: entry.linkTarget, "a directory has no hard links")
        case .whiteout, .danglingLink, .hardLink:
            try dangle(ordinal, target: target)
        case .regular, .symlink, .characterDevice, .blockDevice, .fifo:
            join(ordinal, to: found)
        }
    }

    private mutating func join(_ ordinal: Ordinal, to inode: Ordinal) {
        tables.nodes[Int(ordinal)] = blank(like: tables.nodes[Int(ordinal)], kind: .hardLink)
        tables.nodes[Int(ordinal)].linkCount = 0
        rings.join(ordinal, to: inode)
        tables.nodes[Int(inode)].linkCount += 1
    }

    private mutating func dangle(_ ordinal: Ordinal, target: LayerPath) throws(TreeIndexError) {
        let bytes = target.normalised
        var node = blank(like: tables.nodes[Int(ordinal)], kind: .danglingLink)
        node.place = UInt64(try tables.intern(bytes, limits: limits))
        node.size = UInt64(bytes.count)
        tables.nodes[Int(ordinal)] = node
    }

    /// When everything has arrived: links whose target came later become links; those that point at another dangling
    /// link point at its target instead, so that no chain is left.
    mutating func resolveDanglingLinks() throws(TreeIndexError) {
        for ordinal in 0..<Ordinal(tables.nodes.count) where tables.nodes[Int(ordinal)].kind == .danglingLink {
            var chain: [Ordinal] = []
            var inChain: Set<Ordinal> = []
            var current = ordinal
            var inode: Ordinal?
            while true {
                guard inChain.insert(current).inserted else {
                    throw .badLink(path: tables.path(of: ordinal), target: Array(tables.target(of: ordinal)), "a ring of hard links")
                }
                chain.append(current)
                let target = try LayerPath(Array(tables.target(of: current)), limits: limits)
                guard let next = find(target).map(canonical) else { break }
                let kind = tables.nodes[Int(next)].kind
                if kind == .whiteout { break }
                if kind == .directory {
                    throw .badLink(path: tables.path(of: current), target: target.normalised, "a directory has no hard links")
                }
                if kind != .danglingLink {
                    inode = next
                    break
                }
                current = next
            }
            for link in chain {
                if let inode {
                    join(link, to: inode)
                } else {
                    tables.nodes[Int(link)].place = tables.nodes[Int(current)].place
                    tables.nodes[Int(link)].size = tables.nodes[Int(current)].size
                }
            }
        }
    }
}
