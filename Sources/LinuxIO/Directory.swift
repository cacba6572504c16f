import CLinux
import Glibc

/// An open directory. Every path given to it is relative and cannot leave it: opens go through
/// `openat2(RESOLVE_BENEATH)`, so neither `..` nor a planted symlink escapes.
public final class Directory: Sendable {
    public let descriptor: OwnedDescriptor
    /// How the directory was named, for messages only.
    public let path: String

    public init(owning descriptor: consuming OwnedDescriptor, path: String) {
        self.descriptor = descriptor
        self.path = path
    }

    public convenience init(_ path: String) throws(SystemError) {
        self.init(owning: try .open(path, O_RDONLY | O_DIRECTORY), path: path)
    }

    private func failure(_ operation: String, _ name: String) -> SystemError {
        SystemError(operation, path: path + "/" + name)
    }

    /// Opens a file below this directory.
    public func open(_ name: String, _ flags: Int32, mode: mode_t = 0o644) throws(SystemError) -> OwnedDescriptor {
        let raw = larder_open_beneath(descriptor.raw, name, flags, mode)
        guard raw >= 0 else { throw failure("open", name) }
        return OwnedDescriptor(owning: raw)
    }

    /// As `open`, but nil where nothing has that name.
    public func openIfPresent(_ name: String, _ flags: Int32 = O_RDONLY) throws(SystemError) -> OwnedDescriptor? {
        let raw = larder_open_beneath(descriptor.raw, name, flags, 0)
        if raw < 0 {
            if errno == ENOENT { return nil }
            throw failure("open", name)
        }
        return OwnedDescriptor(owning: raw)
    }

    public func directory(_ name: String) throws(SystemError) -> Directory {
        Directory(owning: try open(name, O_RDONLY | O_DIRECTORY), path: path + "/" + name)
    }

    /// Makes `name` and all its missing parents.
    public func makeDirectories(_ name: String, mode: mode_t = 0o755) throws(SystemError) {
        if mkdirat(descriptor.raw, name, mode) == 0 || errno == EEXIST { return }
        guard errno == ENOENT, let slash = name.lastIndex(of: "/") else { throw failure("mkdir", name) }
        try makeDirectories(String(name[..<slash]), mode: mode)
        guard mkdirat(descriptor.raw, name, mode) == 0 || errno == EEXIST else { throw failure("mkdir", name) }
    }

    public func exists(_ name: String) -> Bool { faccessat(descriptor.raw, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0 }

    public func status(_ name: String) throws(SystemError) -> stat {
        var status = stat()
        guard fstatat(descriptor.raw, name, &status, AT_SYMLINK_NOFOLLOW) == 0 else { throw failure("stat", name) }
        return status
    }

    /// Unlinks a file. Returns false where there was none.
    @discardableResult
    public func remove(_ name: String) throws(SystemError) -> Bool {
        if unlinkat(descriptor.raw, name, 0) == 0 { return true }
        if errno == ENOENT { return false }
        throw failure("unlink", name)
    }

    /// Removes a whole subtree. Returns false where there was none.
    @discardableResult
    public func removeTree(_ name: String) throws(SystemError) -> Bool {
        if unlinkat(descriptor.raw, name, 0) == 0 { return true }
        if errno == ENOENT { return false }
        guard errno == EISDIR || errno == EPERM else { throw failure("unlink", name) }
        let child = Directory(owning: try open(name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW), path: path + "/" + name)
        for entry in try child.list() { try child.removeTree(entry) }
        guard unlinkat(descriptor.raw, name, AT_REMOVEDIR) == 0 || errno == ENOENT else { throw failure("rmdir", name) }
        return true
    }

    public func rename(_ old: String, to new: String) throws(SystemError) {
        guard renameat(descriptor.raw, old, descriptor.raw, new) == 0 else { throw failure("rename", old) }
    }

    /// Names in the directory, sorted, without `.` and `..`. For the store's own ASCII names only.
    public func list() throws(SystemError) -> [String] {
        let copy = openat(descriptor.raw, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard copy >= 0, let stream = fdopendir(copy) else { throw failure("readdir", "") }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    public func sync() throws(SystemError) { try descriptor.sync() }

    /// Publishes the finished file `temporary` under its final name, both below this directory: fsync, `link()`,
    /// fsync of the final directory, unlink. `link` never replaces, so whoever comes second finds the same content there
    /// already and succeeds (DESIGN tenet 3). Returns false for that second.
    @discardableResult
    public func publish(_ temporary: String, as final: String) throws(SystemError) -> Bool {
        let file = try open(temporary, O_RDONLY)
        try file.sync()
        var first = true
        if linkat(descriptor.raw, temporary, descriptor.raw, final, 0) != 0 {
            if errno == ENOENT, let slash = final.lastIndex(of: "/") {
                try makeDirectories(String(final[..<slash]))
                if linkat(descriptor.raw, temporary, descriptor.raw, final, 0) != 0 {
                    guard errno == EEXIST else { throw failure("link", final) }
                    first = false
                }
            } else if errno == EEXIST {
                first = false
            } else {
                throw failure("link", final)
            }
        }
        if first {
            let parent = final.lastIndex(of: "/").map { String(final[..<$0]) } ?? "."
            try open(parent, O_RDONLY | O_DIRECTORY).sync()
        }
        try remove(temporary)
        return first
    }
}
