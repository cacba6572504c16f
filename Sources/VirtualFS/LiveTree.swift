import CLinux
import Glibc
import LinuxIO

/// A real directory shown through FUSE and changed through it, with the meaning and the errors of the disk below.
///
/// **Addressing.** The kernel names objects by node id, whatever their names have become. With the rights for it (root) a
/// node is its file handle, and is opened by that. Otherwise it is the place where it was seen last, opened from its parent
/// and compared with what it must be. Neither needs a descriptor for each node: `directories`, `files` and `recent` are caches.
///
/// **Confinement.** An operation names one component in an open directory; no link is followed and no mount crossed.
///
/// **Threads.** All of it may be called from any thread at once. Operations wait for the disk at most.
public final class LiveTree: FileSystem {
    public let root: NodeID
    let number: UInt64
    private let numbers: LiveNumbers
    let nodes: LiveNodes
    let gate: any LiveGate
    let habit: ListingHabit
    let readAhead: DirectoryReadAhead?
    let rootFile: LiveFile
    let directories: LiveDescriptors
    let files: LiveDescriptors
    /// Descriptors of what nobody has open are kept below this number: half of all that there may be.
    let keptBelow: Int32
    /// Of files that the kernel has open itself to write to: a few, for what it asks about one that was just made.
    let recent: LiveDescriptors
    /// What statx(2) calls the mount that the directory is on: a name that leads to another is not entered.
    let mount: UInt64
    /// Objects are opened by handle, and made in their callers' names.
    let isPrivileged: Bool

    public struct Options: Sendable {
        /// Directory descriptors to keep for speed.
        public var directories = 128
        /// File descriptors to keep of what is open and what was open for reading.
        public var files = 1024
        /// File descriptors to keep of what the kernel has open itself for writing.
        public var recent = 64
        /// False addresses by path even where handles could be used.
        public var usesHandles = true
        /// False gives attributes with every listing, whether anybody looks at them or not.
        public var learnsListings = true

        public init() {}
    }

    /// `directory` is an open directory (not O_PATH) that becomes the root of the tree.
    public init(
        _ directory: borrowing OwnedDescriptor, gate: any LiveGate, numbers: LiveNumbers, readAhead: DirectoryReadAhead? = nil,
        options: Options = Options()
    ) throws(FSError) {
        let raw = openat(directory.raw, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard raw >= 0 else { throw .system(errno) }
        rootFile = LiveFile(OwnedDescriptor(owning: raw), canRead: true)
        var object = larder_object()
        var handle = larder_handle()
        var hasHandles = options.usesHandles && larder_is_privileged() != 0
            && larder_look_with_handle(raw, "", &object, &handle) == 0
        if hasHandles {
            let opened = larder_open_handle(raw, &handle, larder_o_path | O_DIRECTORY)
            if opened >= 0 { close(opened) } else { hasHandles = false }
        }
        if !hasHandles {
            let code = larder_look(raw, "", &object)
            guard code == 0 else { throw .system(-code) }
        }
        mount = object.mount
        isPrivileged = hasHandles
        number = try numbers.takeTree()
        self.numbers = numbers
        directories = LiveDescriptors(capacity: options.directories)
        nodes = LiveNodes(numbers: numbers, tree: number, directories: directories)
        // One lookup that nobody takes back.
        root = nodes.remember(hasHandles ? LiveIdentity(handle) : LiveIdentity(object))
        self.gate = gate
        self.readAhead = readAhead
        habit = ListingHabit(learns: options.learnsListings)
        recent = LiveDescriptors(capacity: options.recent)
        keptBelow = Int32(Self.descriptorLimit / 2)
        // Without passthrough every open file is served by us, and may be one that could not be opened again.
        files = LiveDescriptors(capacity: hasHandles ? options.files : max(options.files, Self.descriptorLimit / 2))
    }

    deinit { numbers.giveBack(tree: number) }

    /// Nodes that the kernel knows, the root among them.
    public var knownNodes: Int { nodes.count }
    /// Bytes of memory for them.
    public var footprint: Int { nodes.footprint }

    private static var descriptorLimit: Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 1024 }
        return Int(min(limit.rlim_cur, 1 << 16))
    }

    // MARK: - Admission

    public func admitChange(_ node: NodeID) throws(FSError) -> Answer<Void> { gate.admit() ? .ready(()) : .cold }
    public func coldAdmitChange(_ node: NodeID) async throws(FSError) { try await gate.waitForAdmission() }

    /// Whether the node's id is of this tree; if not, a rename or link with it crosses filesystems.
    func requireOwn(_ node: NodeID) throws(FSError) {
        guard node.isLive, LiveNumbers.tree(of: node) == number else { throw .system(EXDEV) }
    }

    public func statistics() -> FSStatistics {
        var status = statvfs()
        guard fstatvfs(rootFile.raw, &status) == 0 else {
            return FSStatistics(blockSize: 4096, blocks: 0, blocksFree: 0, blocksAvailable: 0, files: 0, filesFree: 0)
        }
        return FSStatistics(status)
    }
}
