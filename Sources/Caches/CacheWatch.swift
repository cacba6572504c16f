import Glibc
import LinuxIO
import Synchronization

/// Tells within milliseconds when somebody else begins or ends to hold the main instance of a cache, by watching the folders of the
/// records: no daemon is asked and none asks.
///
/// Where the kernel does not see what other hosts do (NFS and its like), somebody else is always there. Has a thread, which ends
/// with `close`.
public final class CacheWatch: Sendable {
    /// Whether others use the main instance of one cache in a way that lets them change it.
    public final class Neighbours: Sendable {
        public let cache: CacheName
        private let away = Atomic(false)
        private let seen = Atomic(false)
        private let place: CachePlace
        private let changed: @Sendable (Neighbours) -> Void

        fileprivate init(_ place: CachePlace, _ changed: @escaping @Sendable (Neighbours) -> Void) {
            cache = place.name
            self.place = place
            self.changed = changed
        }

        /// Hot: one atomic read.
        public var areAway: Bool { away.load(ordering: .acquiring) }

        /// Whether it will be told when the cache is removed or given another name. False also once that has happened.
        public var isSeen: Bool { seen.load(ordering: .acquiring) }

        fileprivate func begin() {
            // Before looking: what is not found then is told of.
            seen.store(true, ordering: .releasing)
            look()
        }

        fileprivate func tell() { changed(self) }

        /// Looks who is there. What cannot be told is taken for somebody.
        fileprivate func look() {
            let isSomebody = try? Holders(place.directory).living().contains { record in
                record.instance == CacheLayout.main && !record.readOnly && !OwnLeases.contains(record.token)
            }
            guard place.isCurrent else { return lostSight() }
            away.store(isSomebody == false, ordering: .releasing)
        }

        fileprivate func lostSight() {
            away.store(false, ordering: .releasing)
            seen.store(false, ordering: .releasing)
        }
    }

    private let library: CacheLibrary
    private let notifications: OwnedDescriptor
    private let stopRead: OwnedDescriptor
    private let stopWrite: OwnedDescriptor
    private let watched = Mutex<[Int32: [Neighbours]]>([:])
    private let thread = Mutex<DedicatedThread?>(nil)

