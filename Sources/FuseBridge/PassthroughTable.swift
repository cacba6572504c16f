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
final class PassthroughTable: Sendable {
    private struct Opens {
        /// The kernel's name for the registration; 0 where the inode is served by us.
        var backing: Int32
        var count: UInt32
    }

    private static let shardCount = 64

    private let shards = InlineArray<64, Mutex<[NodeID: Opens]>> { _ in Mutex([:]) }
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
    /// `backing` is asked for the whole content if this open may start passthrough.
    func open(_ node: NodeID, backing: () -> OwnedDescriptor?) -> Int32? {
        shards[shard(node)].withLock { opens in
            if var present = opens[node] {
                present.count += 1
                opens[node] = present
                return present.backing > 0 ? present.backing : nil
            }
            let id = isOn.load(ordering: .relaxed) ? register(backing()) : 0
            opens[node] = Opens(backing: id, count: 1)
            return id > 0 ? id : nil
        }
    }

    /// Takes one open back; the last gives the registration up.
    func close(_ node: NodeID) {
        shards[shard(node)].withLock { opens in
            guard var present = opens[node] else { return }
            present.count -= 1
            opens[node] = present.count > 0 ? present : nil
            if present.count == 0, present.backing > 0 { _ = larder_fuse_backing_close(device, present.backing) }
        }
    }

    /// Files with at least one open.
    var openFiles: Int {
        (0..<Self.shardCount).reduce(0) { sum, shard in sum + shards[shard].withLock { $0.count } }
    }

    private func register(_ file: consuming OwnedDescriptor?) -> Int32 {
        guard let file else { return 0 }
        let id = larder_fuse_backing_open(device, file.raw)
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
        return passthrough.open(node) { file.complete ? try? fileSystem.backing(node) : nil }
    }

    func release(_ node: NodeID, handle: UInt64) {
        if handshake.hasPassthrough { passthrough.close(node) }
        fileSystem.release(node, handle: handle)
    }
}
