import CLinux
import Glibc
import LinuxIO

/// Copies a tree into a directory, as `cp -a` does: owners (for root), modes, times, extended attributes, symlinks, hard links, holes. Each
/// file appears under its name when it is complete; at the end everything is on disk.
public struct TreeCopy {
    public enum Existing: Sendable {
        /// The copied file takes its place. Directories are merged.
        case replace
        /// It stays.
        case keep
    }

    /// Files, symlinks and others that were made.
    public private(set) var files: UInt64 = 0
    /// Bytes of their content.
    public private(set) var bytes: UInt64 = 0

    private let target: Directory
    private let existing: Existing
    private let isRoot = geteuid() == 0
    /// The first name of each file that has several, from the top of the target.
    private var linked: [FileIdentity: [UInt8]] = [:]
    private let temporary: DirectoryEntry

    /// Copies what is in `source` into `target`, and its own mode and times with `withRoot`. Sockets are left out.
    /// - Returns: what was copied.
    @discardableResult
    public static func copy(
        contentsOf source: Directory, to target: Directory, existing: Existing = .replace, withRoot: Bool = false
    ) throws(CacheError) -> TreeCopy {
        var copy = TreeCopy(target, existing)
        try inCache { () throws(SystemError) in
            try copy.contents(of: source, to: target, [], 0)
            if withRoot { try copy.dress(target.descriptor.raw, as: try source.descriptor.status(), target.path) }
            try target.syncFilesystem()
        }
        return copy
    }

    /// Copies one name of `source`, be it a file or a directory with all that is in it, to `name` in `target`.
    @discardableResult
    public static func copy(
        _ name: [UInt8], of source: Directory, to target: Directory, as newName: [UInt8], existing: Existing = .replace
    ) throws(CacheError) -> TreeCopy {
        var copy = TreeCopy(target, existing)
        try inCache { () throws(SystemError) in
            guard let status = try source.status(of: DirectoryEntry(name: name)) else {
                throw SystemError("copy", path: source.path + "/" + DirectoryEntry(name: name).text, code: ENOENT)
            }
            try copy.item(DirectoryEntry(name: name), status, of: source, to: target, DirectoryEntry(name: newName), newName, 0)
            try target.syncFilesystem()
        }
        return copy
    }

    private init(_ target: Directory, _ existing: Existing) {
        self.target = target
        self.existing = existing
        temporary = DirectoryEntry(name: Array(".larder-copy-\(Token.random())".utf8))
    }

    private mutating func contents(of source: Directory, to target: Directory, _ prefix: [UInt8], _ level: Int) throws(SystemError) {
        guard level < TreeWalk.depthLimit else { throw SystemError("copy", path: source.path, code: ELOOP) }
        for entry in try source.entries() {
            guard let status = try source.status(of: entry) else { continue }
            try item(entry, status, of: source, to: target, entry, prefix.isEmpty ? entry.name : prefix + [UInt8(ascii: "/")] + entry.name, level)
        }
    }

    private mutating func item(
        _ entry: DirectoryEntry, _ status: stat, of source: Directory, to target: Directory, _ name: DirectoryEntry, _ path: [UInt8], _ level: Int
    ) throws(SystemError) {
        if status.isDirectory {
            guard let from = try source.directory(entry) else { return }
            let isNew = name.withName { mkdirat(target.descriptor.raw, $0, 0o700) } == 0
            guard isNew || errno == EEXIST else { throw failure("mkdir", target, name) }
            guard let to = try target.directory(name) else { throw failure("open", target, name) }
            try contents(of: from, to: to, path, level + 1)
            if isNew || existing == .replace { try dress(to.descriptor.raw, as: status, to.path, from: from.descriptor.raw) }
            return
        }
        if existing == .keep, try target.status(of: name) != nil { return }
        if status.st_nlink > 1, let first = linked[status.identity], try link(first, in: target) {
            return try publish(target, name)
        }
        guard try make(entry, status, of: source, in: target) else { return }
        try publish(target, name)
        files += 1
        if status.st_nlink > 1 { linked[status.identity] = path }
    }

