import LinuxIO

/// Why a filesystem could not be mounted, unmounted or served.
public enum MountError: Error, Sendable, Equatable, CustomStringConvertible {
    /// /dev/fuse cannot be opened.
    case device(SystemError)
    /// The mount point is no directory that can be mounted on.
    case mountPoint(String, reason: String)
    /// mount(2) or umount2(2) said no.
    case refused(SystemError)
    /// `fusermount3` said no, in its own words.
    case helper(path: String, message: String)
    /// Something is still open below the mount point.
    case busy(String)
    /// libfuse could not make a session, or threads could not be had.
    case session(String)
    /// `run` without `mount`, `mount` twice.
    case misuse(String)

    public var description: String {
        switch self {
        case .device(let error): "FUSE is not available: \(error)"
        case .mountPoint(let path, let reason): "cannot mount on \(path): \(reason)"
        case .refused(let error): "\(error)"
        case .helper(let path, let message): "fusermount3 could not do it for \(path): \(message)"
        case .busy(let path): "\(path) is in use: close what is open below it, or unmount lazily"
        case .session(let reason): "no FUSE session: \(reason)"
        case .misuse(let what): what
        }
    }
}
