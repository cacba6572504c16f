import CLinux
import Glibc

/// An open-file-description lock on a whole file: it belongs to the open file, not the process, and the kernel drops
/// it when the last descriptor goes, also after kill -9. Works on NFSv4.
public struct FileLock: ~Copyable, Sendable {
    public enum Mode: Sendable { case shared, exclusive }

    private let descriptor: OwnedDescriptor

    /// Opens (creates) `name` and takes the lock; nil where someone else is in the way.
    public init?(trying name: String, in directory: Directory, _ mode: Mode) throws(SystemError) {
        let descriptor = try directory.open(name, O_RDWR | O_CREAT, mode: 0o644)
        guard larder_ofd_lock(descriptor.raw, mode == .exclusive ? 1 : 0, 0) == 0 else {
            if errno == EAGAIN || errno == EACCES { return nil }
            throw SystemError("lock", path: directory.path + "/" + name)
        }
        self.descriptor = descriptor
    }

    /// Opens (creates) `name` and blocks until the lock is had. Only for locks that are held briefly.
    public init(waitingFor name: String, in directory: Directory, _ mode: Mode) throws(SystemError) {
        descriptor = try directory.open(name, O_RDWR | O_CREAT, mode: 0o644)
        guard larder_ofd_lock(descriptor.raw, mode == .exclusive ? 1 : 0, 1) == 0 else {
            throw SystemError("lock", path: directory.path + "/" + name)
        }
    }
}
