import CLinux
import Glibc

/// An open-file-description lock on a whole file: it belongs to the open file, not the process, and the kernel drops
/// it when the last descriptor goes, also after kill -9. Works on NFSv4.
public struct FileLock: ~Copyable, Sendable {
    public enum Mode: Sendable { case shared, exclusive }

    private let descriptor: OwnedDescriptor

    /// Opens (creates) `name` and takes the lock; nil where someone else is in the way.
    public init?(trying name: String, in directory: Directory, _ mode: Mode) throws(SystemError) {
        let descriptor = try Self.open(name, in: directory)
        guard try Self.take(descriptor, mode, wait: false) else { return nil }
        self.descriptor = descriptor
    }

    /// Opens (creates) `name` and blocks until the lock is had. Only for locks that are held briefly.
    public init(waitingFor name: String, in directory: Directory, _ mode: Mode) throws(SystemError) {
        let descriptor = try Self.open(name, in: directory)
        _ = try Self.take(descriptor, mode, wait: true)
        self.descriptor = descriptor
    }

    /// Makes the lock shared or exclusive without letting go of it between. False, and unchanged, where another
    /// holder is in the way; making it shared always succeeds.
    public func convert(to mode: Mode) throws(SystemError) -> Bool {
        try Self.take(descriptor, mode, wait: false)
    }

    private static func open(_ name: String, in directory: Directory) throws(SystemError) -> OwnedDescriptor {
        try directory.open(name, O_RDWR | O_CREAT | O_NOFOLLOW, mode: 0o644)
    }

    private static func take(_ descriptor: borrowing OwnedDescriptor, _ mode: Mode, wait: Bool) throws(SystemError) -> Bool {
        if larder_ofd_lock(descriptor.raw, mode == .exclusive ? 1 : 0, wait ? 1 : 0) == 0 { return true }
        if !wait && (errno == EAGAIN || errno == EACCES) { return false }
        throw SystemError("lock")
    }
}
