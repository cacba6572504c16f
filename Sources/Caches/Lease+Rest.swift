import Glibc
import LinuxIO

/// A lease that is given back, and had again as if it had never been away if nobody else has had one meanwhile.
///
/// To begin a lease waits for the disk: a power cut must leave the holder's record there. At rest the record stays, under a
/// name by which it holds nothing, so to go on there is nothing to wait for; and a power cut that comes before everything that was
/// changed is on disk finds it, and the instance is unclean.
extension Lease {
    /// Gives back a writable lease on main. `release` ends it for good. Waits for nobody.
    /// - Returns: false where it is held yet: somebody is about to come, or the record could not be renamed.
    func rest() -> Bool {
        let rests = try? held.withLock { held throws(CacheError) -> Bool in
            // Nobody begins while the book is in hand.
            guard let instance = held?.instance, held?.rest == nil, let book = try CacheBook(ifFreeIn: place.directory) else { return false }
            try inCache { () throws(SystemError) in try Holders(place.directory).rest(token) }
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
            guard let instance = held?.instance, let rest = held?.rest else { return false }
            guard let book = try CacheBook(ifFreeIn: place.directory), book.epoch == rest, try book.nobodyWaits(), try instance.take(.shared)
            else { return false }
            guard place.isCurrent, (try? Holders(place.directory).resume(token)) != nil else {
                instance.drop()
                return false
            }
            held?.rest = nil
            return true
        }
        return isHeld ?? false
    }
}