    /// Makes the file under the temporary name. False for what is not copied.
    private mutating func make(_ entry: DirectoryEntry, _ status: stat, of source: Directory, in target: Directory) throws(SystemError) -> Bool {
        let raw = target.descriptor.raw
        if status.isRegular {
            guard let from = try source.open(entry, O_RDONLY) else { return false }
            guard let to = try target.open(temporary, O_WRONLY | O_CREAT | O_EXCL, mode: 0o600) else { throw failure("create", target, temporary) }
            do throws(SystemError) {
                guard larder_copy_content(from.raw, to.raw) == 0 else { throw SystemError("copy", path: source.path + "/" + entry.text) }
                try dress(to.raw, as: status, target.path, from: from.raw)
            } catch {
                _ = temporary.withName { unlinkat(raw, $0, 0) }
                throw error
            }
            bytes += UInt64(max(0, status.st_size))
            return true
        }
        if status.isSymlink {
            guard let link = try source.target(of: entry) else { return false }
            let made = (link + [0]).withUnsafeBytes { link in
                temporary.withName { symlinkat(link.bindMemory(to: CChar.self).baseAddress!, raw, $0) }
            }
            guard made == 0 else { throw failure("symlink", target, temporary) }
        } else if status.type == S_IFSOCK {
            return false
        } else {
            guard temporary.withName({ mknodat(raw, $0, status.st_mode, status.st_rdev) }) == 0 else { throw failure("mknod", target, temporary) }
            _ = temporary.withName { fchmodat(raw, $0, status.st_mode & 0o7777, 0) }
        }
        if isRoot { _ = temporary.withName { fchownat(raw, $0, status.st_uid, status.st_gid, AT_SYMLINK_NOFOLLOW) } }
        let times = [status.st_atim, status.st_mtim]
        _ = temporary.withName { utimensat(raw, $0, times, AT_SYMLINK_NOFOLLOW) }
        return true
    }

    /// Another name for a file that was copied before. False where it cannot have one more: then it is copied again.
    private func link(_ first: [UInt8], in directory: Directory) throws(SystemError) -> Bool {
        let parts = first.split(separator: UInt8(ascii: "/"))
        guard let last = parts.last else { return false }
        let parent = first.dropLast(last.count) + Array(".".utf8) + [0]
        let opened = Array(parent).withUnsafeBytes {
            larder_open_beneath(target.descriptor.raw, $0.bindMemory(to: CChar.self).baseAddress!, larder_o_path | O_DIRECTORY | O_NOFOLLOW, 0)
        }
        guard opened >= 0 else { return false }
        let from = OwnedDescriptor(owning: opened)
        return DirectoryEntry(name: Array(last)).withName { old in
            temporary.withName { linkat(from.raw, old, directory.descriptor.raw, $0, 0) }
        } == 0
    }

    private func publish(_ target: Directory, _ name: DirectoryEntry) throws(SystemError) {
        let done = temporary.withName { old in name.withName { renameat(target.descriptor.raw, old, target.descriptor.raw, $0) } }
        if done != 0 {
            let error = failure("rename", target, name)
            _ = temporary.withName { unlinkat(target.descriptor.raw, $0, 0) }
            throw error
        }
        // Two names of one file: then rename does nothing, and the temporary one is left.
        _ = temporary.withName { unlinkat(target.descriptor.raw, $0, 0) }
    }

    /// Owner, attributes, mode and times, in the order in which none undoes another.
    private func dress(_ descriptor: Int32, as status: stat, _ path: String, from source: Int32? = nil) throws(SystemError) {
        if isRoot { guard fchown(descriptor, status.st_uid, status.st_gid) == 0 else { throw SystemError("chown", path: path) } }
        guard fchmod(descriptor, status.st_mode & 0o7777) == 0 else { throw SystemError("chmod", path: path) }
        // As far as both sides take them: what only root may set is left out for others, as cp does.
        if let source { larder_copy_attributes(source, descriptor) }
        let times = [status.st_atim, status.st_mtim]
        guard futimens(descriptor, times) == 0 else { throw SystemError("utimens", path: path) }
    }

    private func failure(_ operation: String, _ directory: Directory, _ entry: DirectoryEntry) -> SystemError {
        let code = errno
        return SystemError(operation, path: directory.path + "/" + entry.text, code: code)
    }
}
