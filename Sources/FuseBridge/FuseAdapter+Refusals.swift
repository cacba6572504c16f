import CFuse
import Glibc

extension FuseAdapter {
    /// Everything that would change something: EROFS. On a mount that the kernel knows to be read-only (`MS_RDONLY`)
    /// none of these arrives.
    static func addRefusals(to operations: inout fuse_lowlevel_ops) {
        operations.setattr = { raw, _, _, _, _ in FuseRequest(raw).reply(.readOnly) }
        operations.mknod = { raw, _, _, _, _ in FuseRequest(raw).reply(.readOnly) }
        operations.mkdir = { raw, _, _, _ in FuseRequest(raw).reply(.readOnly) }
        operations.unlink = { raw, _, _ in FuseRequest(raw).reply(.readOnly) }
        operations.rmdir = { raw, _, _ in FuseRequest(raw).reply(.readOnly) }
        operations.symlink = { raw, _, _, _ in FuseRequest(raw).reply(.readOnly) }
        operations.rename = { raw, _, _, _, _, _ in FuseRequest(raw).reply(.readOnly) }
        operations.link = { raw, _, _, _ in FuseRequest(raw).reply(.readOnly) }
        operations.create = { raw, _, _, _, _ in FuseRequest(raw).reply(.readOnly) }
        operations.write = { raw, _, _, _, _, _ in FuseRequest(raw).reply(.readOnly) }
        operations.setxattr = { raw, _, _, _, _, _ in FuseRequest(raw).reply(.readOnly) }
        operations.removexattr = { raw, _, _ in FuseRequest(raw).reply(.readOnly) }
        operations.fallocate = { raw, _, _, _, _, _ in FuseRequest(raw).reply(.readOnly) }
        operations.copy_file_range = { raw, _, _, _, _, _, _, _, _ in FuseRequest(raw).reply(.readOnly) }
    }

    /// ENOSYS to OPEN and OPENDIR: the kernel never sends either again on this connection, nor the releases, and
    /// keeps all page and directory caches. libfuse would answer an absent operation with success, so it is said here.
    static func refuseOpens(in operations: inout fuse_lowlevel_ops) {
        operations.open = { raw, _, _ in fuse_reply_err(FuseRequest(raw).take(), ENOSYS) }
        operations.opendir = { raw, _, _ in fuse_reply_err(FuseRequest(raw).take(), ENOSYS) }
        operations.release = nil
        operations.releasedir = nil
    }
}
