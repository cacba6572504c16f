import Synchronization

/// How many requests of each kind the kernel has sent. "FUSE requests per operation" is measured with this.
public final class FuseCounters: Sendable {
    private static let capacity = 64

    /// By opcode; the last counts everything beyond.
    private let counts = InlineArray<64, Atomic<UInt64>> { _ in Atomic(0) }

    init() {}

    func count(opcode: UInt32) {
        counts[min(Int(opcode), Self.capacity - 1)].add(1, ordering: .relaxed)
    }

    /// Every kind that was seen, in opcode order.
    public func snapshot() -> [(name: String, count: UInt64)] {
        (0..<Self.capacity).compactMap { opcode in
            let count = counts[opcode].load(ordering: .relaxed)
            return count == 0 ? nil : (Self.name(opcode), count)
        }
    }

    /// Requests of one kind, by the kernel's name without `FUSE_`: "LOOKUP", "READDIRPLUS".
    public subscript(_ name: String) -> UInt64 { snapshot().first { $0.name == name }?.count ?? 0 }

    public var total: UInt64 { snapshot().reduce(0) { $0 + $1.count } }

    /// `enum fuse_opcode` of linux/fuse.h, ABI 7.45.
    private static let names = [
        "", "LOOKUP", "FORGET", "GETATTR", "SETATTR", "READLINK", "SYMLINK", "", "MKNOD", "MKDIR", "UNLINK", "RMDIR",
        "RENAME", "LINK", "OPEN", "READ", "WRITE", "STATFS", "RELEASE", "", "FSYNC", "SETXATTR", "GETXATTR", "LISTXATTR",
        "REMOVEXATTR", "FLUSH", "INIT", "OPENDIR", "READDIR", "RELEASEDIR", "FSYNCDIR", "GETLK", "SETLK", "SETLKW",
        "ACCESS", "CREATE", "INTERRUPT", "BMAP", "DESTROY", "IOCTL", "POLL", "NOTIFY_REPLY", "BATCH_FORGET", "FALLOCATE",
        "READDIRPLUS", "RENAME2", "LSEEK", "COPY_FILE_RANGE", "SETUPMAPPING", "REMOVEMAPPING", "SYNCFS", "TMPFILE", "STATX",
        "COPY_FILE_RANGE_64",
    ]

    private static func name(_ opcode: Int) -> String {
        opcode < names.count && !names[opcode].isEmpty ? names[opcode] : "OPCODE_\(opcode)"
    }
}
