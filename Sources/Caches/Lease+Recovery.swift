import LinuxIO

/// What became of the mark on an unclean instance.
public enum Recovery: Sendable, Hashable {
    /// There was none.
    case wasClean
    /// The check passed; the mark is gone.
    case recovered
    /// The check did not pass; the mark stays.
    case failed
    /// Others use the instance, so it cannot be checked now; the mark stays.
    case inUse
    /// The lease is for reading only; the mark stays.
    case readOnly
}

extension Lease {
    /// Checks an unclean instance: alone with it (a shared lease becomes exclusive where that is possible at once), `check`
    /// says whether it is in order, repairs included. Afterwards the lease is what it was before.
    ///
    /// - Parameter check: gets the instance's directory; may take its time. Called at most once.
    public func recover<Failure: Error>(check: (Directory) throws(Failure) -> Bool) throws -> Recovery {
        guard unclean != nil else { return .wasClean }
        guard let number = record.instance, !isReadOnly else { return .readOnly }
        guard try withInstanceLock({ lock throws(CacheError) in try lock.take(.exclusive) }) == true else { return .inUse }
        defer {
            // Never fails: an exclusive lock stands in nobody's shared one.
            if sharing == .shared { _ = try? withInstanceLock { lock throws(CacheError) in try lock.take(.shared) } }
        }
        // Another user may have checked it before us.
        guard try UncleanMark.read(of: number, in: place.directory) != nil || place.directory.exists(CacheLayout.unclean(number)) else {
            becameClean()
            return .recovered
        }
        guard try check(directory) else { return .failed }
        // What the check repaired must be on disk before the mark goes.
        try inCache { () throws(SystemError) in
            try directory.syncFilesystem()
            try place.directory.remove(CacheLayout.unclean(number))
            try place.directory.syncParent(of: CacheLayout.unclean(number))
        }
        becameClean()
        return .recovered
    }
}
