import Glibc
import LinuxIO
import Synchronization

/// The right to use one instance of a cache, until `release`, or until this process and all who inherited
/// `lockDescriptors` have ended: then it counts as ended in the middle, and the instance as unclean. So does a lease that
/// goes out of use without `release`.
public final class Lease: Sendable {
    public let record: LeaseRecord
    /// The instance's directory, open.
    public let directory: Directory
    /// The same by name: the store's path, and what follows.
    public let path: String
    /// The cache's settings when the lease began.
    public let settings: CacheSettings
    let library: CacheLibrary
    let place: CachePlace
    let held: Mutex<Held?>
    private let mark: Mutex<UncleanMark?>

    struct Held {
        /// nil for a fresh directory: its record is lock enough.
        let instance: LockFile?
        let record: LockFile
        /// The cache's last epoch when the lease was laid to rest; nil while it is held.
        var rest: UInt64?
        /// From the first rest on.
        var restFiles: RestFiles?
    }

    init(
        _ record: LeaseRecord, _ directory: Directory, _ settings: CacheSettings, in place: CachePlace, of library: CacheLibrary, _ held: Held,
        unclean: UncleanMark?
    ) {
        self.record = record
        path = library.path(of: record)
        self.library = library
        self.directory = directory
        self.settings = settings
        self.place = place
        self.held = Mutex(held)
        mark = Mutex(unclean)
    }

    deinit {
        if held.withLock({ $0 != nil }) { OwnLeases.remove(record.token) }
    }

    public var cache: CacheName { record.cache }
    public var token: String { record.token }
    public var epoch: UInt64 { record.epoch }
    public var sharing: Sharing { record.sharing }
    public var isReadOnly: Bool { record.readOnly }
    /// Whether the directory is a new empty one that goes with the lease.
    public var isFresh: Bool { record.instance == nil }
    /// Set where an earlier holder ended in the middle of using the instance and no check has passed since.
    public var unclean: UncleanMark? { mark.withLock { $0 } }

    /// Descriptors for children to inherit: the lease then lives until the last of them has ended too. They are close-on-exec
    /// here, and stay open until the lease is released.
    public var lockDescriptors: [Int32] {
        held.withLock { held in held.map { [$0.record.descriptor.raw] + ($0.instance.map { [$0.descriptor.raw] } ?? []) } ?? [] }
    }

    /// Ends the lease, also where children still have its descriptors. A second call does nothing.
    ///
    /// - Parameter clean: false says that the user ended in the middle, and leaves the instance marked for whoever comes next.
    public func release(clean: Bool = true) throws(CacheError) {
        guard let held = held.withLock({ held in
            defer { held = nil }
            return held
        }) else { return }
        defer {
            held.instance?.drop()
            held.record.drop()
            OwnLeases.remove(record.token)
        }
        if held.rest != nil {
            try inCache { () throws(SystemError) in try Holders(place.directory).removeResting(token) }
            return
        }
        if let number = record.instance {
            if !clean && !isReadOnly { try UncleanMark(found: .now, holder: record).leave(on: number, in: place.directory) }
            if let instance = held.instance { futimens(instance.descriptor.raw, nil) }
            if clean && number != CacheLayout.main && settings.isAddOnly && unclean == nil { merge(number) }
        } else {
            try inCache { () throws(SystemError) in _ = try place.directory.removeTree(CacheLayout.fresh(token)) }
        }
        try inCache { () throws(SystemError) in try Holders(place.directory).remove(token) }
    }

    /// What could not be brought into main stays where it is, and main's next user tries again.
    private func merge(_ number: Int) {
        do throws(CacheError) {
            try Merging.atRelease(of: self, number)
        } catch {
            library.log.warning("bringing new files into a cache's main instance failed", metadata: ["cache": "\(cache)", "error": "\(error)"])
        }
    }

    /// Runs `body` on the instance's lock while the lease is held.
    func withInstanceLock<Value>(_ body: (LockFile) throws(CacheError) -> Value) throws(CacheError) -> Value? {
        guard let held = held.withLock({ $0 }), held.rest == nil else { throw .released(cache) }
        guard let instance = held.instance else { return nil }
        return try body(instance)
    }

    func becameClean() { mark.withLock { $0 = nil } }
}

/// Leases that were acquired together, at most one for each cache, in the order of the caches' names.
public struct LeaseSet: Sendable {
    public let leases: [Lease]

    public subscript(_ cache: CacheName) -> Lease? { leases.first { $0.cache == cache } }

    /// All of the leases' descriptors, for children to inherit.
    public var lockDescriptors: [Int32] { leases.flatMap(\.lockDescriptors) }

    /// Releases all, in the reverse order, whatever happens on the way.
    /// - Throws: the first error.
    public func release(clean: Bool = true) throws(CacheError) {
        var failure: CacheError?
        for lease in leases.reversed() {
            do throws(CacheError) { try lease.release(clean: clean) } catch { failure = failure ?? error }
        }
        if let failure { throw failure }
    }
}
