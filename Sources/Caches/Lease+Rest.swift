import Glibc
import LinuxIO

/// A lease that is given back, and had again as if it had never been away if nobody else has had one meanwhile.
///
/// To begin a lease waits for the disk: a power cut must leave the holder's record there. At rest the record stays, under a
/// name by which it holds nothing, so to go on there is nothing to wait for; and a power cut that comes before everything that was
/// changed is on disk finds it, and the instance is unclean.
extension Lease {
    /// What it takes to let a lease rest and to have it again, open: that is a few calls of the disk then.
    struct RestFiles {
        let book: BookFiles
        let records: Directory

        init(in directory: Directory) throws(CacheError) {
            book = try BookFiles(in: directory)
            records = try inCache { () throws(SystemError) in try directory.directory(CacheLayout.holders) }
        }
    }

    /// Gives back a writable lease on main. `release` ends it for good. Waits for nobody.
    /// - Returns: false where it is held yet: somebody is about to come, or the record could not be renamed.
    func rest() -> Bool {
        let rests = try? held.withLock { held throws(CacheError) -> Bool in
            guard let instance = held?.instance, held?.rest == nil else { return false }
            if held?.restFiles == nil { held?.restFiles = try RestFiles(in: place.directory) }
            guard let files = held?.restFiles else { return false }
            // Nobody begins while the book is in hand.
            guard let book = try CacheBook(ifFree: files.book) else { return false }
            let names = CacheLayout.recordNames(token)
            // Under which name it is after a power cut does not matter.
            try inCache { () throws(SystemError) in try files.records.rename(names.held, to: names.resting) }
            futimens(instance.descriptor.raw, nil)
            instance.drop()
            held?.rest = book.epoch
            return true
        }
        return rests ?? false
    }

    /// Waits for nobody.
    /// - Returns: whether the lease is held again. Where not, it is as it was.
    func resume() -> Bool {
        let isHeld = try? held.withLock { held throws(CacheError) -> Bool in
            guard let instance = held?.instance, let rest = held?.rest, let files = held?.restFiles else { return false }
            guard let book = try CacheBook(ifFree: files.book), book.epoch == rest, try book.nobodyWaits(), try instance.take(.shared)
            else { return false }
            let names = CacheLayout.recordNames(token)
            guard place.isCurrent, (try? files.records.rename(names.resting, to: names.held)) != nil else {
                instance.drop()
                return false
            }
            held?.rest = nil
            _ = consume book
            return true
        }
        return isHeld ?? false
    }
}
