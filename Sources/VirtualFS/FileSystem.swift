import Glibc
import LinuxIO

/// A filesystem as `FuseBridge` sees it: typed operations on node ids, errors as `FSError`, no kernel structures.
///
/// **Hot and cold.** An operation answers from memory (`.ready`) or says `.cold`, which means: the answer needs the
/// network, a long computation or a wait. The caller then runs the operation's `cold...` twin in a task of its own, with
/// copies of the arguments, and replies when that ends. Hot operations never block, and a `cold...` twin honours
/// cancellation (an interrupted system call) by throwing `.interrupted`.
///
/// **Borrowed memory.** A name or buffer passed in is valid during the call only.
public protocol FileSystem: ChangingOperations {
    /// The node at the mount point.
    var root: NodeID { get }

    func lookup(_ parent: NodeID, _ name: UnsafeRawBufferPointer) throws(FSError) -> Answer<Entry>
    func coldLookup(_ parent: NodeID, _ name: [UInt8]) async throws(FSError) -> Entry

    /// Takes back `count` lookups that `lookup` and `readDirectory` entries have counted.
    func forget(_ node: NodeID, count: UInt64)

    func attributes(_ node: NodeID) throws(FSError) -> Answer<Entry>
    func coldAttributes(_ node: NodeID) async throws(FSError) -> Entry

    /// Copies the target into `buffer` and returns its length in bytes; `.invalid` where it is no symlink.
    func readLink(_ node: NodeID, into buffer: UnsafeMutableRawBufferPointer) throws(FSError) -> Answer<Int>
    func coldReadLink(_ node: NodeID) async throws(FSError) -> [UInt8]

    /// `flags` are open(2)'s. A filesystem that only reads answers `.readOnly` to any that would write; elsewhere such an open
    /// comes after `admitChange`. O_TRUNC is to be done here.
    func open(_ node: NodeID, flags: Int32) throws(FSError) -> Answer<OpenedFile>
    func coldOpen(_ node: NodeID, flags: Int32) async throws(FSError) -> OpenedFile

    /// Hands `body` a descriptor with the whole content of a file that `open` called `complete`, for kernel passthrough; it is
    /// valid until `body` returns. Returns what `body` does, nil where the content has gone meanwhile.
    func withBacking(_ node: NodeID, _ body: (Int32) -> Int32) throws(FSError) -> Int32?

    /// Opens a file for reading as it was read before, because `OpenedFile.stays` allowed it: as `open`, but nothing is opened below.
    /// `isBacked`: the kernel has kept what `withBacking` gave; otherwise it has pages of the file. nil where these may be outdated.
    func reopen(_ node: NodeID, isBacked: Bool) throws(FSError) -> OpenedFile?

