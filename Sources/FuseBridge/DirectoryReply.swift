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

    mutating func fill(
        from offset: UInt64, of node: NodeID, handle: UInt64, on mount: borrowing FuseConnection
    ) throws(FSError) {
        if offset < 1, !appendDot(1, node.rawValue) { return }
        if offset < 2, !appendDot(2, Self.unknownNode) { return }
        let start = offset > Self.dots ? offset - Self.dots : 0
        try mount.fileSystem.readDirectory(node, handle: handle, from: start, wantsEntries: hasEntries) { name, entry, next in
            append(name, entry, number: mount.number(entry.attributes.node), next: next &+ Self.dots)
        }
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

    private var headerSize: Int {
        (hasEntries ? MemoryLayout<larder_fuse_entry_out>.size : 0) + MemoryLayout<larder_fuse_dirent>.size
    }

    private mutating func reserve(nameLength: Int) -> Int? {
        let size = (headerSize + nameLength + 7) & ~7
        guard size <= buffer.count - used else { return nil }
        defer { used += size }
        return used
    }

    private func write(_ entry: larder_fuse_entry_out, at place: Int) {
        buffer.storeBytes(of: entry, toByteOffset: place, as: larder_fuse_entry_out.self)
    }

    private func write(_ name: UnsafeRawBufferPointer, at place: Int, inode: UInt64, mode: UInt32, next: UInt64) {
        let nameStart = place + headerSize
        let record = larder_fuse_dirent(ino: inode, off: next, namelen: UInt32(name.count), type: (mode & S_IFMT) >> 12)
        buffer.storeBytes(of: record, toByteOffset: nameStart - MemoryLayout<larder_fuse_dirent>.size, as: larder_fuse_dirent.self)
        UnsafeMutableRawBufferPointer(rebasing: buffer[nameStart..<used]).initializeMemory(as: UInt8.self, repeating: 0)
        UnsafeMutableRawBufferPointer(rebasing: buffer[nameStart..<nameStart + name.count]).copyMemory(from: name)
    }
}
