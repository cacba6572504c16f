import CLinux
import Glibc
import VirtualFS

// What the kernel is told without being asked. libfuse 3.14 has no function for the first.
extension FuseConnection {
    /// Every name that the kernel remembers, and with it the attributes, is to be asked for again; what it has open only so that it can
    /// be opened again is closed; and of open files that can be changed it keeps neither attributes nor pages.
    func forgetNames() {
        let open = openFiles.forgetStaying()
        let size = MemoryLayout<larder_fuse_out_header>.size
        var message = larder_fuse_out_header(len: UInt32(size), error: Int32(LARDER_FUSE_NOTIFY_INC_EPOCH), unique: 0)
        _ = write(device, &message, size)
        for node in open where node.isLive { forgetContent(of: node) }
    }

    /// What the kernel has of the file's pages, or of the directory's listing, is to be read again. Waits for whoever is reading it there
    /// just now, and that may be somebody whom we keep waiting: so this is for no thread that answers requests.
    func forgetContent(of node: NodeID) {
        let size = MemoryLayout<larder_fuse_notify_inval_inode>.size
        let header = larder_fuse_out_header(len: UInt32(size), error: Int32(LARDER_FUSE_NOTIFY_INVAL_INODE), unique: 0)
        var message = larder_fuse_notify_inval_inode(header: header, node: number(node), offset: 0, length: 0)
        // ENOENT: it does not know the node.
        _ = write(device, &message, size)
    }
}
