import CLinux
import Glibc

/// An open directory. Every path given to it is relative and cannot leave it: files open through
/// `openat2(RESOLVE_BENEATH)`, and whatever else names a file (`unlink`, `link`, `mkdir`, `stat`) first opens the parent
/// that way and then acts on one component. So neither `..` nor a planted symlink escapes.
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

    /// As `directory`, but nil where nothing has that name.
    public func directoryIfPresent(_ name: String) throws(SystemError) -> Directory? {
        guard let descriptor = try openIfPresent(name, O_RDONLY | O_DIRECTORY) else { return nil }
        return Directory(owning: descriptor, path: path + "/" + name)
    }

    /// Whether the name is taken, be it by a symlink that leads nowhere. False also where that cannot be told.
    public func exists(_ name: String) -> Bool { (try? status(name)) != nil }

    /// What the name itself stands for: a symlink is not followed.
    public func status(_ name: String) throws(SystemError) -> stat {
        try withParent(of: name) { parent, last throws(SystemError) in
            var status = stat()
            guard fstatat(parent, last, &status, AT_SYMLINK_NOFOLLOW) == 0 else { throw failure("stat", name) }
            return status
        }
    }

    /// As `status`, but nil where nothing has that name.
    public func statusIfPresent(_ name: String) throws(SystemError) -> stat? {
        do throws(SystemError) {
            return try status(name)
        } catch {
            if error.isAbsence { return nil }
            throw error
        }
    }

    public func sync() throws(SystemError) { try descriptor.sync() }
}

extension Directory {
    /// Must be called before anything else can change `errno`.
    func failure(_ operation: String, _ name: String) -> SystemError {
        let code = errno
        return SystemError(operation, path: path + "/" + name, code: code)
    }

    /// Runs `body` with the directory that holds `name` and the last component of it.
    func withParent<Value>(
        of name: String, _ body: (_ parent: Int32, _ last: String) throws(SystemError) -> Value
    ) throws(SystemError) -> Value {
        guard let slash = name.utf8.lastIndex(of: UInt8(ascii: "/")) else {
            guard name != ".." else { throw SystemError("resolve", path: path + "/" + name, code: EXDEV) }
            return try body(descriptor.raw, name)
        }
        let last = String(name[name.index(after: slash)...])
        guard slash != name.startIndex, last != ".." else { throw SystemError("resolve", path: path + "/" + name, code: EXDEV) }
        let parent = try open(String(name[..<slash]), larder_o_path | O_DIRECTORY)
        return try body(parent.raw, last)
    }

    static func parentName(of name: String) -> String {
        name.lastIndex(of: "/").map { String(name[..<$0]) } ?? "."
    }
}
