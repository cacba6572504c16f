import LinuxIO

/// Every instance of a cache, held exclusively: nobody uses it, nobody waits, and nobody can begin to.
struct WholeCache: ~Copyable {
    private let book: CacheBook
    private let locks: [LockFile]
    private let record: LockFile?
    private let token: String
    private let place: CachePlace

    /// - Parameter library: whoever it is will change the main instance, which is said in a record: a daemon then forgets what it
    ///   knows of it. nil looks only.
    /// - Throws: `inUse`.
    init(_ place: CachePlace, changingFor library: CacheLibrary? = nil) throws(CacheError) {
        // With the book in hand nobody can take a ticket or make an instance.
        var book = try CacheBook(place.directory, LockWaiter())
        let holders = Holders(place.directory)
        var locks: [LockFile] = []
        var isFree = try book.nobodyWaits()
        for number in try Instances.numbers(in: place.directory) where isFree {
            let lock = try LockFile(CacheLayout.lock(number), in: place.directory)
            isFree = try lock.take(.exclusive)
            locks.append(lock)
        }
        let living = try holders.living()
        guard isFree && living.isEmpty else { throw .inUse(place.name, living) }
        let token = Token.random()
        var record: LockFile?
        if let library {
            try holders.bury(book)
            record = try holders.add(
                LeaseRecord(
                    token: token, cache: place.name, sharing: .locked, readOnly: false, instance: CacheLayout.main,
                    epoch: try book.nextEpoch(), by: library.identity),
                isDurable: false)
        }
        self.book = book
        self.locks = locks
        self.record = record
        self.token = token
        self.place = place
    }

    /// Gives all back.
    consuming func release() throws(CacheError) {
        defer {
            record?.drop()
            for lock in locks { lock.drop() }
        }
        if record == nil { return }
        defer { OwnLeases.remove(token) }
        try inCache { () throws(SystemError) in try Holders(place.directory).remove(token) }
    }
}
