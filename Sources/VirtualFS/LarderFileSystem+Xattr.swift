import Images
import OCI
import TreeIndex

/// Extended attributes: the image's own, and Larder's `user.larder.*`.
///
/// Inside image trees Larder's names can be asked for but are not listed, so that copying a tree with its attributes
/// copies what the image has and nothing else.
extension LarderFileSystem {
    private enum Own: String, CaseIterable {
        /// sha256 of a file's content, once all of it is here; the digest of a blob or manifest.
        case digest = "user.larder.digest"
        /// The layer that a file comes from.
        case layer = "user.larder.layer"
        /// `local`, or `registry` / `layout` and the host that a file's content would come from.
        case source = "user.larder.source"
    }

    public func attribute(_ node: NodeID, _ name: UnsafeRawBufferPointer, into buffer: UnsafeMutableRawBufferPointer) throws(FSError) -> Int {
        if node.isLive { return try live(node).attribute(node, name, into: buffer) }
        let own = name.starts(with: "user.larder.".utf8) ? Own(rawValue: String(decoding: name, as: UTF8.self)) : nil
        guard node.serial != SyntheticTable.serial else {
            guard let own, let value = value(of: own, ofSynthetic: try synthetic.node(node)) else { throw .noAttribute }
            return try Self.give(value, buffer)
        }
        guard let tree = trees[node.serial] else { throw .stale }
        guard let content = tree.content else { throw .noAttribute }
        guard Int(node.ordinal) < content.view.nodeCount else { throw .stale }
        if let own {
            guard let value = value(of: own, node.ordinal, in: content) else { throw .noAttribute }
            return try Self.give(value, buffer)
        }
        if let value = content.view.attribute(of: content.view.node(node.ordinal), named: name) {
            guard buffer.count > 0 else { return value.count }
            guard value.count <= buffer.count else { throw .range }
            buffer.copyMemory(from: value)
            return value.count
        }
        // A layer shows an opaque directory as overlayfs does.
        guard content.view.node(node.ordinal).flags.contains(.opaque), name.elementsEqual(Self.overlayOpaque) else { throw .noAttribute }
        return try Self.give("y", buffer)
    }

    public func attributeNames(_ node: NodeID, into buffer: UnsafeMutableRawBufferPointer) throws(FSError) -> Int {
        if node.isLive { return try live(node).attributeNames(node, into: buffer) }
        var names: [UInt8] = []
        if node.serial == SyntheticTable.serial {
            let synthetic = try synthetic.node(node)
            for own in Own.allCases where value(of: own, ofSynthetic: synthetic) != nil { names += own.rawValue.utf8 + [0] }
        } else {
            guard let tree = trees[node.serial] else { throw .stale }
            guard let content = tree.content else { return 0 }
            guard Int(node.ordinal) < content.view.nodeCount else { throw .stale }
            for attribute in content.view.attributes(of: content.view.node(node.ordinal)) { names += Array(attribute.name) + [0] }
            if content.view.node(node.ordinal).flags.contains(.opaque) { names += Self.overlayOpaque + [0] }
        }
        guard buffer.count > 0 else { return names.count }
        guard names.count <= buffer.count else { throw .range }
        buffer.copyBytes(from: names)
        return names.count
    }

    private static let overlayOpaque = Array("trusted.overlay.opaque".utf8)

    private static func give(_ value: String, _ buffer: UnsafeMutableRawBufferPointer) throws(FSError) -> Int {
        guard buffer.count > 0 else { return value.utf8.count }
        guard value.utf8.count <= buffer.count else { throw .range }
        buffer.copyBytes(from: value.utf8)
        return value.utf8.count
    }

    private func value(of own: Own, _ ordinal: Ordinal, in content: ContentTree) -> String? {
        let (layer, inner) = content.location(ordinal)
        switch own {
        case .layer: return "\(layer.layer.descriptor.digest)"
        case .source:
            guard content.view.node(ordinal).kind == .regular, !layer.isHere(inner) else { return "local" }
            return library.sourceName(layer.layer.repository)
        case .digest: return layer.contentDigest(inner).map { "\($0)" }
        }
    }

    private func value(of own: Own, ofSynthetic node: SyntheticNode) -> String? {
        switch (node, own) {
        case (.image(_, let manifest), .digest), (.imageLayers(_, let manifest), .digest): return "\(manifest)"
        case (.image(_, let manifest), .source): return library.image(manifest: manifest).map { library.sourceName($0.reference.repository) }
        case (.blob(let digest, _), .digest): return "\(digest)"
        case (.blob(let digest, _), .source): return library.store.hasBlob(digest) ? "local" : library.sourceName(ofBlob: digest)
        default: return nil
        }
    }
}
