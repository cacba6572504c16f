import Caches
import Glibc
import LinuxIO
import Logging
import Synchronization

/// The caches of a mount: `caches/ENC` shows the main instance's own directory as a live tree, changed under a lease that
/// this process shares with everybody else, and remembered by the kernel only while nobody else can change it.
public final class CacheTrees: Sendable {
    public let library: CacheLibrary
    let live = LiveTrees()
    private let readAhead = DirectoryReadAhead()
    private let invalidation: Invalidation
    private let changeLimit: Duration
    private let log: Logger
    /// Without it (no inotify left, a store on NFS) nothing is remembered.
    private let watch: CacheWatch?
    private let mounted = Mutex<[CacheName: Mounted]>([:])
    private let shown = Mutex<[String: LiveTree]>([:])

    /// A cache that was looked into.
    private final class Mounted: Sendable {
        let tree: LiveTree
        let lease: PathLease
        let neighbours: CacheWatch.Neighbours?
        let forgetting: Forgetting
        /// A cache that was removed and made again is another.
        let identity: FileIdentity

        init(tree: LiveTree, lease: PathLease, neighbours: CacheWatch.Neighbours?, forgetting: Forgetting, identity: FileIdentity) {
            self.tree = tree
            self.lease = lease
            self.neighbours = neighbours
            self.forgetting = forgetting
            self.identity = identity
        }
    }

    private struct FileIdentity: Hashable {
        let device: dev_t
        let inode: ino_t

        init(_ status: stat) {
            device = status.st_dev
            inode = status.st_ino
        }
    }

    /// - Parameters:
    ///   - invalidation: told when others begin or end to use a cache whose names the kernel remembers.
    ///   - changeLimit: how long a change waits for a cache that somebody has to himself, before it fails with EBUSY.
    public init(library: CacheLibrary, invalidation: Invalidation, changeLimit: Duration = .seconds(10)) {
        self.library = library
        self.changeLimit = changeLimit
        self.invalidation = invalidation
        log = library.log
        do throws(CacheError) {
            watch = try CacheWatch(library)
        } catch {
            watch = nil
            log.warning("other users of caches cannot be seen, so nothing of caches is remembered", metadata: ["reason": "\(error)"])
        }
    }

    /// Gives all leases back. Called when the mount has gone.
    public func close() {
        watch?.close()
        readAhead.close()
        for mounted in mounted.withLock({ $0.values.map { $0 } }) { mounted.lease.close() }
    }

    /// Caches that are held for changes that came by path.
    public var heldCount: Int { mounted.withLock { $0.values.count { $0.lease.isHeld } } }

    /// The main instance of a cache that was looked into before, and how long its name may be remembered, in seconds. nil where that is not
    /// so any more, or cannot be told.
    ///
    /// A few calls of the disk.
    func known(encoded component: UnsafeRawBufferPointer) -> (tree: LiveTree, lifetime: Double)? {
        guard let name = CacheName(encoded: component), let known = mounted.withLock({ $0[name] }) else { return nil }
        // Before looking: who removes it after that makes the kernel forget.
        let isForgotten = known.neighbours?.isSeen ?? false && invalidation.isPossible
        guard let status = try? library.mainDirectory(of: name).descriptor.status(), known.identity == FileIdentity(status) else { return nil }
        return (known.tree, isForgotten ? .infinity : 1)
    }

    /// The main instance of the cache whose directory is called `component`; nil where there is none.
    func tree(encoded component: [UInt8]) throws(FSError) -> LiveTree? {
        guard let name = try told({ () throws(CacheError) in try library.name(encoded: component) }) else {
            retire { $0.encoded.utf8.elementsEqual(component) }
            return nil
        }
        return try tree(name)
    }

    /// Caches that have been removed: their nodes are stale from now on.
    private func retire(where isGone: (CacheName) -> Bool) {
        let past = mounted.withLock { mounted in
            let gone = mounted.filter { isGone($0.key) }
            for name in gone.keys { mounted[name] = nil }
            return gone.values.map { $0 }
        }
        for mounted in past { end(mounted) }
    }

    private func end(_ mounted: Mounted) {
        mounted.forgetting.end()
        live.remove(mounted.tree)
        mounted.lease.close()
    }

    /// - Throws: `.notFound` where there is no such cache.
    public func tree(_ name: CacheName) throws(FSError) -> LiveTree {
        let directory = try told { () throws(CacheError) in try library.mainDirectory(of: name) }
        guard let status = try? directory.descriptor.status() else { throw .io }
        let identity = FileIdentity(status)
        return try mounted.withLock { mounted throws(FSError) in
            if let present = mounted[name], present.identity == identity { return present.tree }
            if let past = mounted.removeValue(forKey: name) {
                end(past)
            }
            let forgetting = Forgetting(invalidation)
            let neighbours = try? watch?.watch(name) { forgetting.told($0) }
            let lease = PathLease(name, in: library, neighbours: neighbours)
            let gate = CacheGate(lease: lease, invalidation: invalidation, limit: changeLimit, log: log)
            let tree = try LiveTree(directory.descriptor, gate: gate, numbers: live.numbers, readAhead: readAhead)
            forgetting.begin(tree)
            live.add(tree)
            mounted[name] = Mounted(tree: tree, lease: lease, neighbours: neighbours, forgetting: forgetting, identity: identity)
            return tree
        }
    }

    func names() throws(FSError) -> [CacheName] { try told { () throws(CacheError) in try library.names() } }

