import Archive
import Glibc

/// The sections of an index while they grow. Both the builder and the merge fill one.
struct TreeTables: Sendable {
    var nodes: [TreeNode] = []
    var children: [Ordinal] = []
    var heap: [UInt8] = []
    var attributes: [UInt8] = []
    var runs: [DataRun] = []
    var spans: [ContentSpan] = []
    var chunks: [ContentChunk] = []
    var objects: [FileObject] = []
    var layers: [LayerReference] = []
    /// Of every span, or of none: the first span without one ends the collecting.
    var starts: [SpanStart] = []
    var windows: [UInt8] = []

    /// Where the content space ends so far.
    var contentSize: UInt64 { spans.last?.contentEnd ?? 0 }

    mutating func append(_ node: TreeNode, limits: TreeLimits) throws(TreeIndexError) -> Ordinal {
        guard nodes.count < limits.nodes, nodes.count < Int(Ordinal.max) else { throw .tooMany("files", limit: limits.nodes) }
        nodes.append(node)
        return Ordinal(nodes.count - 1)
    }

    /// Stores a name or target and gives its offset.
    mutating func intern(_ bytes: some Collection<UInt8>, limits: TreeLimits) throws(TreeIndexError) -> UInt32 {
        guard bytes.count <= limits.heapBytes - heap.count, let offset = UInt32(exactly: heap.count) else {
            throw .tooMany("bytes of names", limit: limits.heapBytes)
        }
        heap.append(contentsOf: bytes)
        return offset
    }

    mutating func intern(attributeBlock bytes: some Collection<UInt8>, limits: TreeLimits) throws(TreeIndexError) -> UInt32 {
        guard bytes.count <= limits.attributeBytes - attributes.count, let offset = UInt32(exactly: attributes.count) else {
            throw .tooMany("bytes of extended attributes", limit: limits.attributeBytes)
        }
        attributes.append(contentsOf: bytes)
        return offset
    }

    func name(of ordinal: Ordinal) -> ArraySlice<UInt8> {
        let node = nodes[Int(ordinal)]
        return heap[Int(node.nameOffset)..<Int(node.nameOffset) + Int(node.nameLength)]
    }

    /// Target of a symlink or dangling link; empty for every other kind.
    func target(of ordinal: Ordinal) -> ArraySlice<UInt8> {
        let node = nodes[Int(ordinal)]
        guard node.kind == .symlink || node.kind == .danglingLink else { return [] }
        return heap[Int(node.place)..<Int(node.place) + Int(node.size)]
    }

    /// Names from the root down joined by `/`; empty for the root.
    func path(of ordinal: Ordinal) -> [UInt8] {
        var names: [ArraySlice<UInt8>] = []
        var current = ordinal
        while current != 0 {
            names.append(name(of: current))
            current = nodes[Int(current)].parent
        }
        return Array(names.reversed().joined(separator: [UInt8(ascii: "/")]))
    }
}

/// Whether `left` comes before `right` byte by byte: the order of names in a directory. Negative, 0 or positive.
@inlinable
func compareNames(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Int {
    let common = min(left.count, right.count)
    if common > 0, let leftBase = left.baseAddress, let rightBase = right.baseAddress {
        let order = memcmp(leftBase, rightBase, common)
        if order != 0 { return Int(order) }
    }
    return left.count - right.count
}
