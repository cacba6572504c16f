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
///
/// And so it may be remembered that a file was read through the page cache: then its pages still hold. The next open that wants it
/// otherwise, as any that writes does, ends that; so do an hour, after which reading shall show below again (what was not used for
/// long is removed, and the disk keeps account of its own reads only), and what ends a registration. There may be one for each inode.
final class OpenFiles: Sendable {
    /// How an open file is read and written.
    enum Way: Equatable {
        /// By the kernel, from the file that it knows by this number.
        case below(Int32)
        /// By us, through the page cache; `hold`: all that has changed since a page was read has changed there, too.
        case pages(hold: Bool)

        var isBelow: Bool {
            if case .below = self { true } else { false }
        }
    }

    private struct Opens {
        /// The kernel's name for the registration; 0 where the inode is served by us.
        var backing: Int32
        var count: UInt32
        /// It outlives the last close.
        var stays: Bool
        /// When the first of these opens was, in nanoseconds (`CoarseClock`).
        let since: UInt64

        var way: Way { backing > 0 ? .below(backing) : .pages(hold: true) }
    }

    private struct Shard {
        var opens: [NodeID: Opens] = [:]
        /// Registrations that stay, oldest first from `next`; some have ended or are open again.
        var staying: [NodeID] = []
        var next = 0
    }

    private static let shardCount = 64
    private static let stayingInShard = 64

    private let shards = InlineArray<64, Mutex<Shard>> { _ in Mutex(Shard()) }
    private let isOn: Atomic<Bool>
    private let device: Int32
    private let pageAge: UInt64
    private let logger: Logger

    /// - Parameters:
    ///   - device: the FUSE device of the mount, open as long as the table is used.
    ///   - pageAge: nanoseconds for which it is remembered that pages hold.
    init(device: Int32, isWanted: Bool, pageAge: UInt64 = 3_600_000_000_000, logger: Logger) {
        self.device = device
        self.pageAge = pageAge
        self.logger = logger
        isOn = Atomic(isWanted)
    }

    /// Counts an open, and says how it is to be answered.
    /// `withBacking` is to call what it is given with a descriptor of the whole content, if this open may start passthrough.
    /// `stays`: it may be remembered after the last close.
    func open(_ node: NodeID, stays: Bool, withBacking: ((Int32) -> Int32) -> Int32?) -> Way {
        shards[shard(node)].withLock { shard in
            if var present = shard.opens[node], present.count > 0 || present.backing > 0 {
                present.count += 1
                present.stays = present.stays && stays
                shard.opens[node] = present
                return present.way
            }
            var isForReading = true
            let id = !isOn.load(ordering: .relaxed) ? 0 : withBacking { file in
                isForReading = fcntl(file, F_GETFL) & O_ACCMODE == O_RDONLY
                return register(file)
            } ?? 0
            shard.opens[node] = Opens(backing: max(id, 0), count: 1, stays: stays && isForReading, since: CoarseClock.nanoseconds)
            return id > 0 ? .below(id) : .pages(hold: false)
        }
    }

    /// Counts one more open of what stays, or is open by those who let it; nil where it has to be opened as if for the first time.
    func reopen(_ node: NodeID) -> Way? {
        shards[shard(node)].withLock { shard in
            guard var present = shard.opens[node], present.stays else { return nil }
            guard present.backing > 0 || CoarseClock.nanoseconds - present.since < pageAge else { return nil }
            present.count += 1
            shard.opens[node] = present
            return present.way
        }
    }

    /// Takes one open back; the last gives the registration up, or leaves it to those that stay.
    func close(_ node: NodeID) {
        shards[shard(node)].withLock { shard in
            guard var present = shard.opens[node], present.count > 0 else { return }
            present.count -= 1
            shard.opens[node] = present
            guard present.count == 0 else { return }
            if !present.stays { end(node, in: &shard) } else if present.backing > 0 { stay(node, in: &shard) }
        }
    }

    /// The kernel has forgotten the inode: nobody will open it again by this number.
    func forget(_ node: NodeID) {
        shards[shard(node)].withLock { shard in
            if shard.opens[node]?.count == 0 { end(node, in: &shard) }
        }
    }

    /// Ends what nobody uses, and lets the rest end with its last close. Returns what is open.
    func forgetStaying() -> [NodeID] {
        (0..<Self.shardCount).flatMap { number in
            shards[number].withLock { shard in
                for node in Array(shard.opens.keys) {
                    if shard.opens[node]?.count == 0 { end(node, in: &shard) } else { shard.opens[node]?.stays = false }
                }
                shard.staying = []
                shard.next = 0
                return Array(shard.opens.keys)
            }
        }
    }

    /// Files with at least one open.
    var openCount: Int { count { $0.count > 0 } }
    /// Those that are only remembered.
    var stayingCount: Int { count { $0.count == 0 } }

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