    /// Fills `buffer` from `offset`; a count short of the buffer means the end of the file.
    func read(_ node: NodeID, handle: UInt64, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(FSError) -> Answer<Int>
    func coldRead(_ node: NodeID, handle: UInt64, at offset: UInt64, count: Int) async throws(FSError) -> [UInt8]

    func release(_ node: NodeID, handle: UInt64)

    /// Calls `emit` with name, entry and the offset of the *next* entry, until it answers false or the directory ends.
    /// `.` and `..` are not emitted. `wantsEntries` false means that only names, types and node ids of the entries are used and
    /// that no lookups are counted. `.cold` comes before the first call of `emit`.
    ///
    /// Nobody opens a directory: `offset` is 0 or a value that was emitted at any time, whoever lists. Where nothing is emitted,
    /// the directory ends, and the answer says what the kernel may do with what it has gathered.
    func readDirectory(
        _ node: NodeID, from offset: UInt64, wantsEntries: Bool, emit: (UnsafeRawBufferPointer, Entry, UInt64) -> Bool
    ) throws(FSError) -> Answer<ListingUse>
    /// At most `limit` entries.
    func coldReadDirectory(_ node: NodeID, from offset: UInt64, wantsEntries: Bool, limit: Int) async throws(FSError) -> ListingPart

    /// Copies the value into `buffer` and returns its length. With an empty buffer only the length is asked.
    /// `.range` where the buffer is too small, `.noAttribute` where there is none.
    func attribute(_ node: NodeID, _ name: UnsafeRawBufferPointer, into buffer: UnsafeMutableRawBufferPointer) throws(FSError) -> Int
    /// Copies all names, each with a closing NUL; otherwise as `attribute`.
    func attributeNames(_ node: NodeID, into buffer: UnsafeMutableRawBufferPointer) throws(FSError) -> Int

    func statistics() -> FSStatistics
}

extension FileSystem {
    /// What `readDirectory` emits, at most `limit` entries; nil where it is cold.
    func collectedDirectory(_ node: NodeID, from offset: UInt64, wantsEntries: Bool, limit: Int) throws(FSError) -> ListingPart? {
        var items: [ListingPart.Item] = []
        let answer = try readDirectory(node, from: offset, wantsEntries: wantsEntries) { name, entry, next in
            guard items.count < limit else { return false }
            items.append(ListingPart.Item(name: [UInt8](name), entry: entry, next: next))
            return true
        }
        guard case .ready(let use) = answer else { return nil }
        return ListingPart(items: items, use: use)
    }
}

/// Answered from memory, or to be asked again on the cold side.
public enum Answer<Value> {
    case ready(Value)
    case cold
}

/// A node, by 64 bits that never mean another file.
///
/// Of an immutable tree: (tree serial, ordinal). Serials are handed out once by the store and never reused, so the id needs no
/// generation number and FORGET has nothing to free. Of a live tree (a cache's directory): bit 63 is set, and the rest is a
/// number that `LiveTree` gives to the object for as long as the kernel knows it, and to nothing else afterwards.
public struct NodeID: Hashable, Sendable, RawRepresentable {
    public let rawValue: UInt64

    @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }
    @inlinable public init(serial: UInt32, ordinal: UInt32) { rawValue = UInt64(serial) << 32 | UInt64(ordinal) }

    @inlinable public var serial: UInt32 { UInt32(truncatingIfNeeded: rawValue >> 32) }
    @inlinable public var ordinal: UInt32 { UInt32(truncatingIfNeeded: rawValue) }

    /// A node of a live tree.
    @inlinable public var isLive: Bool { rawValue >> 63 == 1 }
}

/// What stat(2) shows. A trivial value: it crosses the hot path by copy.
public struct Attributes: Sendable {
    public var node: NodeID
    /// `st_ino`: the node's number for an immutable tree, that of the file below for a live one.
    public var inode: UInt64
    /// Type and permission bits, as in `st_mode`.
    public var mode: UInt32
    public var linkCount: UInt32
    public var uid: UInt32
    public var gid: UInt32
    public var deviceMajor: UInt32
    public var deviceMinor: UInt32
    /// Bytes.
    public var size: UInt64
    /// Units of 512 bytes that are really in the store.
    public var blocks: UInt64
    public var modifiedSeconds: Int64
    public var modifiedNanoseconds: UInt32
    /// An image records one time, so these equal `modified` there and nothing seems newer than it is.
    public var accessedSeconds: Int64
    public var accessedNanoseconds: UInt32
    public var changedSeconds: Int64
    public var changedNanoseconds: UInt32

    public init(
        node: NodeID, mode: UInt32, linkCount: UInt32 = 1, uid: UInt32 = 0, gid: UInt32 = 0, deviceMajor: UInt32 = 0,
        deviceMinor: UInt32 = 0, size: UInt64 = 0, blocks: UInt64 = 0, modifiedSeconds: Int64 = 0, modifiedNanoseconds: UInt32 = 0
    ) {
        self.node = node
        self.mode = mode
        self.linkCount = linkCount
        self.uid = uid
        self.gid = gid
        self.deviceMajor = deviceMajor
        self.deviceMinor = deviceMinor
        self.size = size
        self.blocks = blocks
        self.modifiedSeconds = modifiedSeconds
        self.modifiedNanoseconds = modifiedNanoseconds
        inode = node.rawValue
        accessedSeconds = modifiedSeconds
        accessedNanoseconds = modifiedNanoseconds
        changedSeconds = modifiedSeconds
        changedNanoseconds = modifiedNanoseconds
    }
}

