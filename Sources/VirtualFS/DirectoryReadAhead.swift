import CLinux
import Glibc
import LinuxIO
import Synchronization

/// Reads directories into memory ahead of whoever walks a tree that is only on the disk.
///
/// A walk reads one directory after the other, and waits for the disk each time. Once a listing had to wait, the directories that it
/// names are read by a thread of our own. Each listing that is asked for lets a few more be read; so `ls` costs little, and a walk keeps
/// ahead of itself. It changes nothing, not even the time of the last access, and no answer waits for it.
public final class DirectoryReadAhead: Sendable {
    /// Bytes of names that are read of one directory.
    private static let readLimit = 1 << 18
    /// Nanoseconds for which what had to wait for the disk says that others will.
    private static let memory: UInt64 = 100_000_000

    private struct State {
        var wanted = WantedDirectories<LiveFile>()
        var thread: DedicatedThread?
        var isClosed = false
    }

    private let state = Monitor(State())
    /// When somebody last waited for the disk.
    private let lastWait = Atomic<UInt64>(0)

    public init() {}

    /// Ends the thread.
    public func close() {
        let thread = state.update { state in
            state.isClosed = true
            state.wanted = WantedDirectories()
            return state.thread.take()
        }
        thread?.join()
    }

    /// Somebody had to wait for the disk, so the next one will, too.
    func waited() { lastWait.store(CoarseClock.nanoseconds, ordering: .relaxed) }

    /// Whether the directories of a listing that is now being read are worth naming. `watch` began before it was.
    func isWanted(_ watch: DiskWatch) -> Bool {
        if watch.hasWaited { waited() }
        return CoarseClock.nanoseconds &- lastWait.load(ordering: .relaxed) < Self.memory
    }

    /// A listing of `directory` was asked for that names these directories.
    func listed(_ directory: LiveFile, _ names: [[UInt8]]) {
        state.update { state in
            guard !state.isClosed else { return }
            state.wanted.add(names, in: directory)
            if state.thread == nil && state.wanted.hasNext { state.thread = try? .start("larder-ahead") { self.run() } }
        }
    }

    /// Nothing is left that may be read now.
    var isIdle: Bool { state.read { !$0.wanted.hasNext } }

    private func run() {
        while true {
            let isClosed = state.wait { $0.isClosed ? true : $0.wanted.hasNext ? false : nil }
            guard !isClosed else { return }
            guard let (directory, name) = state.update({ $0.wanted.next() }) else { continue }
            defer { extendLifetime(directory) }
            let watch = DiskWatch()
            Self.read(name, in: directory.raw)
            if watch.hasWaited { waited() }
        }
    }

    /// What cannot be read is nobody's loss: whoever asks for it is told.
    private static func read(_ name: [UInt8], in parent: Int32) {
        let opened = name.withUnsafeBytes { name in
            try? LiveTree.withComponent(name) { component throws(FSError) in
                try LiveTree.check(larder_open_component(parent, component, O_RDONLY | O_DIRECTORY | O_NONBLOCK | larder_o_noatime, 0))
            }
        }
        guard let opened else { return }
        let directory = OwnedDescriptor(owning: opened)
        withUnsafeTemporaryAllocation(byteCount: 1 << 15, alignment: 8) { buffer in
            var total = 0
            while total < readLimit {
                let count = larder_read_names(directory.raw, buffer.baseAddress, buffer.count)
                guard count > 0 else { return }
                total += count
            }
        }
    }
}

/// Names of directories, and how many may be taken: those of the newest listing first, in their order, which is how walks go.
struct WantedDirectories<Directory> {
    /// Directories that a listing lets be taken, and the most there may be at once.
    static var share: Int { 16 }
    static var shareLimit: Int { 64 }
    /// Listings whose directories are remembered.
    static var listingLimit: Int { 16 }

    private var listings: [(directory: Directory, names: ArraySlice<[UInt8]>)] = []
    private var share = 0

    var hasNext: Bool { share > 0 && !listings.isEmpty }

    mutating func add(_ names: [[UInt8]], in directory: Directory) {
        share = min(share + Self.share, Self.shareLimit)
        guard !names.isEmpty else { return }
        if listings.count == Self.listingLimit { listings.removeFirst() }
        listings.append((directory, names[...]))
    }

    mutating func next() -> (Directory, [UInt8])? {
        guard hasNext, let listing = listings.popLast() else { return nil }
        if listing.names.count > 1 { listings.append((listing.directory, listing.names.dropFirst())) }
        share -= 1
        return listing.names.first.map { (listing.directory, $0) }
    }
}
