/// Finds what hard links into lower layers mean: the inode under that path when the link's layer is unpacked.
struct DanglingLinks {
    let views: [TreeView]

    /// The inode of every dangling link of every layer.
    ///
    /// A layer's index holds no chains of dangling links, so a link leads to an inode, or to a dangling link of a lower
    /// layer, which has been resolved before.
    func resolveAll() throws(TreeIndexError) -> [LayerNode: LayerNode] {
        var resolved: [LayerNode: LayerNode] = [:]
        for slot in views.indices {
            let view = views[slot]
            for ordinal in 0..<Ordinal(view.nodeCount) where view.node(ordinal).kind == .danglingLink {
                let link = LayerNode(slot: UInt16(slot), ordinal: ordinal)
                let target = Array(view.linkTarget(of: view.node(ordinal)))
                let found = try find(target, from: slot, link: link)
                let inode = LayerNode(slot: found.slot, ordinal: views[Int(found.slot)].canonical(found.ordinal))
                if views[Int(inode.slot)].node(inode.ordinal).kind != .danglingLink {
                    resolved[link] = inode
                } else if let known = resolved[inode], inode.slot < link.slot {
                    resolved[link] = known
                } else {
                    throw .unresolvedLink(path: view.path(of: ordinal), target: target)
                }
            }
        }
        return resolved
    }

    /// What is no directory at `path`, in the layers up to `slot` laid over each other.
    private func find(_ path: [UInt8], from slot: Int, link: LayerNode) throws(TreeIndexError) -> LayerNode {
        let linkPath = views[Int(link.slot)].path(of: link.ordinal)
        var overlay = Overlay()
        for lower in (0...slot).reversed() { overlay.add(LayerNode(slot: UInt16(lower), ordinal: 0), views[lower].node(0)) }
        for component in try LayerPath(path, limits: TreeLimits()).components {
            var next = Overlay()
            for directory in overlay.directories {
                let view = views[Int(directory.slot)]
                guard let child = component.withUnsafeBytes({ view.child(of: directory.ordinal, named: $0) }) else { continue }
                next.add(LayerNode(slot: directory.slot, ordinal: child), view.node(child))
            }
            overlay = next
        }
        if let file = overlay.file { return file }
        guard overlay.directories.isEmpty else { throw .badLink(path: linkPath, target: path, "a directory has no hard links") }
        throw .unresolvedLink(path: linkPath, target: path)
    }
}
