import CLinux
import Glibc
import LinuxIO
import Logging
import Synchronization
import VirtualFS

/// How every open file is being read: through us and the page cache, or by the kernel from its backing file.
///
/// The kernel fails an open with EIO that mixes the two on one inode, or that names a second registration of the same
/// file. So the first open of an inode decides, all others follow until the last is closed, and there is one
/// registration per inode. Hence the ladder of a file that is still being fetched: served by us while it fills, handed
/// to the kernel at the first open after its completion that finds no earlier open left.
///
/// An open is counted before its answer is sent, and a release after the kernel has let go: so whenever an inode has
/// no entry here, it has no open in the kernel either.
///
/// A registration may outlive the last close, so that opening the file again costs next to nothing. Its content then stays on the
/// disk whoever removes it, so it ends when the kernel forgets the inode, when others come who may remove it, and when there are
/// too many. Only one whose file is open for reading is kept: a program that somebody has open for writing cannot be executed.
final class PassthroughTable: Sendable {
    private struct Opens {
        /// The kernel's name for the registration; 0 where the inode is served by us.
        var backing: Int32
        var count: UInt32
        /// It outlives the last close.
        var stays: Bool
    }

    private struct Shard {
        var opens: [NodeID: Opens] = [:]
        /// What stays, oldest first from `next`; some have ended or are open again.
        var staying: [NodeID] = []
        var next = 0
    }

    private static let shardCount = 64
    private static let stayingInShard = 64

    private let shards = InlineArray<64, Mutex<Shard>> { _ in Mutex(Shard()) }
    private let isOn: Atomic<Bool>
    private let device: Int32
    private let logger: Logger

    /// `device` is the FUSE device of the mount, open as long as the table is used.
    init(device: Int32, isWanted: Bool, logger: Logger) {
        self.device = device
        self.logger = logger
        isOn = Atomic(isWanted)
    }

    /// Counts an open. Returns the backing id to answer with, or nil where the file is to be served by us.
    /// `withBacking` is to call what it is given with a descriptor of the whole content, if this open may start passthrough.
    /// `stays`: a registration may outlive the last close.
    func open(_ node: NodeID, stays: Bool, withBacking: ((Int32) -> Int32) -> Int32?) -> Int32? {
        shards[shard(node)].withLock { shard in
            if var present = shard.opens[node] {
                present.count += 1
                present.stays = present.stays && stays
                shard.opens[node] = present
                return present.backing > 0 ? present.backing : nil
            }
            var isForReading = false
            let id = !isOn.load(ordering: .relaxed) ? 0 : withBacking { file in
                isForReading = fcntl(file, F_GETFL) & O_ACCMODE == O_RDONLY
                return register(file)
            } ?? 0
            shard.opens[node] = Opens(backing: id, count: 1, stays: stays && id > 0 && isForReading)
            return id > 0 ? id : nil
        }
    }

    /// Counts one more open of a registration that stays, and returns its backing id; nil where there is none.
    func reopen(_ node: NodeID) -> Int32? {
        shards[shard(node)].withLock { shard in
            guard var present = shard.opens[node], present.stays else { return nil }
            present.count += 1
            shard.opens[node] = present
            return present.backing
        }
    }

    /// Takes one open back; the last gives the registration up, or leaves it to those that stay.
    func close(_ node: NodeID) {
        shards[shard(node)].withLock { shard in
            guard var present = shard.opens[node], present.count > 0 else { return }
            present.count -= 1
            shard.opens[node] = present
            guard present.count == 0 else { return }
            if present.stays { stay(node, in: &shard) } else { end(node, in: &shard) }
        }
    }

    /// The kernel has forgotten the inode: nobody will open it again by this number.
    func forget(_ node: NodeID) {
        shards[shard(node)].withLock { shard in
            if shard.opens[node]?.count == 0 { end(node, in: &shard) }
        }
    }

