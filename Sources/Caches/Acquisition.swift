import CLinux
import Glibc
import LinuxIO

/// How one lease is acquired.
///
/// **First come, first served.** Whoever wants main takes a ticket under the book's lock, and before letting the book go locks byte
/// `ticket` of the queue file. Then it waits for a shared lock on all bytes below its own: those of everybody who came before. Now it is
/// first, and waits for main itself. Then it lets go of the queue. All of these are kernel locks: the place of one who dies is free at once.
/// A `shared` request behind a waiting `locked` one waits with it, so that a stream of readers cannot keep a writer out for ever.
struct Acquisition {
    private let library: CacheLibrary
    private let waiter: LockWaiter
    private let timeout: Duration?
    private let onWait: (LeaseWait) -> Void

    init(_ library: CacheLibrary, _ waiter: LockWaiter, _ timeout: Duration?, onWait: @escaping (LeaseWait) -> Void) {
        self.library = library
        self.waiter = waiter
        self.timeout = timeout
        self.onWait = onWait
    }

    func lease(_ claim: Claim, _ name: CacheName) throws(CacheError) -> Lease {
        while true {
            // Removed while we waited, and perhaps made again: then the locks that were had are on files without a name.
            if let lease = try attempt(claim, try library.place(of: name)) { return lease }
        }
    }

    /// nil where the cache was removed meanwhile.
    private func attempt(_ claim: Claim, _ place: CachePlace) throws(CacheError) -> Lease? {
        do throws(CacheError) {
            let lease = try self.lease(claim, place)
            if place.isCurrent { return lease }
            try lease.release()
            return nil
        } catch {
            if case .system(let error) = error, error.isAbsence, !place.isCurrent { return nil }
            throw error
        }
    }

    func lease(_ claim: Claim, _ place: CachePlace) throws(CacheError) -> Lease {
        let settings = try place.definition().settings
        let lease: Lease
        switch claim {
        case .fresh:
            lease = try record(claim, nil, nil, place, settings, try book(place))
        case .alone:
            var book = try book(place)
            let (number, lock) = try instanceAlone(place, settings, book)
            lease = try record(claim, number, lock, place, settings, &book)
        case .shared, .locked:
            let lock = try mainInTurn(place, claim.isExclusive ? .exclusive : .shared)
            lease = try record(claim, CacheLayout.main, lock, place, settings, try book(place))
        }
        return try tidied(lease)
    }

    // MARK: locks

    private func mainInTurn(_ place: CachePlace, _ kind: LockFile.Kind) throws(CacheError) -> LockFile {
        let main = try LockFile(CacheLayout.lock(CacheLayout.main), in: place.directory)
        let queue = try LockFile(CacheLayout.queue, in: place.directory)
        var book = try book(place)
        if try book.nobodyWaits(), try main.take(kind) { return main }
        let ticket = try book.nextTicket(queue)
        _ = consume book
        // Its place in the queue goes with the only descriptor: not before main is had, and whatever way this ends.
        try withExtendedLifetime(queue) { () throws(CacheError) in
            if larder_range_lock(queue.descriptor.raw, LARDER_LOCK_SHARED, 0, ticket, 0) != 0 {
                try wait(place) { () throws(LockWaiter.End) in try waiter.lock(queue.descriptor, LARDER_LOCK_SHARED, length: ticket) }
            }
            if try !main.take(kind) {
                try wait(place) { () throws(LockWaiter.End) in try main.wait(for: kind, waiter) }
            }
        }
        return main
    }

    /// Main where it is free at once and nobody waits for it, else the idle instance that was used last, else a new one.
    private func instanceAlone(
        _ place: CachePlace, _ settings: CacheSettings, _ book: borrowing CacheBook
    ) throws(CacheError) -> (Int, LockFile) {
        let candidates = (try book.nobodyWaits() ? [CacheLayout.main] : []) + (try Instances.idleFirst(in: place.directory))
        for number in candidates {
            let lock = try LockFile(CacheLayout.lock(number), in: place.directory)
            if try lock.take(.exclusive) { return (number, lock) }
        }
        return try Instances.make(in: place, settings, book)
    }

