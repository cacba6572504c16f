import Glibc

/// A system call that failed: which, on what, and why.
public struct SystemError: Error, Sendable, Equatable, CustomStringConvertible {
    public let code: Int32
    public let operation: String
    public let path: String

    /// Takes the code from `errno` unless it is given.
    public init(_ operation: String, path: String = "", code: Int32 = errno) {
        self.code = code
        self.operation = operation
        self.path = path
    }

    /// Nothing has that name: the answer to a question, more than a failure.
    public var isAbsence: Bool { code == ENOENT }

    /// The disk, or this user's share of it, is full.
    public var isNoSpace: Bool { code == ENOSPC || code == EDQUOT }

    /// The kernel's words for the code, such as "No space left on device".
    public var reason: String { String(cString: strerror(code)) }

    public var description: String { path.isEmpty ? "\(operation): \(reason)" : "\(operation) \(path): \(reason)" }
}