    /// Ends every registration that nobody uses, and lets those that are used end with their last close.
    func forgetStaying() {
        for number in 0..<Self.shardCount {
            shards[number].withLock { shard in
                for node in Array(shard.opens.keys) {
                    if shard.opens[node]?.count == 0 { end(node, in: &shard) } else { shard.opens[node]?.stays = false }
                }
                shard.staying = []
                shard.next = 0
            }
        }
    }

    /// Files with at least one open.
    var openFiles: Int { count { $0.count > 0 } }
    /// Registrations that nobody uses.
    var stayingFiles: Int { count { $0.count == 0 } }

    private func count(_ isCounted: (Opens) -> Bool) -> Int {
        var sum = 0
        for number in 0..<Self.shardCount { sum += shards[number].withLock { $0.opens.values.count(where: isCounted) } }
        return sum
    }

    private func stay(_ node: NodeID, in shard: inout Shard) {
        guard shard.staying.count == Self.stayingInShard else {
            if !shard.staying.contains(node) { shard.staying.append(node) }
            return
        }
        guard !shard.staying.contains(node) else { return }
        let oldest = shard.staying[shard.next]
        shard.staying[shard.next] = node
        shard.next = (shard.next + 1) % Self.stayingInShard
        if shard.opens[oldest]?.count == 0 { end(oldest, in: &shard) }
    }

    private func end(_ node: NodeID, in shard: inout Shard) {
        guard let last = shard.opens.removeValue(forKey: node), last.backing > 0 else { return }
        _ = larder_fuse_backing_close(device, last.backing)
    }

    /// The kernel's name for the file, which it has open itself from here on; 0 where it refuses.
    private func register(_ file: Int32) -> Int32 {
        let id = larder_fuse_backing_open(device, file)
        if id > 0 { return id }
        let error = SystemError("FUSE_DEV_IOC_BACKING_OPEN")
        if Self.isPermanent(error.code), isOn.exchange(false, ordering: .relaxed) {
            logger.notice("passthrough is off for this mount; files are read through the daemon", metadata: ["reason": "\(error)"])
        }
        return 0
    }

    /// No right to register, a store that lies on a stacked filesystem or cannot be read this way, an old kernel:
    /// the next file would fare no better.
    private static func isPermanent(_ code: Int32) -> Bool {
        switch code {
        case EPERM, ELOOP, EOPNOTSUPP, ENOTTY, ENOSYS, EINVAL: true
        default: false
        }
    }

    private func shard(_ node: NodeID) -> Int {
        Int(truncatingIfNeeded: (node.rawValue &* 0x9e37_79b9_7f4a_7c15) >> 58)
    }
}

extension FuseConnection {
    /// Counts an open, and says how. The kernel opens the backing file with the caller's flags and our rights; set-id bits and
    /// file capabilities it has taken off before a write, by SETATTR and REMOVEXATTR.
    func openForPassthrough(_ node: NodeID, _ file: OpenedFile) -> Int32? {
        guard handshake.hasPassthrough else { return nil }
        return passthrough.open(node, stays: file.staysBacked) { file.complete ? try? fileSystem.withBacking(node, $0) : nil }
    }

    /// Counts an open for reading of a file that the kernel has registered still. nil where it has not.
    func reopen(_ node: NodeID) throws(FSError) -> (file: OpenedFile, backing: Int32)? {
        guard handshake.hasPassthrough, let backing = passthrough.reopen(node) else { return nil }
        do throws(FSError) {
            return (try fileSystem.reopen(node), backing)
        } catch {
            passthrough.close(node)
            throw error
        }
    }

    func release(_ node: NodeID, handle: UInt64) {
        if handshake.hasPassthrough { passthrough.close(node) }
        fileSystem.release(node, handle: handle)
    }

    func forget(_ node: NodeID, count: UInt64) {
        if handshake.hasPassthrough { passthrough.forget(node) }
        fileSystem.forget(node, count: count)
    }
}
