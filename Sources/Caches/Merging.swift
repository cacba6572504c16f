import Glibc
import LinuxIO

/// Brings what a private user added to an add-only cache into main, by hard links: both instances then have the file, on disk it is
/// once. What main has under a name stays.
///
/// A directory that main does not have is built aside and appears whole, because tools take a directory that is there for a
/// finished one. Nothing of a merge that was cut short harms, and to make it again finishes it: `unmerged/N` stays until it is done.
struct Merging {
    private let place: CachePlace
    private let number: Int
    private let aside: DirectoryEntry
    private let instances: Directory

    /// A private user begins: from now on there may be something.
    static func expect(from number: Int, in place: CachePlace) throws(SystemError) {
        _ = try place.directory.open(CacheLayout.unmerged(number), O_WRONLY | O_CREAT | O_NOFOLLOW)
    }

    /// A private user ends, who still holds instance `number`. Where main is not free at once, its next user does the work.
    static func atRelease(of lease: Lease, _ number: Int) throws(CacheError) {
        // With a record: a daemon must forget what it knows of main.
        guard let main = try lease.library.acquireAtOnce(.shared(readOnly: false), lease.place) else { return }
        let result = Result { () throws(CacheError) in
            if main.unclean == nil { try Merging(lease.place, number).run(into: main.directory) }
        }
        try main.release()
        try result.get()
    }

    /// A user of main begins: brings what others had to leave.
    static func afterAcquisition(of lease: Lease) throws(CacheError) {
        let place = lease.place
        let waiting = try inCache { () throws(SystemError) in try place.directory.directory(CacheLayout.unmerged).list() }
        for number in waiting.compactMap({ Int($0) }) {
            // Whoever died with it may have left halves of files.
            if place.directory.exists(CacheLayout.unclean(number)) { continue }
            let lock = try LockFile(CacheLayout.lock(number), in: place.directory)
            guard try lock.take(.exclusive) else { continue }
            // Its user may have died and nobody has noticed yet.
            let isClean = try !Holders(place.directory).all().contains { $0.record.instance == number }
            if isClean { try Merging(place, number).run(into: lease.directory) }
            lock.drop()
        }
    }

    private init(_ place: CachePlace, _ number: Int) throws(CacheError) {
        self.place = place
        self.number = number
        aside = DirectoryEntry(name: Array(".merge-\(number)".utf8))
        instances = try inCache { () throws(SystemError) in try place.directory.directory(CacheLayout.instances) }
    }

    private func run(into main: Directory) throws(CacheError) {
        try inCache { () throws(SystemError) in
            guard let instance = try instances.directoryIfPresent("\(number)") else { return }
            try instances.removeTree(aside.text)
            try merge(instance, into: main, 0)
            try place.directory.remove(CacheLayout.unmerged(number))
        }
    }

    private func merge(_ source: Directory, into target: Directory, _ level: Int) throws(SystemError) {
        guard level < TreeWalk.depthLimit else { throw SystemError("merge", path: source.path, code: ELOOP) }
        for entry in try source.entries() {
            guard let status = try source.status(of: entry) else { continue }
            guard status.isDirectory else {
                try link(entry, status, from: source, to: target)
                continue
            }
            guard let child = try source.directory(entry) else { continue }
            if try target.status(of: entry) == nil, try bringWhole(child, status, to: target, entry, level) { continue }
            // Not a directory in main: its name is taken, and what main has stays.
            guard let there = try target.status(of: entry), there.isDirectory, let into = try target.directory(entry) else { continue }
            try merge(child, into: into, level + 1)
        }
    }

    /// False where main has got a directory of that name meanwhile.
    private func bringWhole(_ source: Directory, _ status: stat, to target: Directory, _ entry: DirectoryEntry, _ level: Int) throws(SystemError) -> Bool {
        try mirror(source, in: instances, aside, level)
        let code = aside.withName { old in entry.withName { renameat(instances.descriptor.raw, old, target.descriptor.raw, $0) == 0 ? 0 : errno } }
        if code == 0 {
            // A directory that its owner may not write cannot be moved by him: so its mode comes last.
            if let moved = try target.directory(entry) { dress(moved, status) }
            return true
        }
        try instances.removeTree(aside.text)
        guard code == ENOTEMPTY || code == EEXIST || code == ENOTDIR else { throw SystemError("rename", path: target.path + "/" + entry.text, code: code) }
        return false
    }

    private func mirror(_ source: Directory, in parent: Directory, _ name: DirectoryEntry, _ level: Int) throws(SystemError) {
        guard level < TreeWalk.depthLimit else { throw SystemError("merge", path: source.path, code: ELOOP) }
        guard name.withName({ mkdirat(parent.descriptor.raw, $0, 0o700) }) == 0, let copy = try parent.directory(name) else {
            throw SystemError("mkdir", path: parent.path + "/" + name.text)
        }
        for entry in try source.entries() {
            guard let status = try source.status(of: entry) else { continue }
            if status.isDirectory {
                guard let child = try source.directory(entry) else { continue }
                try mirror(child, in: copy, entry, level + 1)
                if let made = try copy.directory(entry) { dress(made, status) }
            } else {
                try link(entry, status, from: source, to: copy)
            }
        }
    }

    private func link(_ entry: DirectoryEntry, _ status: stat, from source: Directory, to target: Directory) throws(SystemError) {
        // A socket is of a process that has ended.
        if status.type == S_IFSOCK || status.type == S_IFIFO { return }
        let code = entry.withName { linkat(source.descriptor.raw, $0, target.descriptor.raw, $0, 0) == 0 ? 0 : errno }
        // Taken; or cannot have one more name (EMLINK), or not from us (EPERM), or main's directory is closed to us (EACCES): then the file stays
        // where it is.
        guard [0, EEXIST, EMLINK, EPERM, EACCES, ENOENT].contains(code) else {
            throw SystemError("link", path: target.path + "/" + entry.text, code: code)
        }
    }

    private func dress(_ directory: Directory, _ status: stat) {
        if geteuid() == 0 { fchown(directory.descriptor.raw, status.st_uid, status.st_gid) }
        fchmod(directory.descriptor.raw, status.st_mode & 0o7777)
        futimens(directory.descriptor.raw, [status.st_atim, status.st_mtim])
    }
}
