import OCI

extension TreeBuilder {
    /// The finished index of the layer. Ordinals stay what they were.
    /// - Throws: where a hard link can never be resolved, or a file has no content.
    public consuming func finish(_ identity: LayerIdentity) throws(TreeIndexError) -> IndexDocument {
        try resolveDanglingLinks()
        for ordinal in tables.nodes.indices where tables.nodes[ordinal].isHardLink {
            tables.nodes[ordinal].first = rings.canonical(Ordinal(ordinal))
        }
        try checkContent()
        listChildren()
        var header = IndexHeader()
        header.what = IndexHeader.What.layer.rawValue
        header.format = identity.format.rawValue
        header.contentKey = RawDigest(identity.contentKey)
        header.blobDigest = RawDigest(identity.blobDigest)
        header.diffID = RawDigest(identity.diffID)
        header.blobSize = identity.blobSize
        return IndexDocument(header: header, tables: tables)
    }

    /// Every file with bytes has a place in the content space, or is an object. A file without has none.
    private mutating func checkContent() throws(TreeIndexError) {
        let contentSize = contentSize
        for ordinal in tables.nodes.indices {
            let node = tables.nodes[ordinal]
            guard node.kind == .regular, !node.isDead else { continue }
            let stored = tables.storedSize(of: node)
            if stored == 0 {
                tables.nodes[ordinal].place = IndexFormat.noContent
            } else if node.place == IndexFormat.noContent {
                guard node.objectPlusOne != 0 else {
                    throw .badContent(path: tables.path(of: Ordinal(ordinal)), "nobody said where its content is")
                }
            } else if node.place > contentSize || stored > contentSize - node.place {
                throw .badContent(path: tables.path(of: Ordinal(ordinal)), "its content is not within the spans")
            }
        }
    }

    /// Fills the children section: a counting sort by directory, then each directory by name.
    private mutating func listChildren() {
        for ordinal in tables.nodes.indices.dropFirst() where !tables.nodes[ordinal].isDead {
            let parent = Int(tables.nodes[ordinal].parent)
            tables.nodes[parent].count += 1
            if tables.nodes[ordinal].isDirectory { tables.nodes[parent].linkCount += 1 }
        }
        var position: UInt32 = 0
        for ordinal in tables.nodes.indices where tables.nodes[ordinal].isDirectory {
            tables.nodes[ordinal].first = position
            position += tables.nodes[ordinal].count
        }
        tables.children = Array(repeating: 0, count: Int(position))
        var next = tables.nodes.map(\.first)
        for ordinal in tables.nodes.indices.dropFirst() where !tables.nodes[ordinal].isDead {
            let parent = Int(tables.nodes[ordinal].parent)
            tables.children[Int(next[parent])] = Ordinal(ordinal)
            next[parent] += 1
        }
        tables.sortChildren()
    }
}

extension TreeTables {
    /// Bytes that the layer stores for a regular file: its size, or of a sparse file the sum of its data runs.
    func storedSize(of node: TreeNode) -> UInt64 {
        guard node.flags.contains(.sparse) else { return node.size }
        guard node.count > 0 else { return 0 }
        let last = runs[Int(node.first) + Int(node.count) - 1]
        return last.stored + last.length
    }

    fileprivate mutating func sortChildren() {
        nodes.withUnsafeBufferPointer { nodes in
            heap.withUnsafeBytes { heap in
                func name(_ ordinal: Ordinal) -> UnsafeRawBufferPointer {
                    let start = Int(nodes[Int(ordinal)].nameOffset)
                    return UnsafeRawBufferPointer(rebasing: heap[start..<start + Int(nodes[Int(ordinal)].nameLength)])
                }
                children.withUnsafeMutableBufferPointer { children in
                    for node in nodes where node.isDirectory && node.count > 1 {
                        children[Int(node.first)..<Int(node.first) + Int(node.count)]
                            .sort { compareNames(name($0), name($1)) < 0 }
                    }
                }
            }
        }
    }
}