    private func wait(_ place: CachePlace, _ body: () throws(LockWaiter.End) -> Void) throws(CacheError) {
        if timeout != .zero { onWait(LeaseWait(cache: place.name, holders: try holdersOfMain(place))) }
        do throws(LockWaiter.End) {
            try body()
        } catch {
            switch error {
            case .cancelled: throw .cancelled
            case .timedOut: throw .timedOut(place.name, waited: timeout ?? .zero, holders: try holdersOfMain(place))
            case .system(let error): throw .system(error)
            }
        }
    }

    private func holdersOfMain(_ place: CachePlace) throws(CacheError) -> [LeaseRecord] {
        try Holders(place.directory).living().filter { $0.instance == CacheLayout.main }
    }

    private func book(_ place: CachePlace) throws(CacheError) -> CacheBook { try CacheBook(place.directory, waiter) }

    // MARK: what follows the lock

    private func record(
        _ claim: Claim, _ number: Int?, _ lock: LockFile?, _ place: CachePlace, _ settings: CacheSettings, _ book: consuming CacheBook
    ) throws(CacheError) -> Lease {
        try record(claim, number, lock, place, settings, &book)
    }

    private func record(
        _ claim: Claim, _ number: Int?, _ lock: LockFile?, _ place: CachePlace, _ settings: CacheSettings, _ book: inout CacheBook
    ) throws(CacheError) -> Lease {
        let holders = Holders(place.directory)
        // Those who died with the instance before us; before our own record, so that only theirs are found.
        try holders.bury(book)
        let record = LeaseRecord(
            token: Token.random(), cache: place.name, sharing: claim.sharing, readOnly: claim.isReadOnly, instance: number,
            epoch: try book.nextEpoch(), by: library.identity)
        let held = Lease.Held(instance: lock, record: try holders.add(record, isDurable: number != nil && !claim.isReadOnly))
        let name = number.map(CacheLayout.instance) ?? CacheLayout.fresh(record.token)
        do throws(CacheError) {
            let directory = try inCache { () throws(SystemError) in
                if number == nil { try InstanceRoot.make(name, in: place.directory, settings) }
                return try place.directory.directory(name)
            }
            let unclean = try number.flatMap { number throws(CacheError) in
                place.directory.exists(CacheLayout.unclean(number)) ? try UncleanMark.read(of: number, in: place.directory) ?? .unknown(record) : nil
            }
            if let number, number != CacheLayout.main, settings.isAddOnly {
                try inCache { () throws(SystemError) in try Merging.expect(from: number, in: place) }
            }
            return Lease(record, directory, settings, in: place, of: library, held, unclean: unclean)
        } catch {
            _ = try? holders.remove(record.token)
            OwnLeases.remove(record.token)
            throw error
        }
    }

    /// Finishes what others who died left undone.
    private func tidied(_ lease: Lease) throws(CacheError) -> Lease {
        try Fresh.sweep(lease.place)
        if lease.settings.isAddOnly && !lease.isReadOnly && lease.record.instance == CacheLayout.main && lease.unclean == nil {
            try Merging.afterAcquisition(of: lease)
        }
        return lease
    }
}

/// Names leases: 80 random bits in letters and digits.
enum Token {
    static func random() -> String {
        let alphabet = Array("abcdefghijklmnopqrstuvwxyz234567".utf8)
        return String(decoding: (0..<16).map { _ in alphabet.randomElement() ?? alphabet[0] }, as: UTF8.self)
    }
}

/// Directories of runs that asked for an empty one.
enum Fresh {
    /// Removes those whose lease has ended without that. The record is there before its directory is, so one without a living
    /// record is nobody's.
    static func sweep(_ place: CachePlace) throws(CacheError) {
        let found = try inCache { () throws(SystemError) in try place.directory.directory(CacheLayout.fresh).list() }
        if found.isEmpty { return }
        let living = Set(try Holders(place.directory).living().map(\.token))
        for token in found where !living.contains(token) {
            // What two remove at once may fail for one of them.
            _ = try? place.directory.removeTree(CacheLayout.fresh(token))
        }
    }
}
