import LinuxIO
import OCI

/// The right to do one piece of work, across all processes that use the store. Ends with this value, or with the process.
///
/// The lock file stays when the lease ends: to unlink it would let one process lock the old file and another a new one
/// of the same name. It goes when somebody opens the store alone (`StorePresence`).
public struct StoreLease: ~Copyable, Sendable {
    static let suffix = ".lease"
    private let lock: FileLock

    fileprivate init(_ lock: consuming FileLock) { self.lock = lock }

    /// Ends the lease now.
    public consuming func release() {}

    /// The name of the lock file: the key itself where that can be a file name, else its digest.
    static func fileName(_ key: String) throws(StoreError) -> String {
        guard StoreText.isPlain(key) else { throw .badKey(key) }
        let readable = key.utf8.count <= 200 && !key.utf8.contains(UInt8(ascii: "/")) && key.utf8.first != UInt8(ascii: ".")
        return "\(StoreLayout.locks)/\(readable ? key : Digest(of: Array(key.utf8)).hex)\(suffix)"
    }
}

/// Text that can be a line of a file or a file name.
enum StoreText {
    /// 1 to 255 printable ASCII characters without a space.
    static func isPlain(_ text: String) -> Bool {
        (1...255).contains(text.utf8.count) && text.utf8.allSatisfy { (0x21...0x7e).contains($0) }
    }
}

extension Store {
    /// Waits until nobody else, in this process or another, holds `key`. Waiting is by asking again, every 10 ms at first and
    /// every 100 ms later: no thread is blocked, and it works on NFS.
    ///
    /// - Throws: `CancellationError` at once when the task is cancelled, `StoreError` otherwise.
    public func exclusive(_ key: String) async throws -> StoreLease {
        var pause = Duration.milliseconds(10)
        while true {
            try Task.checkCancellation()
            if let lease = try lease(key) { return lease }
            try await Task.sleep(for: pause)
            pause = min(pause * 3 / 2, .milliseconds(100))
        }
    }

    /// As `exclusive`, but nil at once where another holds `key`.
    public func lease(_ key: String) throws(StoreError) -> StoreLease? {
        try requireWritable()
        let name = try StoreLease.fileName(key)
        return try inStore(root) { () throws(SystemError) -> StoreLease? in
            guard let lock = try FileLock(trying: name, in: root, .exclusive) else { return nil }
            return StoreLease(lock)
        }
    }
}
