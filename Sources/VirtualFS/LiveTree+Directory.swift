import CLinux
import Glibc
import LinuxIO

extension LiveTree {
    /// Offsets are the disk's own. Without `wantsEntries` an entry has type and `inode` alone, and its node id means nothing. With
    /// it, one whose node is absent is a name alone: the kernel asks for it when somebody looks.
    public func readDirectory(
        _ node: NodeID, from offset: UInt64, wantsEntries: Bool, emit: (UnsafeRawBufferPointer, Entry, UInt64) -> Bool
    ) throws(FSError) -> Answer<ListingUse> {
        let watch = DiskWatch()
        let directory = try directory(node)
        defer { extendLifetime(directory) }
        let listing = OwnedDescriptor(owning: try Self.check(relieved {
            let raw = openat(directory.raw, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
            return raw >= 0 ? raw : -errno
        }))
        if offset > 0 { try Self.check(Int(larder_seek(listing.raw, Self.position(offset), SEEK_SET))) }
        let lifetime = gate.lifetime
        // Further parts of a listing come with entries only where the kernel has seen lookups.
        let wantsFiles = wantsEntries && (offset > 0 || habit.begins(node))
        // The directories among them, where it is worth reading those ahead.
        var named: [[UInt8]]?
        defer { if let named { readAhead?.listed(directory, named) } }
        try withUnsafeTemporaryAllocation(byteCount: 1 << 15, alignment: 8) { buffer throws(FSError) in
            while true {
                let count = try Self.check(larder_read_names(listing.raw, buffer.baseAddress, buffer.count))
                if count == 0 { return }
                if named == nil && readAhead?.isWanted(watch) == true { named = [] }
                var place = 0
                while place < count {
                    let record = LiveDirectoryRecord(UnsafeRawBufferPointer(rebasing: buffer[place..<count]))
                    guard let record else { throw .io }
                    place += record.length
                    guard try show(record, of: node, directory, isPlus: wantsEntries, wantsFiles: wantsFiles, lifetime, emit) else { return }
                    if record.mode & S_IFMT == S_IFDIR && !record.isDots { named?.append([UInt8](record.name)) }
                }
            }
        }
        // A listing that ends after others have gone makes whole what was gathered while they were there: so all are marked.
        nodes.listed(node)
        // Others may have come before it was.
        return .ready(lifetime > 0 && gate.lifetime > 0 ? .again : .once)
    }

    /// The directories of whose listings the kernel may have something, for it to be told to forget that.
    public func takeListedDirectories() -> [NodeID] { nodes.takeListed() }

    /// False where there is no room for more.
    @inline(__always)
    private func show(
        _ record: LiveDirectoryRecord, of parent: NodeID, _ directory: LiveFile, isPlus: Bool, wantsFiles: Bool, _ lifetime: Double,
        _ emit: (UnsafeRawBufferPointer, Entry, UInt64) -> Bool
    ) throws(FSError) -> Bool {
        if record.isDots { return true }
        let next = Self.offset(record.next)
        // Whoever walks a tree goes into its directories.
        if isPlus && (wantsFiles || record.mode & S_IFMT == S_IFDIR || record.mode == 0) {
            do throws(FSError) {
                let entry = try remember(parent, directory, record.name, record.component, lifetime)
                if emit(record.name, entry, next) { return true }
                forget(entry.attributes.node, count: 1)
                return false
            } catch {
                // Gone since, or another filesystem's: listed by its name, and a lookup will tell.
                if error == .system(ENOENT) { return true }
            }
        }
        var attributes = Attributes(node: NodeID(rawValue: isPlus ? 0 : max(record.inode, 1)), mode: record.mode)
        attributes.inode = record.inode
        return emit(record.name, Entry(attributes, nameLifetime: 0, attributeLifetime: 0), next)
    }

    // FuseBridge puts two offsets of its own before ours, and they must stay positive as the kernel's: ext4's last one,
    // 2^63-1, would not. No entry is that near the end.
    private static let lastOffset = Int64.max - 2

    private static func offset(_ position: Int64) -> UInt64 { UInt64(bitPattern: min(position, lastOffset)) }
    private static func position(_ offset: UInt64) -> Int64 {
        offset >= UInt64(lastOffset) ? .max : Int64(offset)
    }
}

/// `struct linux_dirent64` of getdents64(2): inode u64, offset of the next s64, length u16, type u8, name with a NUL.
struct LiveDirectoryRecord {
    private let bytes: UnsafeRawBufferPointer
    let length: Int
    let name: UnsafeRawBufferPointer

    private static let nameStart = 19

    /// nil where the bytes are not one.
    init?(_ rest: UnsafeRawBufferPointer) {
        guard rest.count > Self.nameStart else { return nil }
        length = Int(rest.load(fromByteOffset: 16, as: UInt16.self))
        guard length > Self.nameStart, length <= rest.count else { return nil }
        bytes = UnsafeRawBufferPointer(rebasing: rest[..<length])
        let text = bytes.baseAddress! + Self.nameStart
        let room = length - Self.nameStart
        let count = strnlen(text.assumingMemoryBound(to: CChar.self), room)
        guard count < room else { return nil }
        name = UnsafeRawBufferPointer(start: text, count: count)
    }

    var inode: UInt64 { bytes.load(as: UInt64.self) }
    var next: Int64 { bytes.load(fromByteOffset: 8, as: Int64.self) }
    /// The type in `st_mode`'s place; 0 where the disk does not tell.
    var mode: UInt32 { UInt32(bytes[18]) << 12 }
    var component: UnsafePointer<CChar> { name.baseAddress!.assumingMemoryBound(to: CChar.self) }
    var isDots: Bool {
        name[0] == UInt8(ascii: ".") && (name.count == 1 || name.count == 2 && name[1] == UInt8(ascii: "."))
    }
}