    public init(_ library: CacheLibrary) throws(CacheError) {
        self.library = library
        let raw = inotify_init1(Int32(bitPattern: UInt32(IN_CLOEXEC) | UInt32(IN_NONBLOCK)))
        guard raw >= 0 else { throw .system(SystemError("inotify_init")) }
        notifications = OwnedDescriptor(owning: raw)
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw .system(SystemError("pipe")) }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        stopRead = OwnedDescriptor(owning: ends[0])
        stopWrite = OwnedDescriptor(owning: ends[1])
        let started = try inCache { () throws(SystemError) in try DedicatedThread.start("larder-watch") { [self] in run() } }
        thread.withLock { $0 = started }
    }

    /// Ends the thread. `changed` is not called any more when this returns.
    public func close() {
        guard let thread = thread.withLock({ thread in
            defer { thread = nil }
            return thread
        }) else { return }
        _ = Glibc.write(stopWrite.raw, "x", 1)
        thread.join()
        for neighbours in watched.withLock({ $0.values.flatMap { $0 } }) { neighbours.lostSight() }
    }

    /// Begins to watch a cache.
    ///
    /// - Parameter changed: called on the watch's thread each time that somebody else has begun or ended, also when he has already gone
    ///   again: what was known of the directory may be wrong since; and when the cache itself has gone. Must not call back into the watch.
    public func watch(_ cache: CacheName, changed: @escaping @Sendable (Neighbours) -> Void) throws(CacheError) -> Neighbours {
        let place = try library.place(of: cache)
        let neighbours = Neighbours(place, changed)
        guard place.directory.isLocal else { return neighbours }
        let holders = try inCache { () throws(SystemError) in try place.directory.directory(CacheLayout.holders) }
        try add(neighbours, holders, IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_CLOSE_WRITE)
        try add(neighbours, place.directory, IN_MOVE_SELF)
        // Whoever begins from now on is told of.
        neighbours.begin()
        return neighbours
    }

    /// By descriptor: the cache may be removed, and made again, meanwhile.
    private func add(_ neighbours: Neighbours, _ folder: Directory, _ events: Int32) throws(CacheError) {
        try watched.withLock { watched throws(CacheError) in
            let watch = inotify_add_watch(notifications.raw, "/proc/self/fd/\(folder.descriptor.raw)", UInt32(events | IN_ONLYDIR))
            guard watch >= 0 else { throw .system(SystemError("inotify_add_watch", path: folder.path)) }
            watched[watch, default: []].append(neighbours)
        }
    }

    // MARK: the thread

    private static let notice = MemoryLayout<inotify_event>.size

    private func run() {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 8)
        defer { buffer.deallocate() }
        // The kernel tells of a closed record before it drops the lock on it; so a close is looked after once more, and then again.
        var again: [(neighbours: Neighbours, at: Moment)] = []
        while true {
            let pause = again.map { Moment.now.duration(until: $0.at).nanoseconds / 1_000_000 + 1 }.min() ?? -1
            var polled = [
                pollfd(fd: notifications.raw, events: Int16(POLLIN), revents: 0), pollfd(fd: stopRead.raw, events: Int16(POLLIN), revents: 0),
            ]
            _ = poll(&polled, 2, again.isEmpty ? -1 : Int32(clamping: max(0, pause)))
            if polled[1].revents != 0 { return }
            let count = read(notifications.raw, buffer.baseAddress, buffer.count)
            if count > 0 {
                let seen = Self.parse(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
                for (neighbours, wasClosed) in told(seen) {
                    neighbours.look()
                    neighbours.tell()
                    if wasClosed {
                        let now = Moment.now.milliseconds
                        again += [5, 50, 500].map { (neighbours, Moment(milliseconds: now + $0)) }
                    }
                }
            }
            let now = Moment.now
            for (neighbours, _) in again.filter({ $0.at <= now }) {
                let before = neighbours.areAway
                neighbours.look()
                if neighbours.areAway != before { neighbours.tell() }
            }
            // A clock that was set back must not keep them for ever.
            again.removeAll { $0.at <= now || now.duration(until: $0.at) > .seconds(1) }
        }
    }

    private struct Notice {
        let watch: Int32
        let mask: UInt32
        let token: String
    }

    private static func parse(_ bytes: UnsafeRawBufferPointer) -> [Notice] {
        var found: [Notice] = []
        var position = 0
        while position + notice <= bytes.count {
            let event = bytes.loadUnaligned(fromByteOffset: position, as: inotify_event.self)
            let end = min(position + notice + Int(event.len), bytes.count)
            let name = String(decoding: bytes[(position + notice)..<end].prefix { $0 != 0 }, as: UTF8.self)
            found.append(Notice(watch: event.wd, mask: event.mask, token: token(of: name)))
            position = end
        }
        return found
    }

    /// `TOKEN.json`, `TOKEN.resting`, or `.TOKEN` before it is published.
    private static func token(of name: String) -> String {
        if name.hasPrefix(".") { return String(name.dropFirst()) }
        return String(name.prefix { $0 != "." })
    }

    /// Whom the events are about: each once, without those about this process's own leases.
    private func told(_ seen: [Notice]) -> [(Neighbours, wasClosed: Bool)] {
        var closed: [Int32: Bool] = [:]
        var removed: [Neighbours] = []
        watched.withLock { watched in
            for notice in seen {
                if notice.mask & UInt32(IN_Q_OVERFLOW) != 0 {
                    for watch in watched.keys { closed[watch] = true }
                } else if notice.mask & UInt32(IN_IGNORED | IN_MOVE_SELF) != 0 {
                    removed += watched.removeValue(forKey: notice.watch) ?? []
                } else if !OwnLeases.contains(notice.token) {
                    closed[notice.watch] = closed[notice.watch] ?? false || notice.mask & UInt32(IN_CLOSE_WRITE) != 0
                }
            }
        }
        // The cache was removed, or the first step to that was taken: nobody will be told of under its name.
        for neighbours in removed { neighbours.lostSight() }
        return removed.map { ($0, false) }
            + watched.withLock { watched in closed.flatMap { watch, wasClosed in (watched[watch] ?? []).map { ($0, wasClosed) } } }
    }
}
