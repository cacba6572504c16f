import CLinux
import Glibc
import VirtualFS

/// The answer to READDIR or READDIRPLUS, built in place: `fuse_dirent` or `fuse_direntplus` records of linux/fuse.h,
/// each padded to 8 bytes.
struct DirectoryReply {
    private let buffer: UnsafeMutableRawBufferPointer
    private let hasEntries: Bool
    private var used = 0

    /// libfuse's high-level API says this too where a node id is not known; 0 would mean "deleted".
    private static let unknownNode: UInt64 = 0xffff_ffff
    /// Offsets 1 and 2 belong to `.` and `..`, the filesystem's own begin behind.
    private static let dots: UInt64 = 2

    /// `hasEntries` is READDIRPLUS.
    init(_ buffer: UnsafeMutableRawBufferPointer, hasEntries: Bool) {
        self.buffer = buffer
        self.hasEntries = hasEntries
    }

    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(buffer.prefix(used)) }

    /// Where the filesystem begins for an offset of the kernel's.
    static func position(_ offset: UInt64) -> UInt64 { offset > dots ? offset - dots : 0 }

    /// How many entries fit however long their names are, beside `.` and `..`.
    static func leastCount(size: Int, hasEntries: Bool) -> Int {
        max(1, size / recordSize(nameLength: Int(NAME_MAX), hasEntries: hasEntries) - Int(dots))
    }

    mutating func fill(from offset: UInt64, of node: NodeID, on mount: borrowing FuseConnection) throws(FSError) -> Answer<ListingUse> {
        guard appendDots(from: offset, of: node) else { return .ready(.again) }
        return try mount.fileSystem.readDirectory(node, from: Self.position(offset), wantsEntries: hasEntries) { name, entry, next in
            append(name, entry, number: mount.number(entry.attributes.node), next: next &+ Self.dots)
        }
    }

    mutating func fill(with part: ListingPart, from offset: UInt64, of node: NodeID, on mount: borrowing FuseConnection) {
        guard appendDots(from: offset, of: node) else { return }
        for item in part.items {
            let number = mount.number(item.entry.attributes.node)
            guard item.name.withUnsafeBytes({ append($0, item.entry, number: number, next: item.next &+ Self.dots) }) else { return }
        }
    }

    private mutating func appendDots(from offset: UInt64, of node: NodeID) -> Bool {
        (offset >= 1 || appendDot(1, node.rawValue)) && (offset >= 2 || appendDot(2, Self.unknownNode))
    }

    /// False where the record does not fit: it is then not part of the answer, and no lookup of it is counted.
    mutating func append(_ name: UnsafeRawBufferPointer, _ entry: Entry, number: UInt64, next: UInt64) -> Bool {
        // One name that the kernel refuses would make the whole directory unreadable.
        guard 1...Int(NAME_MAX) ~= name.count, !name.contains(UInt8(ascii: "/")) else { return true }
        guard let place = reserve(nameLength: name.count) else { return false }
        if hasEntries { write(larder_fuse_entry_out(entry, number: number), at: place) }
        write(name, at: place, inode: entry.attributes.inode, mode: entry.attributes.mode, next: next)
        return true
    }

    /// The kernel neither links nor counts `.` and `..`, so their entry stays empty.
    private mutating func appendDot(_ count: Int, _ node: UInt64) -> Bool {
        guard let place = reserve(nameLength: count) else { return false }
        if hasEntries { write(larder_fuse_entry_out(), at: place) }
        withUnsafeBytes(of: (UInt8(ascii: "."), UInt8(ascii: "."))) {
            write(UnsafeRawBufferPointer(rebasing: $0.prefix(count)), at: place, inode: node, mode: S_IFDIR, next: UInt64(count))
        }
        return true
    }

    private static func headerSize(hasEntries: Bool) -> Int {
        (hasEntries ? MemoryLayout<larder_fuse_entry_out>.size : 0) + MemoryLayout<larder_fuse_dirent>.size
    }

    private static func recordSize(nameLength: Int, hasEntries: Bool) -> Int { (headerSize(hasEntries: hasEntries) + nameLength + 7) & ~7 }

    private mutating func reserve(nameLength: Int) -> Int? {
        let size = Self.recordSize(nameLength: nameLength, hasEntries: hasEntries)
        guard size <= buffer.count - used else { return nil }
        defer { used += size }
        return used
    }

    private func write(_ entry: larder_fuse_entry_out, at place: Int) {
        buffer.storeBytes(of: entry, toByteOffset: place, as: larder_fuse_entry_out.self)
    }

    private func write(_ name: UnsafeRawBufferPointer, at place: Int, inode: UInt64, mode: UInt32, next: UInt64) {
        let nameStart = place + Self.headerSize(hasEntries: hasEntries)
        let record = larder_fuse_dirent(ino: inode, off: next, namelen: UInt32(name.count), type: (mode & S_IFMT) >> 12)
        buffer.storeBytes(of: record, toByteOffset: nameStart - MemoryLayout<larder_fuse_dirent>.size, as: larder_fuse_dirent.self)
        UnsafeMutableRawBufferPointer(rebasing: buffer[nameStart..<used]).initializeMemory(as: UInt8.self, repeating: 0)
        UnsafeMutableRawBufferPointer(rebasing: buffer[nameStart..<nameStart + name.count]).copyMemory(from: name)
    }
}
