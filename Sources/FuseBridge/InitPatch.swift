import CLinux
import Synchronization

/// What we ask of the kernel beyond what libfuse 3.14 can ask: it neither sends PARALLEL_DIROPS (lookups in one
/// directory would wait for each other) nor knows passthrough. A later libfuse that sets the same bits itself is not
/// disturbed: applying the patch twice changes nothing.
struct InitPatch: Sendable {
    var wantsPassthrough: Bool
    /// The mount can be changed: clearing set-id bits is then ours (FUSE_HANDLE_KILLPRIV_V2), and in return the kernel asks for no
    /// `security.capability` before every write.
    var isWritable = false
    /// Requests are to come through io_uring. The kernel offers it where its module fuse has the parameter `enable_uring` set.
    var wantsRings = false
    /// How many filesystems may lie on one another below a backing file, this mount included: 1 or 2.
    var maxStackDepth: UInt32

    struct Agreed {
        var passthrough = false
        var rings = false
    }

    /// The most bytes of data in a request or an answer that comes through a ring.
    static let ringPayload = 256 << 10
    private static let pageSize = 4096

    /// Adds to `reply` what is wanted and `offered`.
    func apply(to reply: inout larder_fuse_init_out, offered: larder_fuse_init_in) -> Agreed {
        let parallelDirectoryOperations = UInt32(LARDER_FUSE_PARALLEL_DIROPS)
        let extended = UInt32(LARDER_FUSE_INIT_EXT)
        let passthrough = UInt32(LARDER_FUSE2_PASSTHROUGH)
        let noExport = UInt32(LARDER_FUSE2_NO_EXPORT_SUPPORT)

        reply.flags |= parallelDirectoryOperations & offered.flags
        if isWritable { reply.flags |= UInt32(LARDER_FUSE_HANDLE_KILLPRIV_V2) & offered.flags }
        var agreed = Agreed()
        guard offered.flags & extended != 0 else { return agreed }
        reply.flags |= extended
        reply.flags2 |= (noExport | UInt32(LARDER_FUSE2_DIRECT_IO_ALLOW_MMAP)) & offered.flags2
        if wantsRings, offered.flags2 & UInt32(LARDER_FUSE2_OVER_IO_URING) != 0 {
            reply.flags2 |= UInt32(LARDER_FUSE2_OVER_IO_URING)
            // Every request that waits holds memory of this size, once it was used.
            reply.flags |= UInt32(LARDER_FUSE_MAX_PAGES) & offered.flags
            reply.max_pages = UInt16(Self.ringPayload / Self.pageSize)
            reply.max_write = min(reply.max_write, UInt32(Self.ringPayload))
            agreed.rings = true
        }
        // The kernel ignores the wish without a word where writeback caching is on or the depth is out of range.
        let writeback = UInt32(LARDER_FUSE_WRITEBACK_CACHE)
        guard wantsPassthrough, offered.flags2 & passthrough != 0, reply.flags & writeback == 0, 1...2 ~= maxStackDepth else {
            return agreed
        }
        reply.flags2 |= passthrough
        reply.max_stack_depth = maxStackDepth
        agreed.passthrough = true
        return agreed
    }
}

/// The INIT exchange of one connection: remembers what the kernel offered until libfuse has written its answer.
final class InitHandshake: Sendable {
    private let patch: InitPatch
    private let offer = Mutex<(unique: UInt64, body: larder_fuse_init_in)?>(nil)
    private let done = Atomic(false)
    private let passthrough = Atomic(false)
    private let rings = Atomic(false)
    private let kernelMinor = Atomic<UInt32>(0)

    init(patch: InitPatch) { self.patch = patch }

    /// The kernel can be told that all it remembers may be outdated (FUSE_NOTIFY_INC_EPOCH).
    var canForgetNames: Bool { kernelMinor.load(ordering: .acquiring) >= UInt32(LARDER_FUSE_EPOCH_MINOR) }
    var isDone: Bool { done.load(ordering: .acquiring) }
    var hasPassthrough: Bool { passthrough.load(ordering: .acquiring) }
    var hasRings: Bool { rings.load(ordering: .acquiring) }

    /// `message` is a whole INIT request.
    func received(_ message: UnsafeRawBufferPointer, _ header: larder_fuse_in_header) {
        let start = MemoryLayout<larder_fuse_in_header>.size
        guard message.count >= start + MemoryLayout<larder_fuse_init_in>.size else { return }
        let body = message.loadUnaligned(fromByteOffset: start, as: larder_fuse_init_in.self)
        offer.withLock { $0 = (header.unique, body) }
        if body.major == 7 { kernelMinor.store(body.minor, ordering: .releasing) }
    }

    /// `header` and `body` are what libfuse is about to write; nothing happens unless they answer the INIT.
    func answering(_ header: larder_fuse_out_header, _ body: UnsafeMutableRawBufferPointer) {
        guard let offer = offer.withLock({ $0 }), offer.unique == header.unique, header.error == 0,
            body.count >= MemoryLayout<larder_fuse_init_out>.size
        else { return }
        var reply = body.loadUnaligned(as: larder_fuse_init_out.self)
        let agreed = patch.apply(to: &reply, offered: offer.body)
        passthrough.store(agreed.passthrough, ordering: .releasing)
        rings.store(agreed.rings, ordering: .releasing)
        body.storeBytes(of: reply, as: larder_fuse_init_out.self)
        done.store(true, ordering: .releasing)
    }
}
