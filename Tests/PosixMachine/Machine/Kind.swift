/// The kinds of operation, with how often each is drawn.
enum Kind: String, CaseIterable {
    // Open files.
    case open, close, dup, read, pread, readv, write, pwrite, writev, seek, seekHole, getFlags, setAppend
    case ftruncate, truncate, fallocate, fsync, fdatasync, fsyncDirectory, copyRange, sendfile, splice, advise
    case openUnnamed, linkHandle
    // Names.
    case mkdir, rmdir, unlink, link, linkFollowing, symlink, readlink, rename, renameNoReplace, exchange, whiteout
    case fifo, socket, device, regular
    // Attributes.
    case stat, lstat, fstat, statx, statfs, access, accessEffective, chmod, fchmod, chown, lchown, fchown, umask
    case utimens, lutimens, futimens
    case setxattr, lsetxattr, fsetxattr, getxattr, fgetxattr, listxattr, flistxattr, removexattr, fremovexattr
    // Directories.
    case list, openDirectory, listOpen, seekDirectory, closeDirectory, chdir, fchdir, getcwd
    // Shared memory.
    case map, mapRead, mapStore, mapTimes, unmap
    // Locks between the two processes.
    case flock, lock, lockHolder, descriptionLock, descriptionLockHolder
    // The machine's own: the clock moves on, both trees are compared.
    case tick, tree

    var weight: Int {
        switch self {
        case .open: 70
        case .write, .pwrite, .stat, .lstat, .mkdir, .rename, .unlink: 30
        case .read, .pread, .fstat, .symlink, .link, .list, .mapRead, .mapStore, .chmod: 18
        case .seek, .ftruncate, .truncate, .fallocate, .rmdir, .renameNoReplace, .exchange, .statx, .copyRange: 12
        case .utimens, .futimens, .setxattr, .getxattr, .map, .chown, .lock, .flock, .seekHole, .readlink, .regular: 10
        case .chdir, .close: 4
        case .tick: 12
        case .tree: 0
        case .fsync, .statfs, .umask, .mapTimes: 2
        default: 6
        }
    }

    static let drawn: [Kind] = allCases.flatMap { Array(repeating: $0, count: $0.weight) }
}
