import LinuxIO
import Synchronization

/// An open descriptor that several operations use at once; it closes when the last lets go. Whoever uses `raw` keeps the
/// file itself until after the call (`extendLifetime`): the number alone would soon be another file's.
final class LiveFile: Sendable {
    let descriptor: OwnedDescriptor
    /// Neither: it was opened O_PATH.
    let canRead: Bool
    let canWrite: Bool

    init(_ descriptor: consuming OwnedDescriptor, canRead: Bool = false, canWrite: Bool = false) {
        self.descriptor = descriptor
        self.canRead = canRead
        self.canWrite = canWrite
    }

    var raw: Int32 { descriptor.raw }
}

/// Descriptors of nodes used lately. The number of open files is limited, 20,000 on some hosts, and the number of nodes is
/// not; so a descriptor is never more than a short cut, and what has none is opened anew.
final class LiveDescriptors: Sendable {
    private struct Shard {
        var nodes: [UInt64] = []
        var files: [LiveFile?] = []
        var wasUsed: [Bool] = []
        /// Where the next victim is looked for (the CLOCK algorithm).
        var hand = 0
    }

    private let shards = InlineArray<16, Mutex<Shard>> { _ in Mutex(Shard()) }
    private let shardCapacity: Int

    init(capacity: Int) { shardCapacity = max(1, capacity / 16) }

    @inline(__always)
    private func shard(_ node: NodeID) -> Int { Int((node.rawValue &* 0x9e37_79b9_7f4a_7c15) >> 60) }

    @inline(__always)
    subscript(node: NodeID) -> LiveFile? {
        shards[shard(node)].withLock { shard in
            guard let place = shard.nodes.firstIndex(of: node.rawValue) else { return nil }
            shard.wasUsed[place] = true
            return shard.files[place]
        }
    }

    /// Replaces what was there for the node.
    func put(_ node: NodeID, _ file: LiveFile) {
        // The replaced one closes outside the lock.
        let replaced = shards[shard(node)].withLock { shard -> LiveFile? in
            if let place = shard.nodes.firstIndex(of: node.rawValue) ?? shard.nodes.firstIndex(of: 0) {
                defer { (shard.nodes[place], shard.files[place], shard.wasUsed[place]) = (node.rawValue, file, true) }
                return shard.files[place]
            }
            guard shard.nodes.count == shardCapacity else {
                shard.nodes.append(node.rawValue)
                shard.files.append(file)
                shard.wasUsed.append(true)
                return nil
            }
            while shard.wasUsed[shard.hand] {
                shard.wasUsed[shard.hand] = false
                shard.hand = (shard.hand + 1) % shardCapacity
            }
            let place = shard.hand
            shard.hand = (place + 1) % shardCapacity
            defer { (shard.nodes[place], shard.files[place], shard.wasUsed[place]) = (node.rawValue, file, false) }
            return shard.files[place]
        }
        _ = replaced
    }

    @discardableResult
    func remove(_ node: NodeID) -> LiveFile? {
        shards[shard(node)].withLock { shard in
            guard let place = shard.nodes.firstIndex(of: node.rawValue) else { return nil }
            defer { (shard.nodes[place], shard.files[place]) = (0, nil) }
            return shard.files[place]
        }
    }

    /// Gives all back, when the process has no descriptors left.
    func removeAll() {
        for index in 0..<16 {
            let files = shards[index].withLock { shard -> [LiveFile?] in
                defer { shard = Shard() }
                return shard.files
            }
            _ = files
        }
    }
}
