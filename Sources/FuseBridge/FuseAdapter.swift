import CFuse
import Glibc
import VirtualFS

/// libfuse's table of operations. Each decodes its arguments, asks the filesystem, and answers.
///
/// All are static functions without captures, outside main.swift: libfuse calls them on its own threads, where a
/// closure that belongs to the main actor would trap. What is absent here libfuse answers with ENOSYS, which the
/// kernel remembers and never asks again: FLUSH, ACCESS, POLL, STATX. Locks are absent too: the kernel then keeps them
/// itself, right for every process on the mount.
enum FuseAdapter {
    typealias FileInfo = UnsafeMutablePointer<fuse_file_info>?

    static func operations(for profile: FuseSession.Profile) -> fuse_lowlevel_ops {
        var operations = fuse_lowlevel_ops()
        operations.`init` = { FuseAdapter.negotiate($0, $1) }
        addLookup(to: &operations)
        addAttributes(to: &operations)
        addDirectories(to: &operations)
        addFiles(to: &operations)
        addExtendedAttributes(to: &operations)
        addNames(to: &operations)
        addChanges(to: &operations)
        switch profile {
        case .full: addSynchronization(to: &operations)
        case .zeroMessage: refuseFileOpens(in: &operations)
        }
        return operations
    }

    /// ENOSYS to OPEN: the kernel never sends it again on this connection, nor the releases, and keeps all page caches.
    private static func refuseFileOpens(in operations: inout fuse_lowlevel_ops) {
        operations.open = { raw, _, _ in fuse_reply_err(FuseRequest(raw).take(), ENOSYS) }
        operations.release = nil
    }

    /// INIT: what libfuse can ask for itself. The rest is `InitPatch`.
    private static func negotiate(_ userData: UnsafeMutableRawPointer?, _ info: UnsafeMutablePointer<fuse_conn_info>?) {
        guard let info else { return }
        let limit = FuseConnection.of(userData: userData).pointee.requestLimit
        info.pointee.max_background = limit
        info.pointee.congestion_threshold = limit
        info.pointee.time_gran = 1
        // The first version of it leaves chown and truncate to the kernel; the second is `InitPatch`'s.
        info.pointee.want &= ~UInt32(FUSE_CAP_HANDLE_KILLPRIV)
        info.pointee.want |= info.pointee.capable & UInt32(FUSE_CAP_CACHE_SYMLINKS)
    }
}
