import Synchronization

/// The objects of one live tree that the kernel knows: id to identity and back, with what it counts. Sharded by identity, and
/// the id carries the shard; so two requests meet in a lock only by chance.
final class LiveNodes: Sendable {
    /// What is known of a node.
    struct Known {
        var identity: LiveIdentity
        var isOrphan: Bool
        var opens: UInt32
    }

    private static let shardCount = 1 << Int(LiveNumbers.shardBits)
    /// Nameless objects that are kept reachable though nobody has them open: a removed working directory, an O_PATH
    /// descriptor. Beyond these such a node is stale, as on NFS.
    private static let idleOrphanLimit = 1024

    private let numbers: LiveNumbers
    private let tree: UInt64
    private let directories: LiveDescriptors
    private let shards = InlineArray<32, Mutex<LiveShard>> { _ in Mutex(LiveShard()) }
    private let idleOrphans = Atomic<Int>(0)

    /// `directories` loses what is forgotten.
    init(numbers: LiveNumbers, tree: UInt64, directories: LiveDescriptors) {
        self.numbers = numbers
        self.tree = tree
        self.directories = directories
    }

    @inline(__always)
    private func withShard<Value>(of node: NodeID, _ body: (inout LiveShard) -> Value) -> Value {
        shards[LiveNumbers.shard(of: node)].withLock { body(&$0) }
    }

    /// Counts one lookup of the object, and with `opening` one open, and gives its id: the one it has, or a new one.
    func remember(_ identity: LiveIdentity, opening: Bool = false) -> NodeID {
        let hash = identity.mixed
        let number = Int(truncatingIfNeeded: hash >> (64 - LiveNumbers.shardBits))
        return shards[number].withLock { shard in
            let slot = shard.slot(of: identity, hash)
                ?? shard.insert(identity, hash, node: numbers.takeNode(tree: tree, shard: number).rawValue)
            shard.records[slot].lookups &+= 1
            if opening { shard.records[slot].opens &+= 1 }
            return NodeID(rawValue: shard.records[slot].node)
        }
    }

    /// Counts one more lookup of a known node.
    func remember(_ node: NodeID) {
        withShard(of: node) { shard in
            if let slot = shard.slot(of: node.rawValue) { shard.records[slot].lookups &+= 1 }
        }
    }

    /// nil where the kernel cannot know it.
    @inline(__always)
    func known(_ node: NodeID) -> Known? {
        guard LiveNumbers.tree(of: node) == tree else { return nil }
        return withShard(of: node) { shard in
            guard let slot = shard.slot(of: node.rawValue) else { return nil }
            let record = shard.records[slot]
            return Known(identity: record.identity, isOrphan: record.isOrphan, opens: record.opens)
        }
    }

    func node(of identity: LiveIdentity) -> NodeID? {
        let hash = identity.mixed
        return shards[Int(truncatingIfNeeded: hash >> (64 - LiveNumbers.shardBits))].withLock { shard in
            shard.slot(of: identity, hash).map { NodeID(rawValue: shard.records[$0].node) }
        }
    }

    func forget(_ node: NodeID, count: UInt64) {
        change(node) { $0.lookups -= min($0.lookups, count) }
    }

    /// Counts an open and returns how many there were; nil for a stale node.
    func opened(_ node: NodeID) -> UInt32? {
        guard LiveNumbers.tree(of: node) == tree else { return nil }
        return withShard(of: node) { shard in
            guard let slot = shard.slot(of: node.rawValue) else { return nil }
            defer { shard.records[slot].opens &+= 1 }
            return shard.records[slot].opens
        }
    }

    /// True for the last.
    func closed(_ node: NodeID) -> Bool {
        var isLast = true
        change(node) { record in
            record.opens -= min(record.opens, 1)
            isLast = record.opens == 0
            if isLast { record.isBacked = false }
        }
        return isLast
    }

    /// The kernel has the file open itself and keeps it alive.
    func backed(_ node: NodeID) {
        withShard(of: node) { shard in
            if let slot = shard.slot(of: node.rawValue) { shard.records[slot].isBacked = true }
        }
    }

