import Glibc
import LinuxIO

/// When each object was last used, kept where everybody looks for it: in the file's own time of access. Mounts with noatime or
/// relatime keep it badly or not at all, so it is set here.
extension Store {
    /// A mark younger than this is good enough, in nanoseconds.
    static let markPrecision: Int64 = 60_000_000_000

    /// Since 1970.
    static var nanoseconds: Int64 {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return Int64(now.tv_sec) &* 1_000_000_000 &+ Int64(now.tv_nsec)
    }

    /// Notes that an object was opened to be used.
    func markUse(_ file: borrowing OwnedDescriptor) {
        if isReadOnly { return }
        guard let status = try? file.status() else { return }
        let age = Self.nanoseconds &- status.lastUseNanoseconds
        // One that lies in the future is no mark of ours.
        if age > Self.markPrecision || age < 0 { file.markAccess() }
    }

    /// Notes that an object which has been open for long is still being used. Silent where it is gone.
    public func markUse(_ key: StoreKey) {
        guard let file = try? root.openIfPresent(key.path, O_RDONLY | O_NOFOLLOW) else { return }
        markUse(file)
    }
}
