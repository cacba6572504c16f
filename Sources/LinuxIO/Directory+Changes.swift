import CLinux
import Glibc

extension Directory {
    /// Makes `name` and all its missing parents. New names are durable when this returns.
    public func makeDirectories(_ name: String, mode: mode_t = 0o755) throws(SystemError) {
        do throws(SystemError) {
            try makeDirectory(name, mode: mode)
        } catch {
            guard error.code == ENOENT, name.contains("/") else { throw error }
            try makeDirectories(Self.parentName(of: name), mode: mode)
            try makeDirectory(name, mode: mode)
        }
    }

    private func makeDirectory(_ name: String, mode: mode_t) throws(SystemError) {
        let made = try withParent(of: name) { parent, last throws(SystemError) in
            if mkdirat(parent, last, mode) == 0 { return true }
            guard errno == EEXIST else { throw failure("mkdir", name) }
            return false
        }
        if made { try syncParent(of: name) }
    }

    /// Unlinks a file. Returns false where there was none.
    @discardableResult
    public func remove(_ name: String) throws(SystemError) -> Bool {
        try unlink(name, flags: 0)
    }

    /// Removes an empty directory. Returns false where there was none.
    @discardableResult
    public func removeDirectory(_ name: String) throws(SystemError) -> Bool {
        try unlink(name, flags: AT_REMOVEDIR)
    }

    private func unlink(_ name: String, flags: Int32) throws(SystemError) -> Bool {
        do throws(SystemError) {
            try withParent(of: name) { parent, last throws(SystemError) in
                guard unlinkat(parent, last, flags) == 0 else { throw failure(flags == 0 ? "unlink" : "rmdir", name) }
            }
            return true
        } catch {
            if error.isAbsence { return false }
            throw error
        }
    }

    /// Removes a whole subtree, whatever bytes its names are; symlinks are removed, never followed. Returns false where
    /// there was none.
    @discardableResult
    public func removeTree(_ name: String) throws(SystemError) -> Bool {
        do throws(SystemError) {
            return try remove(name)
        } catch {
            guard error.code == EISDIR || error.code == EPERM else { throw error }
        }
        guard let raw = try openIfPresent(name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW) else { return false }
        try Directory(owning: raw, path: path + "/" + name).removeContents { () throws(SystemError) in _ = try removeDirectory(name) }
        return true
    }

    /// Empties this directory and calls `remove` for its name; again where somebody who has it open put something in meanwhile.
    private func removeContents(then remove: () throws(SystemError) -> Void) throws(SystemError) {
        var attempts = 100
        while true {
            try removeContents()
            do throws(SystemError) {
                return try remove()
            } catch {
                attempts -= 1
                guard error.code == ENOTEMPTY, attempts > 0 else { throw error }
            }
        }
    }

    /// Removes everything below this directory, and leaves it empty.
    public func removeContents() throws(SystemError) {
        for entry in try entries() {
            let code = entry.withName { unlinkat(descriptor.raw, $0, 0) == 0 ? 0 : errno }
            if code == 0 || code == ENOENT { continue }
            guard code == EISDIR || code == EPERM else { throw SystemError("unlink", path: path + "/" + entry.text, code: code) }
            let raw = entry.withName { openat(descriptor.raw, $0, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) }
            guard raw >= 0 else { throw failure("open", entry.text) }
            try Directory(owning: OwnedDescriptor(owning: raw), path: path + "/" + entry.text).removeContents { () throws(SystemError) in
                guard entry.withName({ unlinkat(descriptor.raw, $0, AT_REMOVEDIR) }) == 0 || errno == ENOENT else {
                    throw failure("rmdir", entry.text)
                }
            }
        }
    }

    /// Renames within this directory's subtree, replacing what has the new name.
    public func rename(_ old: String, to new: String) throws(SystemError) {
        try withParent(of: old) { oldParent, oldLast throws(SystemError) in
            try withParent(of: new) { newParent, newLast throws(SystemError) in
                guard renameat(oldParent, oldLast, newParent, newLast) == 0 else { throw failure("rename", old) }
            }
        }
    }

    /// Gives the file `old` the further name `new`. Never replaces: false where `new` is taken.
    @discardableResult
    public func link(_ old: String, to new: String) throws(SystemError) -> Bool {
        try withParent(of: old) { oldParent, oldLast throws(SystemError) in
            try withParent(of: new) { newParent, newLast throws(SystemError) in
                if linkat(oldParent, oldLast, newParent, newLast, 0) == 0 { return true }
                guard errno == EEXIST else { throw failure("link", new) }
                return false
            }
        }
    }

    /// Makes the directory entry `name` durable.
    public func syncParent(of name: String) throws(SystemError) {
        try open(Self.parentName(of: name), O_RDONLY | O_DIRECTORY).sync()
    }
}
