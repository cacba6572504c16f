import Archive
import Glibc

/// Makes a layer's tree from its members, in the order in which they come.
///
/// The tree can be asked while it grows (`find`, `child`, `node`), and an ordinal that was given out stays that path's
/// for ever. Content is told separately, when the reader has it: `setContent` or `setObject`, and `append(span)`.
///
/// What the image specification leaves open is decided so:
/// - A member that lies in something that is no directory in the same layer is an error: following a symlink there
///   could write outside, and replacing it would lose a file.
/// - A directory that replaces something else of the same layer is opaque: what it replaces had already replaced the
///   lower layers' directory.
/// - A hard link to something that comes later in the layer is a link all the same.
///
/// After an error the tree is fit for nothing but a message.
public struct TreeBuilder: Sendable {
    public let limits: TreeLimits
    var tables = TreeTables()
    var names = NameTable()
    var rings = LinkRings()
    // Of a directory its youngest child, and of every child the next older one: to take a whole directory away.
    var youngest: [Ordinal] = []
    var older: [Ordinal] = []
    var attributeBlocks: [[UInt8]: UInt32] = [:]

    /// A tree with nothing but an implicit root.
    public init(limits: TreeLimits = TreeLimits()) {
        self.limits = limits
        var root = TreeNode(parent: 0, kind: .directory)
        root.makeImplicit()
        tables.nodes.append(root)
        seatNewNode()
    }

    mutating func seatNewNode() {
        rings.addNode()
        youngest.append(0)
        older.append(0)
    }
}

// MARK: asking while building
extension TreeBuilder {
    /// Nodes so far, dead ones included: ordinals are below this.
    public var nodeCount: Int { tables.nodes.count }

    /// Where the content space ends so far.
    public var contentSize: UInt64 { tables.contentSize }

    /// The node's record. Children and a directory's link count are not in it before `finish`.
    /// - Precondition: `ordinal < nodeCount`.
    public func node(_ ordinal: Ordinal) -> TreeNode { tables.nodes[Int(ordinal)] }

    /// The node that carries the inode of a hard link; the node itself for every other kind.
    public func canonical(_ ordinal: Ordinal) -> Ordinal { rings.canonical(ordinal) }

    /// The living entry of that name, whiteouts included.
    public func child(of directory: Ordinal, named name: ArraySlice<UInt8>) -> Ordinal? {
        guard let found = names.find(name, in: directory, tables: tables), !tables.nodes[Int(found)].isDead else { return nil }
        return found
    }

    /// Walks from the root; nil where a component is missing. Hard links are not resolved, symlinks not followed.
    public func find(_ path: [UInt8]) -> Ordinal? {
        guard let path = try? LayerPath(path, limits: limits) else { return nil }
        return find(path)
    }

    func find(_ path: LayerPath) -> Ordinal? {
        var current: Ordinal = 0
        for component in path.components {
            guard let next = child(of: current, named: component) else { return nil }
            current = next
        }
        return current
    }

    public func name(of ordinal: Ordinal) -> [UInt8] { Array(tables.name(of: ordinal)) }
    public func path(of ordinal: Ordinal) -> [UInt8] { tables.path(of: ordinal) }
    public func linkTarget(of ordinal: Ordinal) -> [UInt8] { Array(tables.target(of: ordinal)) }

    /// The block of extended attributes, decoded.
    public func attributes(of ordinal: Ordinal) -> [ExtendedAttribute] {
        let node = tables.nodes[Int(ordinal)]
        let start = Int(node.attributesOffset)
        return tables.attributes[start..<start + Int(node.attributesLength)].withUnsafeBytes { block in
            AttributeSequence(block: block).map { ExtendedAttribute(name: Array($0.name), value: Array($0.value)) }
        }
    }

    /// Data runs of a sparse file; empty for a dense one.
    public func runs(of ordinal: Ordinal) -> [DataRun] {
        let node = tables.nodes[Int(ordinal)]
        guard node.flags.contains(.sparse) else { return [] }
        return Array(tables.runs[Int(node.first)..<Int(node.first) + Int(node.count)])
    }
}

extension TreeNode {
    /// What a directory is that nobody has described.
    mutating func makeImplicit() {
        flags.insert(.implicit)
        mode = 0o755
        linkCount = 2
    }
}