    func removeEmpty(encoded component: [UInt8]) throws(FSError) {
        guard let name = try told({ () throws(CacheError) in try library.name(encoded: component) }) else { throw .notFound }
        let directory = try told { () throws(CacheError) in try library.mainDirectory(of: name) }
        guard let entries = try? directory.entries() else { throw .io }
        guard entries.isEmpty else { throw .system(ENOTEMPTY) }
        // What was just emptied by path is held by us for a moment yet.
        retire { $0 == name }
        try told { () throws(CacheError) in try library.remove(name) }
    }

    // MARK: - Leases

    func leases() throws(FSError) -> [LeaseRecord] {
        let leases = try told { () throws(CacheError) in try library.leases() }
        let tokens = Set(leases.map(\.token))
        let past = shown.withLock { shown in
            let past = shown.filter { !tokens.contains($0.key) }
            for token in past.keys { shown[token] = nil }
            return past.values
        }
        for tree in past { live.remove(tree) }
        return leases
    }

    func lease(_ token: String) throws(FSError) -> LeaseRecord? {
        try leases().first { $0.token == token }
    }

    /// What a holder sees, to be looked at only.
    func tree(of lease: LeaseRecord) throws(FSError) -> LiveTree {
        let directory = try told { () throws(CacheError) in try library.directory(of: lease) }
        return try shown.withLock { shown throws(FSError) in
            if let present = shown[lease.token] { return present }
            let tree = try LiveTree(directory.descriptor, gate: ShutGate(), numbers: live.numbers)
            live.add(tree)
            shown[lease.token] = tree
            return tree
        }
    }

    // MARK: - Errors

    /// What an error of the caches means to whoever asked by path. Logged here, because nobody above knows more.
    func told<Value>(_ body: () throws(CacheError) -> Value) throws(FSError) -> Value {
        do throws(CacheError) {
            return try body()
        } catch {
            throw FSError(error, log: log)
        }
    }
}

/// Told of every change of who uses a cache; makes the kernel forget where it may remember something.
fileprivate final class Forgetting: Sendable {
    private let invalidation: Invalidation
    private let tree = Mutex<LiveTree?>(nil)

    init(_ invalidation: Invalidation) { self.invalidation = invalidation }

    func begin(_ tree: LiveTree) { self.tree.withLock { $0 = tree } }
    /// The watch holds on to this as long as it runs, the tree needs not be held.
    func end() {
        guard let tree = tree.withLock({ $0.take() }) else { return }
        // A cache is removed by requests, too, and their threads must not wait for this.
        Task.detached { [invalidation] in
            for directory in tree.takeListedDirectories() { invalidation.listing(of: directory) }
        }
    }

    /// The root is always known, and nothing below it means that no name in the cache is remembered. The cache's own is, for as long as
    /// it is there.
    func told(_ neighbours: CacheWatch.Neighbours) {
        guard let tree = tree.withLock({ $0 }) else { return }
        tree.closeUnused()
        if tree.knownNodes > 1 || !neighbours.isSeen { invalidation.names() }
        for directory in tree.takeListedDirectories() { invalidation.listing(of: directory) }
    }
}

/// The lease of a cache as the gate of its tree.
struct CacheGate: LiveGate {
    let lease: PathLease
    let invalidation: Invalidation
    let limit: Duration
    let log: Logger

    func admit() -> Bool { lease.admit() }

    /// Bounded, because the kernel locks the directory for as long as a change in it waits: a listing of it, which needs no lease,
    /// would wait as well.
    func waitForAdmission() async throws(FSError) {
        let result = await withTaskGroup(of: Result<Void, FSError>.self) { group in
            group.addTask {
                do throws(CacheError) {
                    return .success(try await lease.waitForAdmission())
                } catch {
                    return .failure(FSError(error, log: log))
                }
            }
            group.addTask {
                try? await Task.sleep(for: limit)
                return .failure(Task.isCancelled ? .interrupted : .system(EBUSY))
            }
            defer { group.cancelAll() }
            return await group.next() ?? .failure(.interrupted)
        }
        if case .failure(.system(EBUSY)) = result {
            log.warning("a change waited too long for a cache that is held", metadata: ["cache": "\(lease.cache)", "limit": "\(limit)"])
        }
        try result.get()
    }

    func openedForWriting() { lease.openedForWriting() }
    func closedAfterWriting() { lease.closedAfterWriting() }

    /// A kernel that cannot be made to forget is told to remember little.
    var lifetime: Double {
        guard lease.isAlone else { return 0 }
        return invalidation.isPossible ? .infinity : 1
    }
}

/// Nobody may change the tree by this path, and others may at any time.
struct ShutGate: LiveGate {
    func admit() -> Bool { false }
    func waitForAdmission() async throws(FSError) { throw .readOnly }
    func openedForWriting() {}
    func closedAfterWriting() {}
    var lifetime: Double { 0 }
}

extension FSError {
    init(_ error: CacheError, log: Logger) {
        switch error {
        case .cancelled, .released: self = .interrupted
        case .missing, .unknownLease: self = .notFound
        case .exists: self = .system(EEXIST)
        case .inUse: self = .system(EBUSY)
        case .badName: self = .invalid
        case .store(.readOnly): self = .readOnly
        case .system(let error): self = .system(error.code)
        case .timedOut, .damaged, .store:
            log.error("cannot use a cache", metadata: ["reason": "\(error)"])
            self = .io
        }
    }
}
