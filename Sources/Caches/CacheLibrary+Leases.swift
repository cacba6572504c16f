import CLinux
import Glibc
import LinuxIO

/// What became of a lease that was to be broken.
public enum BreakOutcome: Sendable, Hashable {
    /// Nobody had it any more: the record of a dead holder, now cleared away.
    case wasDead
    /// The holder was asked to end and has.
    case ended
    /// It goes on: nothing was tried, or it did not end in time.
    case stillHeld(LeaseRecord)
    /// The holder is on another host or in another pid namespace, or has ended and left its lock to a child: from here it cannot be ended.
    case elsewhere(LeaseRecord)
}

extension CacheLibrary {
    /// All that is held right now, of all caches, in the order of their names; oldest first within one.
    public func leases() throws(CacheError) -> [LeaseRecord] {
        var found: [LeaseRecord] = []
        for name in try names() { found += try leases(on: name) }
        return found
    }

    /// Who holds an instance of this cache right now.
    public func leases(on name: CacheName) throws(CacheError) -> [LeaseRecord] {
        do throws(CacheError) {
            return try Holders(try place(of: name).directory).living()
        } catch {
            // Removed while we looked.
            if case .missing = error { return [] }
            if case .system(let error) = error, error.isAbsence { return [] }
            throw error
        }
    }

    /// - Parameter token: all of it, or so much of its beginning as no other lease has.
    public func lease(_ token: String) throws(CacheError) -> LeaseRecord {
        let found = try leases().filter { $0.token == token || (token.utf8.count >= 4 && $0.token.hasPrefix(token)) }
        guard let record = found.first, found.count == 1 || record.token == token else { throw .unknownLease(token) }
        return record
    }

    /// The directory that a living lease uses, for `leases/TOKEN/root`.
    public func directory(of record: LeaseRecord) throws(CacheError) -> Directory {
        let name = record.instance.map(CacheLayout.instance) ?? CacheLayout.fresh(record.token)
        let place = try place(of: record.cache)
        return try inCache { () throws(SystemError) in try place.directory.directory(name) }
    }

    /// The path of the same.
    public func path(of record: LeaseRecord) -> String {
        path(of: record.cache) + "/" + (record.instance.map(CacheLayout.instance) ?? CacheLayout.fresh(record.token))
    }

    /// Whether the holder could be ended from here: the process that the record names, and no other, can be seen. Does nothing to it.
    public func canEnd(_ record: LeaseRecord) -> Bool {
        guard let process = ProcessStatus.find(record) else { return false }
        _ = consume process
        return true
    }

    /// Ends a lease that somebody else holds, in the one way that is safe: by ending the holder.
    ///
    /// The kernel takes no lock from a living process, and to let others in beside one that goes on writing would break what a
    /// lease is for. So without `force` only the record of a dead holder is cleared. With it the holder gets SIGTERM, and SIGKILL
    /// after `grace`; its instance is then marked unclean if it did not release the lease itself.
    ///
    /// - Parameter grace: how long the holder may take to end after SIGTERM, and again after SIGKILL.
    /// - Throws: `unknownLease`, `system` (such as EPERM for another user's process).
    public func breakLease(_ token: String, force: Bool = false, grace: Duration = .seconds(10)) throws(CacheError) -> BreakOutcome {
        for name in try names() {
            let place = try place(of: name)
            guard let found = try Holders(place.directory).all().first(where: { $0.record.token == token }) else { continue }
            if !found.lives {
                try Holders(place.directory).bury(try CacheBook(place.directory, LockWaiter()))
                return .wasDead
            }
            return force ? try end(found.record, place, grace) : .stillHeld(found.record)
        }
        throw .unknownLease(token)
    }

    private func end(_ record: LeaseRecord, _ place: CachePlace, _ grace: Duration) throws(CacheError) -> BreakOutcome {
        guard let process = ProcessStatus.find(record) else { return .elsewhere(record) }
        for signal in [SIGTERM, SIGKILL] {
            if larder_process_signal(process.raw, signal) != 0 && errno != ESRCH { throw .system(SystemError("kill", path: "process \(record.pid)")) }
            if try ended(record, place, within: grace) {
                try Holders(place.directory).bury(try CacheBook(place.directory, LockWaiter()))
                return .ended
            }
        }
        return .stillHeld(record)
    }

    /// Waits for the lock on the record: also for children that have inherited it.
    private func ended(_ record: LeaseRecord, _ place: CachePlace, within limit: Duration) throws(CacheError) -> Bool {
        let name = CacheLayout.holder(record.token)
        guard let file = try inCache({ () throws(SystemError) in try place.directory.openIfPresent(name, O_RDONLY | O_NOFOLLOW) }) else { return true }
        let waiter = LockWaiter(limit: limit)
        return try waiter.onThisThread { () throws(CacheError) in
            do throws(LockWaiter.End) {
                try waiter.lock(file, LARDER_LOCK_SHARED)
                return true
            } catch {
                if case .system(let error) = error { throw .system(error) }
                return false
            }
        }
    }
}
