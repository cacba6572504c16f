import CLinux
import LinuxIO

extension Directory {
    /// Waits until everything anybody wrote to this directory's filesystem is on disk.
    func syncFilesystem() throws(SystemError) {
        guard larder_sync_filesystem(descriptor.raw) == 0 else { throw SystemError("syncfs", path: path) }
    }

    /// Whether only this kernel changes the filesystem, by its magic number (statfs(2)): ext4, xfs, btrfs, tmpfs, f2fs, zfs, bcachefs,
    /// overlayfs, ramfs. Any other may be shared with hosts whose changes the kernel does not tell of.
    var isLocal: Bool {
        let known: [UInt32] = [
            0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0xf2f5_2010, 0x2fc1_2fc1, 0xca45_1a4e, 0x794c_7630, 0x8584_58f6,
        ]
        return known.contains(larder_filesystem_type(descriptor.raw))
    }
}
