import Archive
import OCI

@testable import TreeIndex

extension [UInt8] {
    init(_ text: String) { self = Array(text.utf8) }
}

func text(_ bytes: some Collection<UInt8>) -> String { String(decoding: bytes, as: UTF8.self) }

extension Digest {
    static func fake(_ number: Int) -> Digest { Digest(of: [UInt8]("\(number)")) }
}

extension LayerIdentity {
    static let test = LayerIdentity(
        contentKey: .fake(1), blobDigest: .fake(2), diffID: .fake(3), format: .gzip, blobSize: 1 << 40)
}

extension ArchiveEntry {
    static func directory(_ path: String, mode: UInt32 = 0o755, mtime: Int64 = 1) -> ArchiveEntry {
        ArchiveEntry(path: [UInt8](path), kind: .directory, mode: mode, modified: Timestamp(seconds: mtime))
    }
    static func file(_ path: String, size: UInt64 = 0, mtime: Int64 = 1) -> ArchiveEntry {
        ArchiveEntry(path: [UInt8](path), kind: .regular, size: size, modified: Timestamp(seconds: mtime))
    }
    static func symlink(_ path: String, to target: String, mtime: Int64 = 1) -> ArchiveEntry {
        ArchiveEntry(path: [UInt8](path), kind: .symlink, mode: 0o777, modified: Timestamp(seconds: mtime), linkTarget: [UInt8](target))
    }
    static func link(_ path: String, to target: String) -> ArchiveEntry {
        ArchiveEntry(path: [UInt8](path), kind: .hardlink, linkTarget: [UInt8](target))
    }
}

extension TreeBuilder {
    /// Adds members and gives every file with bytes a place in one growing span.
    init(_ entries: [ArchiveEntry], limits: TreeLimits = TreeLimits()) throws(TreeIndexError) {
        self.init(limits: limits)
        for entry in entries {
            let ordinal = try add(entry)
            guard entry.kind == .regular, entry.storedSize > 0, let ordinal, node(ordinal).kind == .regular else { continue }
            try setContent(ordinal, at: contentSize)
            try append(ContentSpan(
                contentStart: contentSize, length: entry.storedSize, sourceOffset: contentSize, sourceLength: entry.storedSize))
        }
    }
}

extension TreeIndex {
    convenience init(_ entries: [ArchiveEntry], identity: LayerIdentity = .test) throws(TreeIndexError) {
        try self.init(validating: TreeBuilder(entries).finish(identity).bytes)
    }

    /// The validated snapshot of `layers`, lowest first.
    static func snapshot(of layers: [TreeIndex]) throws(TreeIndexError) -> TreeIndex {
        var members: [SnapshotMerge.Layer] = []
        for (slot, layer) in layers.enumerated() { members.append(.init(index: layer, treeKey: .fake(100 + slot))) }
        return try TreeIndex(validating: SnapshotMerge.merge(members).bytes)
    }

    /// All paths with what they are, one line each, by name: hard links show all names of their inode.
    var listing: [String] {
        var names: [Ordinal: [String]] = [:]
        var lines: [String] = []
        forEachNode { ordinal, path in names[view.canonical(ordinal), default: []].append(path) }
        forEachNode { ordinal, path in
            let inode = view.node(view.canonical(ordinal))
            lines.append(Self.line(path, inode, view, names: names[view.canonical(ordinal)] ?? []))
        }
        return lines.sorted()
    }

    /// Just the paths.
    var paths: [String] {
        var paths: [String] = []
        forEachNode { _, path in paths.append(path) }
        return paths.sorted()
    }

    private func forEachNode(_ body: (Ordinal, String) -> Void) {
        var pending: [Ordinal] = [0]
        while let next = pending.popLast() {
            body(next, text(view.path(of: next)))
            let node = view.node(next)
            for position in 0..<node.childCount { pending.append(view.child(of: node, at: position)) }
        }
    }

    private static func line(_ path: String, _ node: TreeNode, _ view: TreeView, names: [String]) -> String {
        let attributes = view.attributes(of: node).map { "\(text($0.name))=\(text($0.value))" }.joined(separator: ",")
        return describe(
            path: path, kind: "\(node.kind)", mode: node.mode, uid: node.uid, size: node.size, mtime: node.modifiedSeconds,
            target: text(view.linkTarget(of: node)), attributes: attributes, names: node.isDirectory ? [] : names.sorted())
    }

    static func describe(
        path: String, kind: String, mode: UInt32, uid: UInt32, size: UInt64, mtime: Int64, target: String, attributes: String,
        names: [String]
    ) -> String {
        "\(path) \(kind) \(String(mode, radix: 8)) \(uid) \(size) \(mtime) [\(target)] {\(attributes)} \(names)"
    }

    func node(_ path: String) -> TreeNode? {
        view.find([UInt8](path)).map { view.node(view.canonical($0)) }
    }
}
