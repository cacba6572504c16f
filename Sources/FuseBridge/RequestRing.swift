import CLinux
import Glibc
import LinuxIO
import Synchronization

/// A thread on one processor that answers the requests made there, through an io_uring of its own: an answer goes to the kernel
/// and the next request comes back in one system call, and no other processor is woken for it.
///
/// A request that is answered later keeps its entry until it is, and another one is made: for a request that comes when no entry
/// is free the kernel takes one that an answer frees, and none that is new. So there are always more than requests come at once.
final class RequestRing: @unchecked Sendable {
    private struct Shared {
        var entries: [RingEntry] = []
        /// Answered by other threads, and to be handed to the kernel by ours.
        var answered: [RingEntry] = []
        var end: End?
    }

    /// How far the end has come.
    enum End {
        /// The mount has gone: the kernel gives every entry back.
        case unmounted
        /// Requests may still come, and nobody is to answer them.
        case abandoned
    }

    /// Free entries of a processor that is on; of one that is off, one.
    private static let spare = 32
    private var freeEntries: Int { queues.count - 1 + Self.spare }

    private let processor: Int32
    private let queues: [UInt16]
    private let connection: Connection
    private let placement: CallerPlacement
    private let shared = Mutex(Shared())
    private let bell: OwnedDescriptor

    // Our thread's alone.
    private var ring: OpaquePointer!
    /// Entries that are the kernel's.
    private var offered = 0

    /// What all rings of a connection have in common.
    struct Connection: Sendable {
        /// The FUSE device, open for as long as the rings are used.
        var device: Int32
        /// The most bytes of names or data in a request or an answer.
        var payloadSize: Int
        /// Requests of one ring that may be waiting for something.
        var entryLimit: Int
        /// Answers a request, a message as read from the device, or has it answered later.
        var serve: @Sendable (UnsafeMutableRawBufferPointer) -> Void
    }

    /// - Parameters:
    ///   - processor: where the thread stays, if it may.
    ///   - queues: the kernel's queues to serve: the processor's first, then any of processors that are off.
    init(processor: Int32, queues: [UInt16], connection: Connection, placement: CallerPlacement) throws(SystemError) {
        let descriptor = larder_eventfd()
        guard descriptor >= 0 else { throw SystemError("eventfd") }
        bell = OwnedDescriptor(owning: descriptor)
        self.processor = processor
        self.queues = queues
        self.connection = connection
        self.placement = placement
    }

    /// Throws where this process can have no ring.
    static func check() throws(SystemError) {
        guard let ring = larder_ring_make() else { throw SystemError("io_uring_setup") }
        larder_ring_free(ring)
    }

    /// Answers with `parts` if the request is in one of these entries. For any thread but ours.
    func answer(_ unique: UInt64, _ parts: UnsafeBufferPointer<iovec>) -> Int? {
        let entry = shared.withLock { shared in
            shared.entries.first { $0.unique.load(ordering: .acquiring) == unique }
        }
        guard let entry else { return nil }
        let size = entry.answer(parts)
        shared.withLock { $0.answered.append(entry) }
        ringBell()
        return size
    }

    /// Has `run` return: as soon as it may.
    func close(_ end: End) {
        shared.withLock { $0.end = end }
        ringBell()
    }

    private func ringBell() {
        var one: UInt64 = 1
        _ = write(bell.raw, &one, MemoryLayout<UInt64>.size)
    }

    /// The thread. `onReady` hears once whether the kernel took the entries.
    func run(onReady: (SystemError?) -> Void) {
        // Where it may not stay, it is only slower.
        _ = larder_keep_on_processor(processor)
        placement.addThread()
        guard let ring = larder_ring_make() else { return onReady(SystemError("io_uring_setup")) }
        self.ring = ring
        defer { larder_ring_free(ring) }
        for queue in queues { offerEntry(to: queue) }
        // The kernel waits for an entry of each.
        guard offered == queues.count else { return onReady(SystemError("mmap", code: ENOMEM)) }
        for _ in 1..<Self.spare { offerEntry(to: queues[0]) }
        larder_ring_submit(ring, false)
        var (tag, result) = (UInt64(0), Int32(0))
        // What the kernel refuses it refuses at once.
        if larder_ring_next(ring, &tag, &result) { return onReady(SystemError("FUSE_IO_URING_CMD_REGISTER", code: -result)) }
        onReady(nil)

        let count = UnsafeMutablePointer<UInt64>.allocate(capacity: 1)
        defer { count.deallocate() }
        larder_ring_listen(ring, bell.raw, count)
        var end: End?
        while end != .abandoned && (end != .unmounted || offered > 0) {
            larder_ring_submit(ring, true)
            while larder_ring_next(ring, &tag, &result) {
                if let entry = UnsafeMutableRawPointer(bitPattern: UInt(tag)) {
                    RingEntry.with(entry) { completed($0, result) }
                } else {
                    end = commitAnswered()
                    larder_ring_listen(ring, bell.raw, count)
                }
                // No answer waits here for the next request to be answered.
                if larder_ring_has_next(ring) { larder_ring_submit(ring, false) }
            }
        }
    }

    private func completed(_ entry: RingEntry, _ result: Int32) {
        guard result >= 0 else {
            // The mount is going.
            offered -= 1
            return
        }
        let request = entry.receive()
        placement.requestCame(from: pid_t(bitPattern: request.loadUnaligned(as: larder_fuse_in_header.self).pid))
        larder_request_set_entry(entry.tag)
        connection.serve(request)
        if larder_request_entry() == nil { return commit(entry) }
        larder_request_set_entry(nil)
        offered -= 1
        if offered < freeEntries { offerEntry(to: entry.queue) }
    }

    private func commitAnswered() -> End? {
        let (answered, end) = shared.withLock { shared in
            defer { shared.answered.removeAll(keepingCapacity: true) }
            return (shared.answered, shared.end)
        }
        offered += answered.count
        for entry in answered { commit(entry) }
        return end
    }

    private func commit(_ entry: RingEntry) {
        larder_ring_commit(ring, connection.device, entry.queue, entry.commitID, UInt64(UInt(bitPattern: entry.tag)))
    }

    /// Gives the kernel one more entry, unless so many requests wait that it would be too much: then the next ones wait in the
    /// kernel until these have their answers.
    private func offerEntry(to queue: UInt16) {
        let entry = shared.withLock { shared -> RingEntry? in
            guard shared.entries.count < connection.entryLimit,
                let entry = RingEntry(queue: queue, payloadSize: connection.payloadSize)
            else { return nil }
            shared.entries.append(entry)
            return entry
        }
        guard let entry else { return }
        offered += 1
        larder_ring_register(ring, connection.device, queue, entry.buffers, UInt64(UInt(bitPattern: entry.tag)))
    }
}
