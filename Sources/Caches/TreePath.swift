import Glibc
import LinuxIO

// Calls on names that are bytes: one component, relative to an open directory, no symlink followed.

extension Directory {
    /// nil where it went meanwhile.
    func status(of entry: DirectoryEntry) throws(SystemError) -> stat? {
        var status = stat()
        if entry.withName({ fstatat(descriptor.raw, $0, &status, AT_SYMLINK_NOFOLLOW) }) == 0 { return status }
        guard errno == ENOENT else { throw SystemError("stat", path: path + "/" + entry.text) }
        return nil
    }

    /// nil where it went meanwhile.
    func open(_ entry: DirectoryEntry, _ flags: Int32, mode: mode_t = 0) throws(SystemError) -> OwnedDescriptor? {
        let raw = entry.withName { openat(descriptor.raw, $0, flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, mode) }
        if raw >= 0 { return OwnedDescriptor(owning: raw) }
        guard errno == ENOENT else { throw SystemError("open", path: path + "/" + entry.text) }
        return nil
    }

    func directory(_ entry: DirectoryEntry) throws(SystemError) -> Directory? {
        guard let descriptor = try open(entry, O_RDONLY | O_DIRECTORY) else { return nil }
        return Directory(owning: descriptor, path: path + "/" + entry.text)
    }

    /// The target of a symlink; nil where it went meanwhile.
    func target(of entry: DirectoryEntry) throws(SystemError) -> [UInt8]? {
        var failure: SystemError?
        let target = [UInt8](unsafeUninitializedCapacity: Int(PATH_MAX)) { buffer, count in
            let read = buffer.withMemoryRebound(to: CChar.self) { buffer in
                entry.withName { readlinkat(descriptor.raw, $0, buffer.baseAddress!, buffer.count) }
            }
            if read < 0 { failure = SystemError("readlink", path: path + "/" + entry.text) }
            count = max(0, read)
        }
        guard let failure else { return target }
        guard failure.code == ENOENT else { throw failure }
        return nil
    }
}

extension stat {
    var type: mode_t { st_mode & S_IFMT }
    var isDirectory: Bool { type == S_IFDIR }
    var isRegular: Bool { type == S_IFREG }
    var isSymlink: Bool { type == S_IFLNK }
    var allocatedBytes: UInt64 { UInt64(max(0, st_blocks)) * 512 }
    var identity: FileIdentity { FileIdentity(device: UInt64(st_dev), inode: UInt64(st_ino)) }
    /// When it was last read or written, as far as the disk keeps account of reading (relatime: within a day).
    var lastUse: Moment { max(Moment(st_atim), Moment(st_mtim)) }
}

struct FileIdentity: Hashable {
    let device: UInt64
    let inode: UInt64
}

/// Every name below a directory, each after those in it, which may be removed on the way. Other filesystems mounted below
/// are not entered.
enum TreeWalk {
    /// Deeper trees are refused: each level costs an open directory.
    static let depthLimit = 1000

    struct Item {
        let parent: Directory
        let entry: DirectoryEntry
        let status: stat
        /// From the top, without a leading slash.
        let path: [UInt8]
    }

    static func visit(_ top: Directory, _ body: (Item) throws(SystemError) -> Void) throws(SystemError) {
        try visit(top, [], UInt64(try top.descriptor.status().st_dev), 0, body)
    }

    private static func visit(
        _ directory: Directory, _ prefix: [UInt8], _ device: UInt64, _ depth: Int, _ body: (Item) throws(SystemError) -> Void
    ) throws(SystemError) {
        guard depth < depthLimit else { throw SystemError("walk", path: directory.path, code: ELOOP) }
        for entry in try directory.entries() {
            guard let status = try directory.status(of: entry), UInt64(status.st_dev) == device else { continue }
            let path = prefix.isEmpty ? entry.name : prefix + [UInt8(ascii: "/")] + entry.name
            if status.isDirectory, let child = try directory.directory(entry) { try visit(child, path, device, depth + 1, body) }
            try body(Item(parent: directory, entry: entry, status: status, path: path))
        }
    }
}
