import CFuse
import CLinux
import Glibc
import VirtualFS

/// The answer of a `cold...` twin. Hot operations answer without it.
enum FuseReply: Sendable {
    case entry(Entry)
    case attributes(Entry)
    case file(OpenedFile, NodeID)
    /// A part of a directory, for a READDIR or READDIRPLUS that asked so.
    case listing(ListingPart, of: NodeID, from: UInt64, size: Int, hasEntries: Bool)
    case bytes([UInt8])
    case created(Entry, OpenedFile)
    /// Bytes written or copied.
    case count(Int)
    /// A place in a file, in bytes.
    case place(UInt64)
    case done
}

// Structures go out in the kernel's own form through `fuse_reply_buf`: libfuse 3.14 has no field for a backing id, and
// one conversion serves LOOKUP, GETATTR and READDIRPLUS.
extension FuseRequest {
    consuming func reply(_ reply: FuseReply) {
        switch reply {
        case .entry(let entry): self.reply(entry: entry)
        case .attributes(let entry): self.reply(attributesOf: entry)
        case .file(let file, let node): self.reply(file, of: node)
        case .listing(let part, let node, let offset, let size, let hasEntries):
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 8)
            defer { buffer.deallocate() }
            var listing = DirectoryReply(buffer, hasEntries: hasEntries)
            listing.fill(with: part, from: offset, of: node, on: connection.pointee)
            self.reply(listing.bytes, part.use)
        case .bytes(let bytes):
            let raw = take()
            _ = bytes.withUnsafeBytes { Self.send($0, to: raw) }
        case .created(let entry, let file): self.reply(created: entry, file)
        case .count(let count): fuse_reply_write(take(), count)
        case .place(let place): fuse_reply_lseek(take(), off_t(truncatingIfNeeded: place))
        case .done: replySuccess()
        }
    }

    consuming func reply(_ error: FSError) { fuse_reply_err(take(), error.errno) }

    consuming func replySuccess() { fuse_reply_err(take(), 0) }

    /// For requests that have no answer (FORGET).
    consuming func end() { fuse_reply_none(take()) }

    consuming func reply(bytes: UnsafeRawBufferPointer) {
        _ = Self.send(bytes, to: take())
    }

    /// The length of an attribute whose value was not asked for.
    consuming func reply(attributeLength length: Int) { fuse_reply_xattr(take(), length) }

    consuming func reply(_ statistics: FSStatistics) {
        var status = statvfs()
        status.f_bsize = UInt(statistics.blockSize)
        status.f_frsize = UInt(statistics.blockSize)
        status.f_blocks = fsblkcnt_t(statistics.blocks)
        status.f_bfree = fsblkcnt_t(statistics.blocksFree)
        status.f_bavail = fsblkcnt_t(statistics.blocksAvailable)
        status.f_files = fsfilcnt_t(statistics.files)
        status.f_ffree = fsfilcnt_t(statistics.filesFree)
        status.f_namemax = UInt(NAME_MAX)
        fuse_reply_statfs(take(), &status)
    }

    /// An absent entry is node 0 with a lifetime, which the kernel caches; ENOENT it would not.
    consuming func reply(entry: Entry) {
        let connection = connection
        if !send(larder_fuse_entry_out(entry, number: connection.pointee.number(entry.attributes.node))), !entry.isAbsent {
            connection.pointee.fileSystem.forget(entry.attributes.node, count: 1)
        }
    }

    consuming func reply(attributesOf entry: Entry) { _ = send(larder_fuse_attr_out(entry)) }

    consuming func reply(_ file: OpenedFile, of node: NodeID) {
        reply(file, of: node, connection.pointee.open(node, file))
    }

    /// An open that `FuseConnection` has counted.
    consuming func reply(_ file: OpenedFile, of node: NodeID, _ way: OpenFiles.Way) {
        let connection = connection
        // The kernel sends no RELEASE for an open whose answer it did not take.
        if !send(larder_fuse_open_out(file, way)) { connection.pointee.release(node, handle: file.handle) }
    }

    consuming func reply(created entry: Entry, _ file: OpenedFile) {
        let connection = connection
        let node = entry.attributes.node
        let out = larder_fuse_create_out(
            entry: larder_fuse_entry_out(entry, number: connection.pointee.number(node)),
            open: larder_fuse_open_out(file, connection.pointee.open(node, file)))
        if !send(out) {
            connection.pointee.release(node, handle: file.handle)
            connection.pointee.fileSystem.forget(node, count: 1)
        }
    }

    /// False where the kernel no longer waits for the answer.
    private consuming func send<Structure: BitwiseCopyable>(_ structure: Structure) -> Bool {
        let raw = take()
        return withUnsafeBytes(of: structure) { Self.send($0, to: raw) }
    }

    private static func send(_ bytes: UnsafeRawBufferPointer, to raw: fuse_req_t) -> Bool {
        fuse_reply_buf(raw, bytes.baseAddress?.assumingMemoryBound(to: CChar.self), bytes.count) == 0
    }
}

extension larder_fuse_open_out {
    fileprivate init(_ file: OpenedFile, _ way: OpenFiles.Way) {
        self.init(fh: file.handle, open_flags: 0, backing_id: 0)
        switch way {
        case .below(let backing): (open_flags, backing_id) = (FileFlags.passthrough, backing)
        case .pages(let hold):
            switch file.caching {
            case .direct: open_flags = FileFlags.direct
            case .keep: open_flags = FileFlags.keepCache
            case .keepUnlessBacked: if hold { open_flags = FileFlags.keepCache }
            case .fresh: break
            }
        }
    }
}

/// `FOPEN_...` as the reply's own type.
enum FileFlags {
    static let direct = UInt32(LARDER_FOPEN_DIRECT_IO)
    static let keepCache = UInt32(LARDER_FOPEN_KEEP_CACHE)
    static let passthrough = UInt32(LARDER_FOPEN_PASSTHROUGH)
}
