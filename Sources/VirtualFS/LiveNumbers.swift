import Glibc
import Synchronization

/// Hands out the node ids of all live trees of one mount: none is ever given twice.
///
/// An id is bit 63, then 15 bits of tree, 43 of number, 5 of shard. Numbers begin at the clock, 2,048 for each second, so that
/// an id of an earlier daemon means nothing to this one (ESTALE) and not another file.
public final class LiveNumbers: Sendable {
    static let shardBits: UInt64 = 5
    private static let treeLimit: UInt64 = 1 << 15
    private static let numberMask: UInt64 = 1 << 43 - 1

    private struct Trees {
        var next: UInt64 = 0
        var past: [UInt64] = []
    }

    private let trees = Mutex(Trees())
    private let nextNumber: Atomic<UInt64>

    public init() {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        nextNumber = Atomic(UInt64(truncatingIfNeeded: now.tv_sec) << 11)
    }

    /// `.noSpace` where 32,768 trees are there at once.
    func takeTree() throws(FSError) -> UInt64 {
        try trees.withLock { trees throws(FSError) in
            if let past = trees.past.popLast() { return past }
            guard trees.next < Self.treeLimit else { throw .noSpace }
            defer { trees.next += 1 }
            return trees.next
        }
    }

    /// The tree has gone. The next with its number does not know its nodes: theirs are other numbers.
    func giveBack(tree: UInt64) { trees.withLock { $0.past.append(tree) } }

    @inline(__always)
    func takeNode(tree: UInt64, shard: Int) -> NodeID {
        let number = nextNumber.add(1, ordering: .relaxed).oldValue & Self.numberMask
        return NodeID(rawValue: 1 << 63 | tree << 48 | number << Self.shardBits | UInt64(shard))
    }

    @inline(__always) static func tree(of node: NodeID) -> UInt64 { (node.rawValue << 1) >> 49 }
    @inline(__always) static func shard(of node: NodeID) -> Int { Int(node.rawValue & (1 << shardBits - 1)) }
}

/// The live trees of a mount, by the ids of their nodes.
public final class LiveTrees: Sendable {
    public let numbers = LiveNumbers()
    /// By the low bits of a tree's number, and in each by the rest: two busy trees do not share a lock.
    private let shards = InlineArray<16, Mutex<[LiveTree?]>> { _ in Mutex([]) }

    public init() {}

    public func add(_ tree: LiveTree) {
        shards[Int(tree.number & 15)].withLock { trees in
            let place = Int(tree.number >> 4)
            while trees.count <= place { trees.append(nil) }
            trees[place] = tree
        }
    }

    /// Its nodes are stale from now on. Operations that run on it still end well.
    public func remove(_ tree: LiveTree) {
        let removed = shards[Int(tree.number & 15)].withLock { trees -> LiveTree? in
            let place = Int(tree.number >> 4)
            guard place < trees.count else { return nil }
            defer { trees[place] = nil }
            return trees[place]
        }
        // Its descriptors close here, outside the lock.
        _ = removed
    }

    /// nil for a node of no tree, or of one that was removed.
    public subscript(node: NodeID) -> LiveTree? {
        guard node.isLive else { return nil }
        let number = LiveNumbers.tree(of: node)
        return shards[Int(number & 15)].withLock { trees in
            let place = Int(number >> 4)
            return place < trees.count ? trees[place] : nil
        }
    }
}