/// A found name, or a remembered absence, and for how many seconds the kernel may believe it.
public struct Entry: Sendable {
    public var attributes: Attributes
    /// Seconds the name may be cached; `.infinity` for immutable trees.
    public var nameLifetime: Double
    /// Seconds the attributes may be cached.
    public var attributeLifetime: Double

    public init(_ attributes: Attributes, nameLifetime: Double, attributeLifetime: Double) {
        self.attributes = attributes
        self.nameLifetime = nameLifetime
        self.attributeLifetime = attributeLifetime
    }

    /// "There is no such name", which the kernel may cache too: package managers probe many absent names.
    public static func absent(lifetime: Double) -> Entry {
        Entry(Attributes(node: NodeID(rawValue: 0), mode: 0), nameLifetime: lifetime, attributeLifetime: 0)
    }

    public var isAbsent: Bool { attributes.node.rawValue == 0 }
}

public struct OpenedFile: Sendable {
    public enum Caching: Sendable {
        /// The page cache of an earlier open still holds.
        case keep
        /// It holds unless the kernel has read and written below by itself since.
        case keepUnlessBacked
        /// Others may have changed the content since: the page cache starts empty.
        case fresh
        /// Content has no fixed size or changes with every open (`metrics`): every read comes to us.
        case direct
    }

    public var handle: UInt64
    public var caching: Caching
    /// The whole content is one local file, so `withBacking` can hand it to the kernel, for writing too where it was opened so.
    public var complete: Bool

    /// After the last close what `withBacking` gave may stay open, or pages be kept, until the kernel is told to forget names. False for
    /// an open that writes: what changes is closed when it is closed.
    public var stays: Bool

    public init(handle: UInt64 = 0, caching: Caching, complete: Bool = false, stays: Bool = false) {
        self.handle = handle
        self.caching = caching
        self.complete = complete
        self.stays = stays
    }
}

/// What the kernel may do with a listing that it has gathered.
public enum ListingUse: Sendable {
    /// Answer with it from now on: it changes by the kernel's own doing alone, or it will be told.
    case again
    /// Nothing: it may change at any time.
    case once
}

/// A part of a directory, as `readDirectory` would emit it.
public struct ListingPart: Sendable {
    public struct Item: Sendable {
        public var name: [UInt8]
        public var entry: Entry
        /// The offset of the next one.
        public var next: UInt64
    }

    public var items: [Item]
    public var use: ListingUse
}

/// What statvfs(3) shows, in blocks of `blockSize` bytes.
public struct FSStatistics: Sendable {
    public var blockSize: UInt64
    public var blocks: UInt64
    public var blocksFree: UInt64
    public var blocksAvailable: UInt64
    public var files: UInt64
    public var filesFree: UInt64

    public init(blockSize: UInt64, blocks: UInt64, blocksFree: UInt64, blocksAvailable: UInt64, files: UInt64, filesFree: UInt64) {
        self.blockSize = blockSize
        self.blocks = blocks
        self.blocksFree = blocksFree
        self.blocksAvailable = blocksAvailable
        self.files = files
        self.filesFree = filesFree
    }

    public init(_ disk: statvfs) {
        self.init(
            blockSize: UInt64(disk.f_frsize), blocks: UInt64(disk.f_blocks), blocksFree: UInt64(disk.f_bfree),
            blocksAvailable: UInt64(disk.f_bavail), files: UInt64(disk.f_files), filesFree: UInt64(disk.f_ffree))
    }
}
