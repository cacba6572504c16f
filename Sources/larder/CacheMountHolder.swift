import Caches
import FoundationEssentials
import FuseBridge
import Glibc
import LinuxIO
import Synchronization

/// The process behind `larder mount cache:ID DIR`: acquires the lease, mounts the instance's own directory, and gives the
/// lease back when the mount has gone, whoever took it off.
///
/// Data never passes through it. If it is killed, the mount stays and the lease does not: the instance counts as unclean, and
/// the next `larder mount` on the directory, or `larder umount`, takes the mount over.
struct CacheMountHolder: Sendable {
    let library: CacheLibrary
    let cache: CacheName
    let sharing: Sharing?
    let isReadOnly: Bool
    let timeout: Duration?
    /// Asked for on the command line.
    let uid: UInt32?
    let gid: UInt32?
    let attributes: DetachedMount.Attributes
    /// Without symlinks.
    let path: String
    /// Called when the mount can be used.
    let onReady: @Sendable (Lease) -> Void

    /// Returns when the mount has gone and the lease is released.
    func hold() async throws {
        try requireFreePlace()
        let ending = Ending()
        try SignalThread.start([SIGTERM, SIGINT]) { _ in ending.begin(path) }
        try Readiness.watch { ending.begin(path) }

        try library.openOrCreate(cache, newSettings)
        let waiting = Task { [library, cache, sharing, isReadOnly, timeout] in
            try await library.acquire([LeaseRequest(cache, sharing, readOnly: isReadOnly)], timeout: timeout) { Readiness.say($0.description) }
        }
        ending.whileWaiting(waiting)
        let leases = try await waiting.value
        do {
            guard let lease = leases[cache] else { throw CacheError.missing(cache) }
            try recover(lease)
            let id = try mount(lease)
            if ending.mounted(id) { ending.unmount(id, path) }
            onReady(lease)
            try await Self.untilGone(id)
        } catch {
            try? leases.release()
            throw error
        }
        try leases.release()
    }

    /// A cache that is made by being mounted belongs to whom it is mounted for.
    private var newSettings: CacheSettings {
        var settings = CacheLibrary.defaultSettings(of: cache)
        if uid != nil || gid != nil { settings.owner = CacheOwner(uid: uid ?? geteuid(), gid: gid ?? getegid()) }
        return settings
    }

    /// What a killed holder, or a killed daemon, has left there is taken off. A mount that somebody holds is not.
    private func requireFreePlace() throws {
        while let mount = try CacheMount(at: path) {
            if let there = try mount.cache(in: library), let holder = try CacheMount.holders(of: there, at: path, in: library).first {
                throw Failure(.inUse, "\(path): cache '\(there)' is mounted there already by process \(holder.pid)")
            }
            try FuseMounts.unmount(path, lazily: true)
        }
        var disk = statvfs()
        while try FuseMounts.paths(ofType: "fuse.larder").contains(path), statvfs(path, &disk) != 0, errno == ENOTCONN {
            try FuseMounts.unmount(path, lazily: true)
        }
        let status = try OwnedDescriptor.open(path, O_RDONLY | O_DIRECTORY).status()
        guard status.st_mode & S_IFMT == S_IFDIR else { throw Failure(.failed, "\(path): not a directory") }
    }

    private func mount(_ lease: Lease) throws -> Int {
        let mount = try DetachedMount(of: lease.directory)
        var attributes = attributes
        if isReadOnly { attributes.insert(.readOnly) }
        if let view = try ownerView(lease) {
            do throws(SystemError) {
                try mount.show(view)
            } catch {
                throw Failure(.failed, "cache '\(cache)' cannot be shown as another user's (\(error)): its disk has no id-mapped mounts; leave uid= and gid= out, or keep the store on ext4, xfs or btrfs")
            }
        }
        if !attributes.isEmpty { try mount.set(attributes) }
        let id = mount.id
        try mount.attach(at: path)
        return id
    }

    /// nil where the files are shown as whose they are.
    private func ownerView(_ lease: Lease) throws -> OwnerView? {
        let disk = try lease.directory.descriptor.status()
        let uid = uid ?? lease.settings.policy.ownerView?.uid ?? disk.st_uid
        let gid = gid ?? lease.settings.policy.ownerView?.gid ?? disk.st_gid
        guard uid != disk.st_uid || gid != disk.st_gid else { return nil }
        return try OwnerView(uid: disk.st_uid, gid: disk.st_gid, as: uid, gid)
    }

    /// Checks what a crash has left, where the cache's preset knows how.
    private func recover(_ lease: Lease) throws {
        let id = cache.text.split(separator: "/").last.map(String.init) ?? cache.text
        let tool = lease.settings.preset == nil ? nil : Preset.owning(cache: id)
        try lease.recover(as: tool, environment: ProcessInfo.processInfo.environment, say: Readiness.say)
    }

    /// Waits on a thread of its own for the kernel to say that the mount has gone.
    private static func untilGone(_ id: Int) async throws {
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
            do {
                try DedicatedThread.start("larder-mount") {
                    continuation.resume(
                        with: Result {
                            let table = try MountTable()
                            // An id can be given again, but hardly to the same directory.
                            guard let root = try table.all().first(where: { $0.id == id })?.root else { return }
                            while try table.all().contains(where: { $0.id == id && $0.root == root }) { _ = table.waitForChange() }
                        })
                }
            } catch {
                continuation.resume(throwing: error)
            }
        }
    }
}

/// What a signal means at each point of a holder's life: waiting ends, or the mount is taken off.
private final class Ending: Sendable {
    private struct State {
        var isWanted = false
        var mount: Int?
        var waiting: Task<LeaseSet, any Error>?
    }

    private let state = Mutex(State())

    func whileWaiting(_ task: Task<LeaseSet, any Error>) {
        let isLate = state.withLock { state in
            state.waiting = task
            return state.isWanted
        }
        if isLate { task.cancel() }
    }

    /// - Returns: whether it is to be taken off at once.
    func mounted(_ id: Int) -> Bool {
        state.withLock { state in
            state.mount = id
            return state.isWanted
        }
    }

    /// May block: for threads of our own.
    func begin(_ path: String) {
        let (task, mount) = state.withLock { state in
            state.isWanted = true
            return (state.waiting, state.mount)
        }
        task?.cancel()
        if let mount { unmount(mount, path) }
    }

    /// Tries until nobody uses it any more: to let others have the cache before would be no lease. The end of the process,
    /// once the mount has gone, ends this too.
    func unmount(_ id: Int, _ path: String) {
        var isFirst = true
        while let mount = try? CacheMount(at: path), mount.id == id {
            do {
                try FuseMounts.unmount(path, lazily: false)
            } catch {
                if isFirst { Terminal.error("larder: \(error); trying until it can be taken off") }
                isFirst = false
                usleep(300_000)
            }
        }
    }
}
