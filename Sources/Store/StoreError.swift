import LinuxIO
import OCI

/// Why the store cannot do what it was asked. Every text names the store or the file.
public enum StoreError: Error, Sendable, Equatable {
    /// Nothing is at this path.
    case missing(store: String)
    /// The directory holds something else, and Larder will not mix its files with it.
    case notAStore(path: String, reason: String)
    /// An image layout of a version this program does not know.
    case unsupportedLayout(path: String, version: String)
    /// This user may read the store only.
    case readOnly(store: String)
    /// The disk or the quota is full. `freeBytes` is what the disk says it has: with a quota it may be much.
    case noSpace(store: String, freeBytes: UInt64)
    /// A file of the store is not what it must be.
    case damaged(path: String, reason: String)
    /// The content does not have the digest that names it.
    case wrongDigest(path: String, expected: Digest, found: Digest)
    case tooLarge(path: String, bytes: UInt64, limit: UInt64)
    /// A name that cannot be kept: empty, too long, or with bytes outside printable ASCII.
    case badKey(String)
    case system(SystemError)
}

extension StoreError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .missing(let store): "there is no store at \(store)"
        case .notAStore(let path, let reason): "\(path) is no store of Larder: \(reason)"
        case .unsupportedLayout(let path, let version): "\(path) is an image layout of version '\(version.prefix(40))'; only 1.0.x is known"
        case .readOnly(let store): "the store \(store) cannot be written by this user"
        case .noSpace(let store, let free): "no space for the store \(store): \(free / 1_048_576) MiB free on its disk (or its quota is used up)"
        case .damaged(let path, let reason): "\(path) is damaged: \(reason)"
        case .wrongDigest(let path, let expected, let found): "\(path) is damaged: its content has \(found), not \(expected)"
        case .tooLarge(let path, let bytes, let limit): "\(path) has \(bytes) bytes; at most \(limit) are read"
        case .badKey(let key): "'\(key.prefix(100))' cannot be the name of a tree or a lock: 1 to 255 printable ASCII characters are allowed"
        case .system(let error): error.description
        }
    }
}
