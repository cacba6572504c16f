import LinuxIO

/// A shared lock that says "a writer is here". Whoever can have it exclusively is alone in the store, on this and on
/// every other host, and so may throw away what dead writers left.
final class StorePresence: Sendable {
    private let lock: FileLock

    private init(_ lock: consuming FileLock) { self.lock = lock }

    static func take(in root: Directory) throws(SystemError) -> StorePresence {
        if let lock = try FileLock(trying: StoreLayout.presenceLock, in: root, .exclusive) {
            try sweep(root)
            _ = try lock.convert(to: .shared)
            return StorePresence(lock)
        }
        // In the way is a writer's shared lock, or an exclusive one for as long as the sweep takes.
        return StorePresence(try FileLock(waitingFor: StoreLayout.presenceLock, in: root, .shared))
    }

    /// What cannot be removed is in nobody's way: a store is not refused for it.
    private static func sweep(_ root: Directory) throws(SystemError) {
        let temporary = try root.directory(StoreLayout.temporary)
        for name in try temporary.list() where name != ".lock" { _ = try? temporary.removeTree(name) }
        // Lock files of leases are never unlinked while someone may wait for them: only now nobody can.
        let locks = try root.directory(StoreLayout.locks)
        for name in try locks.list() where name.hasSuffix(StoreLease.suffix) { _ = try? locks.remove(name) }
    }
}

extension Store {
    /// nil where this user may not write.
    static func announce(in root: Directory) throws(StoreError) -> StorePresence? {
        do throws(SystemError) {
            return try StorePresence.take(in: root)
        } catch {
            if error.isRefusal { return nil }
            throw StoreError(error, in: root)
        }
    }
}
