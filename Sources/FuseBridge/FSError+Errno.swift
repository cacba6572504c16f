import Glibc
import VirtualFS

extension FSError {
    /// What a system call that fails this way reports. Never ENOSYS: the kernel would take that as "never ask again".
    var errno: Int32 {
        switch self {
        case .notFound: ENOENT
        case .notDirectory: ENOTDIR
        case .isDirectory: EISDIR
        case .readOnly: EROFS
        case .io, .timedOut: EIO
        case .interrupted: EINTR
        case .stale: ESTALE
        case .invalid: EINVAL
        case .nameTooLong: ENAMETOOLONG
        case .noAttribute: ENODATA
        case .range: ERANGE
        case .unsupported: EOPNOTSUPP
        case .permission: EACCES
        case .noSpace: ENOSPC
        case .system(ENOSYS): EOPNOTSUPP
        case .system(let number): number
        }
    }
}