    /// The kernel may have gathered the directory's listing.
    func listed(_ node: NodeID) {
        withShard(of: node) { shard in
            if let slot = shard.slot(of: node.rawValue) { shard.records[slot].isListed = true }
        }
    }

    func takeListed() -> [NodeID] { (0..<Self.shardCount).flatMap { shard in shards[shard].withLock { $0.takeListed() } } }

    /// In path addressing a node stays while it is the parent of one.
    func counted(children delta: Int32, of node: NodeID) {
        change(node) { $0.children = UInt32(truncatingIfNeeded: Int64($0.children) + Int64(delta)) }
    }

    var count: Int { (0..<Self.shardCount).reduce(0) { sum, shard in sum + shards[shard].withLock { $0.count } } }

    /// Bytes of memory for the table itself.
    var footprint: Int { (0..<Self.shardCount).reduce(0) { sum, shard in sum + shards[shard].withLock { $0.footprint } } }

    private func change(_ node: NodeID, _ body: (inout LiveRecord) -> Void) {
        var left: LiveShard.Leaving?
        withShard(of: node) { shard in
            guard let slot = shard.slot(of: node.rawValue) else { return }
            body(&shard.records[slot])
            if shard.records[slot].isUnused { left = shard.remove(slot) }
        }
        guard let left else { return }
        directories.remove(node)
        if left.orphan?.isIdle == true { idleOrphans.subtract(1, ordering: .relaxed) }
        if let place = left.place { counted(children: -1, of: place.parent) }
    }
}

// MARK: - Objects without a name
extension LiveNodes {
    /// Keeps an object whose last name has gone reachable for as long as the kernel knows it.
    func keep(_ node: NodeID, _ file: LiveFile) {
        let before = withShard(of: node) { shard -> LiveOrphan? in
            guard let slot = shard.slot(of: node.rawValue) else { return nil }
            let isIdle = shard.records[slot].opens == 0 || shard.records[slot].isBacked
            if isIdle, idleOrphans.add(1, ordering: .relaxed).newValue > Self.idleOrphanLimit {
                idleOrphans.subtract(1, ordering: .relaxed)
                return nil
            }
            shard.records[slot].isOrphan = true
            return shard.orphans.updateValue(LiveOrphan(file: file, isIdle: isIdle), forKey: node.rawValue)
        }
        if before?.isIdle == true { idleOrphans.subtract(1, ordering: .relaxed) }
    }

    func orphan(_ node: NodeID) -> LiveFile? { withShard(of: node) { $0.orphans[node.rawValue]?.file } }

    /// It has a name again.
    func adopted(_ node: NodeID) {
        let before = withShard(of: node) { shard -> LiveOrphan? in
            if let slot = shard.slot(of: node.rawValue) { shard.records[slot].isOrphan = false }
            return shard.orphans.removeValue(forKey: node.rawValue)
        }
        if before?.isIdle == true { idleOrphans.subtract(1, ordering: .relaxed) }
    }
}

// MARK: - Where it is, for path addressing alone
extension LiveNodes {
    func place(of node: NodeID) -> LivePlace? { withShard(of: node) { $0.places[node.rawValue] } }

    func isPlaced(_ node: NodeID, in parent: NodeID, _ name: UnsafeRawBufferPointer) -> Bool {
        withShard(of: node) { shard in
            guard let place = shard.places[node.rawValue] else { return false }
            return place.parent == parent && place.name.elementsEqual(name)
        }
    }

    /// A node keeps the one place where it was seen last.
    func put(_ node: NodeID, in parent: NodeID, _ name: UnsafeRawBufferPointer) {
        adopted(node)
        if isPlaced(node, in: parent, name) || node == parent { return }
        counted(children: 1, of: parent)
        let before = withShard(of: node) { shard -> LivePlace? in
            guard shard.slot(of: node.rawValue) != nil else { return LivePlace(parent: parent, name: []) }
            return shard.places.updateValue(LivePlace(parent: parent, name: [UInt8](name)), forKey: node.rawValue)
        }
        if let before { counted(children: -1, of: before.parent) }
    }
}
