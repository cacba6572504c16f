import Glibc

/// Finds a node by parent and name while the tree grows: open addressing, ordinals only, names compared in the heap.
///
/// A node that has died keeps its slot, and a later member of the same path gets its ordinal back. So there is one slot
/// per path for ever, and nobody can fill the table with graves. The hash is seeded per process, as members choose the names.
struct NameTable: Sendable {
    // 0 is an empty slot: the root has no name and is never looked for.
    private var slots: [Ordinal] = Array(repeating: 0, count: 64)
    private var used = 0

    /// The node of that path, dead or alive.
    func find(_ name: ArraySlice<UInt8>, in parent: Ordinal, tables: TreeTables) -> Ordinal? {
        let found = slots[slot(of: name, in: parent, tables: tables)]
        return found == 0 ? nil : found
    }

    /// - Precondition: no node of that parent and name is in the table.
    mutating func insert(_ ordinal: Ordinal, tables: TreeTables) {
        if used * 4 >= slots.count * 3 { grow(tables: tables) }
        place(ordinal, tables: tables)
        used += 1
    }

    private mutating func place(_ ordinal: Ordinal, tables: TreeTables) {
        let parent = tables.nodes[Int(ordinal)].parent
        slots[slot(of: tables.name(of: ordinal), in: parent, tables: tables)] = ordinal
    }

    private mutating func grow(tables: TreeTables) {
        let old = slots
        slots = Array(repeating: 0, count: old.count * 2)
        for ordinal in old where ordinal != 0 { place(ordinal, tables: tables) }
    }

    /// The slot that holds the node, or the empty one where it belongs.
    private func slot(of name: ArraySlice<UInt8>, in parent: Ordinal, tables: TreeTables) -> Int {
        name.withUnsafeBytes { wanted in
            var hasher = Hasher()
            hasher.combine(parent)
            hasher.combine(bytes: wanted)
            let mask = slots.count - 1
            return tables.heap.withUnsafeBytes { heap in
                var slot = hasher.finalize() & mask
                while slots[slot] != 0 {
                    let node = tables.nodes[Int(slots[slot])]
                    if node.parent == parent, Int(node.nameLength) == wanted.count {
                        let start = Int(node.nameOffset)
                        let other = UnsafeRawBufferPointer(rebasing: heap[start..<start + wanted.count])
                        if compareNames(other, wanted) == 0 { break }
                    }
                    slot = (slot + 1) & mask
                }
                return slot
            }
        }
    }
}
