import Synchronization

/// Node ids of synthetic nodes: given out at first lookup and held while the kernel remembers them.
final class SyntheticTable: Sendable {
    private struct Row: Sendable {
        let node: SyntheticNode
        var lookups: UInt64
    }

    private struct State {
        var ordinals: [SyntheticNode: UInt32] = [:]
        var rows: [UInt32: Row] = [:]
        var next: UInt32 = 1

        /// A number that no node has. After four thousand million the numbers begin again.
        mutating func takeOrdinal() -> UInt32 {
            while next <= UInt32(SyntheticNode.permanent.count) || rows[next] != nil { next &+= 1 }
            defer { next &+= 1 }
            return next
        }
    }

    private let state: Mutex<State>

    /// The serial of all synthetic nodes; the store never gives it to a tree.
    static let serial: UInt32 = 0

    init() {
        var state = State()
        for node in SyntheticNode.permanent {
            state.ordinals[node] = state.next
            // One lookup that is never taken back keeps them.
            state.rows[state.next] = Row(node: node, lookups: 1)
            state.next += 1
        }
        self.state = Mutex(state)
    }

    static let root = NodeID(serial: serial, ordinal: 1)

    func node(_ id: NodeID) throws(FSError) -> SyntheticNode {
        guard let row = state.withLock({ $0.rows[id.ordinal] }) else { throw .stale }
        return row.node
    }

    /// The id of `node`, counting one lookup (or none, for a listing that names nodes only).
    func id(of node: SyntheticNode, counting lookups: UInt64) -> NodeID {
        state.withLock { state in
            if let ordinal = state.ordinals[node] {
                state.rows[ordinal]?.lookups += lookups
                return NodeID(serial: Self.serial, ordinal: ordinal)
            }
            let ordinal = state.takeOrdinal()
            // A node that only a listing named is not kept: its number serves `d_ino` and nothing else.
            if lookups > 0 {
                state.ordinals[node] = ordinal
                state.rows[ordinal] = Row(node: node, lookups: lookups)
            }
            return NodeID(serial: Self.serial, ordinal: ordinal)
        }
    }

    /// How many nodes the kernel remembers, besides those that always exist.
    var rememberedCount: Int { state.withLock { $0.rows.count } - SyntheticNode.permanent.count }

    /// As if all numbers up to `ordinal` had been given out.
    func skipOrdinals(to ordinal: UInt32) { state.withLock { $0.next = ordinal } }

    func forget(_ id: NodeID, count: UInt64) {
        guard id.ordinal > UInt32(SyntheticNode.permanent.count) else { return }
        state.withLock { state in
            guard var row = state.rows[id.ordinal] else { return }
            row.lookups = row.lookups > count ? row.lookups - count : 0
            if row.lookups == 0 {
                state.rows[id.ordinal] = nil
                state.ordinals[row.node] = nil
            } else {
                state.rows[id.ordinal] = row
            }
        }
    }
}
