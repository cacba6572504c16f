/// One object that the kernel knows: 72 bytes.
struct LiveRecord {
    var identity: LiveIdentity
    /// 0 for a free slot.
    var node: UInt64
    var lookups: UInt64
    var opens: UInt32
    var children: UInt32
    /// The next slot of the same bucket, plus one; a free slot's next free one likewise.
    var nextByNode: UInt32
    var nextByIdentity: UInt32
    var isOrphan: Bool
    var isBacked: Bool
    /// The kernel may have gathered its listing.
    var isListed: Bool

    var isUnused: Bool { lookups == 0 && opens == 0 && children == 0 }
}

/// A nameless object's descriptor, and whether it counts against the limit of those.
struct LiveOrphan {
    let file: LiveFile
    let isIdle: Bool
}

/// A directory and a name in it.
struct LivePlace {
    let parent: NodeID
    let name: [UInt8]
}

/// Records in one block of memory, chained from two tables of buckets. No allocation for a record beside the growth.
/// Sendable because its pointers are its own and nobody else has them.
struct LiveShard: ~Copyable, @unchecked Sendable {
    /// What a removed record owned: it ends outside the lock.
    struct Leaving {
        let orphan: LiveOrphan?
        let place: LivePlace?
    }

    private(set) var records: UnsafeMutablePointer<LiveRecord>
    private(set) var count = 0
    var orphans: [UInt64: LiveOrphan] = [:]
    var places: [UInt64: LivePlace] = [:]

    private var capacity = 8
    private var used = 0
    private var freed: UInt32 = 0
    /// As many buckets as records fit: chains are one record long on average at most.
    private var byNode: UnsafeMutablePointer<UInt32>
    private var byIdentity: UnsafeMutablePointer<UInt32>

    init() {
        records = .allocate(capacity: capacity)
        byNode = .allocate(capacity: capacity)
        byIdentity = .allocate(capacity: capacity)
        byNode.initialize(repeating: 0, count: capacity)
        byIdentity.initialize(repeating: 0, count: capacity)
    }

    deinit {
        records.deallocate()
        byNode.deallocate()
        byIdentity.deallocate()
    }

    var footprint: Int { capacity * (MemoryLayout<LiveRecord>.stride + 8) }

    @inline(__always)
    func slot(of node: UInt64) -> Int? {
        var next = byNode[bucket(node)]
        while next != 0 {
            let slot = Int(next) - 1
            if records[slot].node == node { return slot }
            next = records[slot].nextByNode
        }
        return nil
    }

    @inline(__always)
    func slot(of identity: LiveIdentity, _ hash: UInt64) -> Int? {
        var next = byIdentity[Int(truncatingIfNeeded: hash) & (capacity - 1)]
        while next != 0 {
            let slot = Int(next) - 1
            if records[slot].identity == identity { return slot }
            next = records[slot].nextByIdentity
        }
        return nil
    }

    /// - Precondition: neither the identity nor the node has a record.
    mutating func insert(_ identity: LiveIdentity, _ hash: UInt64, node: UInt64) -> Int {
        if freed == 0 && used == capacity { grow() }
        let slot: Int
        if freed != 0 {
            slot = Int(freed) - 1
            freed = records[slot].nextByNode
        } else {
            slot = used
            used += 1
        }
        (records + slot).initialize(to: LiveRecord(
            identity: identity, node: node, lookups: 0, opens: 0, children: 0, nextByNode: 0, nextByIdentity: 0, isOrphan: false, isBacked: false,
            isListed: false))
        chain(slot, hash)
        count += 1
        return slot
    }

    /// The nodes that are marked as listed, which they then are no more.
    mutating func takeListed() -> [NodeID] {
        (0..<used).filter { records[$0].node != 0 && records[$0].isListed }.map { slot in
            records[slot].isListed = false
            return NodeID(rawValue: records[slot].node)
        }
    }

    mutating func remove(_ slot: Int) -> Leaving {
        let record = records[slot]
        var link = byNode + bucket(record.node)
        while Int(link.pointee) - 1 != slot { link = nextByNode(Int(link.pointee) - 1) }
        link.pointee = record.nextByNode
        link = byIdentity + (Int(truncatingIfNeeded: record.identity.mixed) & (capacity - 1))
        while Int(link.pointee) - 1 != slot { link = nextByIdentity(Int(link.pointee) - 1) }
        link.pointee = record.nextByIdentity
        records[slot].node = 0
        records[slot].nextByNode = freed
        freed = UInt32(slot + 1)
        count -= 1
        return Leaving(
            orphan: record.isOrphan ? orphans.removeValue(forKey: record.node) : nil,
            place: places.isEmpty ? nil : places.removeValue(forKey: record.node))
    }

    /// Numbers are handed out in order, so their low bits spread by themselves.
    @inline(__always)
    private func bucket(_ node: UInt64) -> Int { Int(truncatingIfNeeded: node >> LiveNumbers.shardBits) & (capacity - 1) }

    private func nextByNode(_ slot: Int) -> UnsafeMutablePointer<UInt32> {
        UnsafeMutableRawPointer(records + slot).advanced(by: MemoryLayout<LiveRecord>.offset(of: \.nextByNode)!).assumingMemoryBound(to: UInt32.self)
    }

    private func nextByIdentity(_ slot: Int) -> UnsafeMutablePointer<UInt32> {
        UnsafeMutableRawPointer(records + slot).advanced(by: MemoryLayout<LiveRecord>.offset(of: \.nextByIdentity)!).assumingMemoryBound(to: UInt32.self)
    }

    private mutating func chain(_ slot: Int, _ hash: UInt64) {
        let first = bucket(records[slot].node)
        records[slot].nextByNode = byNode[first]
        byNode[first] = UInt32(slot + 1)
        let second = Int(truncatingIfNeeded: hash) & (capacity - 1)
        records[slot].nextByIdentity = byIdentity[second]
        byIdentity[second] = UInt32(slot + 1)
    }

    /// - Precondition: no slot is free.
    private mutating func grow() {
        let larger = UnsafeMutablePointer<LiveRecord>.allocate(capacity: capacity * 2)
        larger.moveInitialize(from: records, count: used)
        records.deallocate()
        byNode.deallocate()
        byIdentity.deallocate()
        records = larger
        capacity *= 2
        byNode = .allocate(capacity: capacity)
        byIdentity = .allocate(capacity: capacity)
        byNode.initialize(repeating: 0, count: capacity)
        byIdentity.initialize(repeating: 0, count: capacity)
        for slot in 0..<used { chain(slot, records[slot].identity.mixed) }
    }
}
