import CLinux
import Glibc
import LinuxIO

/// Mount points on the host that were not there. A mount needs one, and what is mounted in the command's own namespace leaves an
/// empty directory (or file) visible to everybody else. So it is removed when the command has ended, unless something is in it by
/// then or another run uses it.
///
/// Where the directory that lacks the mount point may not be written, nothing is made on the host: `mirrors` says which
/// directories the command gets a copy of, with the mount point in it.
final class HostPlaces {
    private struct Made {
        let path: [UInt8]
        /// A shared flock(2) says that it is in use: removing a mount point takes the mount away from every namespace. The command
        /// inherits it.
        let lock: OwnedDescriptorBox
        let isFile: Bool
    }

    private var made: [Made] = []
    private var found: [OwnedDescriptorBox] = []
    private(set) var mirrors: [NamespacePlan.Mirror] = []

    /// The most entries that a mirrored directory may have.
    static let mirrorLimit = 512

    /// Locks on the mount points, for the command to keep while it lives.
    var lockDescriptors: [Int32] { made.map(\.lock.raw) + found.map(\.raw) }

    /// Sees to it that `place` is there, or will be.
    func prepare(_ place: [UInt8], isFile: Bool, name: String) throws(RunError) {
        if mirrors.contains(where: { BytePath.contains($0.directory, place) }) { return }
        // Another run may remove what we just saw, or made; then all of it is made again.
        for _ in 0..<100 {
            if let kind = Self.kind(of: place) {
                guard (kind == S_IFDIR) != isFile else {
                    let there = isFile ? "a directory" : "no directory"
                    throw .invalid("cannot mount \(name) at \(BytePath.text(place)): there is \(there)")
                }
                if take(place) { return }
                continue
            }
            if try make(place, isFile: isFile, name: name) { return }
        }
        throw .invalid("cannot make the mount point \(BytePath.text(place)): others keep removing it")
    }

    /// An empty place may be another run's, which will remove it unless it sees that it is used.
    /// - Returns: false where it has gone.
    private func take(_ place: [UInt8]) -> Bool {
        let raw = open(Self.text(place), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard raw >= 0 else { return errno != ENOENT }
        let lock = OwnedDescriptorBox(raw)
        guard Self.isEmpty(raw) else { return true }
        guard flock(raw, LOCK_SH | LOCK_NB) == 0 else { return false }
        found.append(lock)
        return Self.isSame(place, raw)
    }

    /// - Returns: false where it has to be tried again.
    private func make(_ place: [UInt8], isFile: Bool, name: String) throws(RunError) -> Bool {
        for path in BytePath.ancestors(place) + [place] where Self.kind(of: path) == nil {
            let makesFile = isFile && path == place
            let code = makesFile ? mknod(Self.text(path), S_IFREG | 0o644, 0) : mkdir(Self.text(path), 0o755)
            if code != 0 {
                switch errno {
                case EEXIST: continue
                case ENOENT: return false
                case EACCES, EPERM, EROFS:
                    try mirror(BytePath.parent(path), for: place, name: name)
                    return true
                default: throw .invalid("cannot make the mount point \(SystemError("mkdir", path: BytePath.text(path)))")
                }
            }
            let raw = open(Self.text(path), O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
            guard raw >= 0 else { return false }
            let lock = OwnedDescriptorBox(raw)
            guard flock(raw, LOCK_SH | LOCK_NB) == 0, Self.isSame(path, raw) else { return false }
            made.append(Made(path: path, lock: lock, isFile: makesFile))
        }
        return Self.kind(of: place) != nil
    }

    /// Removes what was made and is not used. Never fails: an empty directory that stays does no harm.
    func removeAll() {
        for place in made.reversed() {
            // Not ours alone: another run found it. It stays.
            guard flock(place.lock.raw, LOCK_EX | LOCK_NB) == 0, Self.isSame(place.path, place.lock.raw) else { continue }
            if place.isFile {
                var status = stat()
                if fstat(place.lock.raw, &status) == 0 && status.st_size == 0 { unlink(Self.text(place.path)) }
            } else {
                rmdir(Self.text(place.path))
            }
        }
        made = []
        found = []
    }

    private func mirror(_ directory: [UInt8], for place: [UInt8], name: String) throws(RunError) {
        var status = stat()
        guard stat(Self.text(directory), &status) == 0 else { throw .invalid("cannot mount \(name) at \(BytePath.text(place)): \(SystemError("stat", path: BytePath.text(directory)))") }
        let problem = "cannot mount \(name) at \(BytePath.text(place)): it is not there, and \(BytePath.text(directory)) may not be changed"
        let listed: [DirectoryEntry]
        do throws(SystemError) {
            listed = try Directory(BytePath.text(directory)).entries()
        } catch {
            throw .invalid("\(problem), nor read")
        }
        guard listed.count <= Self.mirrorLimit else { throw .invalid("\(problem); choose another target, or use --root") }
        mirrors.append(NamespacePlan.Mirror(directory: directory, mode: status.st_mode & 0o7777, entries: listed.map { entry in
            let path = BytePath.join(directory, entry.name)
            switch Self.linkKind(of: path) {
            case S_IFDIR: return .init(name: entry.name, kind: .directory)
            case S_IFLNK: return .init(name: entry.name, kind: .link(target: Self.linkTarget(of: path)))
            default: return .init(name: entry.name, kind: .other)
            }
        }))
    }

    // MARK: paths of the host, as bytes

    static func text(_ path: [UInt8]) -> [CChar] { path.map { CChar(bitPattern: $0) } + [0] }

    /// S_IFDIR and so on of what a path leads to; nil where that is nothing.
    static func kind(of path: [UInt8]) -> mode_t? {
        var status = stat()
        return stat(text(path), &status) == 0 ? status.st_mode & S_IFMT : nil
    }

    private static func linkKind(of path: [UInt8]) -> mode_t? {
        var status = stat()
        return lstat(text(path), &status) == 0 ? status.st_mode & S_IFMT : nil
    }

    private static func isEmpty(_ descriptor: Int32) -> Bool {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { return false }
        if status.st_mode & S_IFMT == S_IFREG { return status.st_size == 0 }
        guard status.st_mode & S_IFMT == S_IFDIR, let directory = try? Directory("/proc/self/fd/\(descriptor)") else { return false }
        return (try? directory.entries().isEmpty) ?? false
    }

    private static func linkTarget(of path: [UInt8]) -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: Int(PATH_MAX))
        let capacity = buffer.count
        let count = buffer.withUnsafeMutableBytes { readlink(text(path), $0.assumingMemoryBound(to: CChar.self).baseAddress.unsafelyUnwrapped, capacity) }
        return Array(buffer.prefix(max(0, count)))
    }

    private static func isSame(_ path: [UInt8], _ descriptor: Int32) -> Bool {
        var (there, mine) = (stat(), stat())
        return lstat(text(path), &there) == 0 && fstat(descriptor, &mine) == 0 && there.st_ino == mine.st_ino && there.st_dev == mine.st_dev
    }
}

/// A descriptor that several may hold.
final class OwnedDescriptorBox: Sendable {
    private let descriptor: OwnedDescriptor
    init(_ raw: Int32) { descriptor = OwnedDescriptor(owning: raw) }
    var raw: Int32 { descriptor.raw }
}
