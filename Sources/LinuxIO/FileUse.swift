import CLinux
import Glibc

/// Saying that a file is being used, and seeing that it is: for whoever decides which files may go.
extension OwnedDescriptor {
    /// Holds the file as being in use for as long as this open file lives, wherever the descriptor is passed on to: to a child,
    /// or to the kernel for passthrough. Advisory, and silent where the disk cannot (NFS, for one, when the file is open
    /// for reading).
    public borrowing func holdInUse() { _ = larder_flock_shared(raw) }

    /// Whether no other open file holds the same file in use. True also means that nobody can begin to while this descriptor
    /// lives. nil where the disk cannot say.
    public borrowing func isUnused() -> Bool? {
        if larder_flock_exclusive(raw) == 0 { return true }
        return errno == EWOULDBLOCK ? false : nil
    }

    /// Sets the time of the last access to now, also where the mount keeps none (noatime), and leaves the time of the last change.
    /// Silent where this user may not.
    public borrowing func markAccess() {
        // UTIME_NOW and UTIME_OMIT of linux/stat.h.
        var times = (timespec(tv_sec: 0, tv_nsec: 0x3fff_ffff), timespec(tv_sec: 0, tv_nsec: 0x3fff_fffe))
        _ = withUnsafePointer(to: &times) { pair in
            pair.withMemoryRebound(to: timespec.self, capacity: 2) { futimens(raw, $0) }
        }
    }
}

extension stat {
    /// The later of the last access and the last change, in nanoseconds since 1970.
    public var lastUseNanoseconds: Int64 { max(Self.nanoseconds(st_atim), Self.nanoseconds(st_mtim)) }

    private static func nanoseconds(_ time: timespec) -> Int64 { Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec) }

    /// Bytes of disk.
    public var allocatedByteCount: UInt64 { UInt64(max(0, st_blocks)) * 512 }
}

extension FileLock {
    /// Whether somebody else has `name` locked, be it shared. Takes nothing, so that nobody who tries meanwhile is turned away.
    public static func isHeld(_ name: String, in directory: Directory) throws(SystemError) -> Bool {
        guard let file = try directory.openIfPresent(name, O_RDONLY | O_NOFOLLOW) else { return false }
        let answer = larder_range_conflict(file.raw, LARDER_LOCK_EXCLUSIVE, 0, 0)
        if answer < 0 { throw SystemError("lock", path: name) }
        return answer == 1
    }
}
