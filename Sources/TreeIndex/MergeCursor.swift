/// A position in the sorted children of one layer's directory.
struct MergeCursor {
    private let view: TreeView
    private let directory: TreeNode
    private let slot: UInt16
    private var position = 0
    /// The node at the position; nil at the end.
    private var found: (ordinal: Ordinal, node: TreeNode)?

    init(_ member: LayerNode, in view: TreeView) {
        self.view = view
        slot = member.slot
        directory = view.node(member.ordinal)
        load()
    }

    /// - Precondition: not at the end, as after `isAt` was true.
    var current: LayerNode { LayerNode(slot: slot, ordinal: found?.ordinal ?? 0) }
    var node: TreeNode { found?.node ?? directory }
    var name: UnsafeRawBufferPointer? { found.map { view.name(of: $0.node) } }

    func isAt(_ wanted: UnsafeRawBufferPointer) -> Bool {
        guard let name else { return false }
        return compareNames(name, wanted) == 0
    }

    mutating func advance() {
        position += 1
        load()
    }

    private mutating func load() {
        guard position < directory.childCount else {
            found = nil
            return
        }
        let ordinal = view.child(of: directory, at: position)
        found = (ordinal, view.node(ordinal))
    }

    static func smallestName(of cursors: [MergeCursor]) -> UnsafeRawBufferPointer? {
        var smallest: UnsafeRawBufferPointer?
        for cursor in cursors {
            guard let name = cursor.name else { continue }
            if let known = smallest, compareNames(known, name) <= 0 { continue }
            smallest = name
        }
        return smallest
    }
}
