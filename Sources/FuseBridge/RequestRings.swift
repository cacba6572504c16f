import Glibc
import LinuxIO
import Synchronization

/// The rings of a connection (FUSE over io_uring, Linux 6.14). The kernel gives a request to the queue of the processor on which it
/// was made, and wants an entry in the queue of every processor that there may ever be before it sends any.
final class RequestRings: Sendable {
    /// One may wait for the disk while the other answers.
    private static let threadsPerProcessor = 2

    private let rings = Mutex<[RequestRing]>([])
    private let threads = Mutex<[DedicatedThread]>([])
    private let placement = CallerPlacement()

    /// Answers with `parts` if the request came through a ring and is answered by another thread. Returns their size.
    func answer(_ unique: UInt64, _ parts: UnsafeBufferPointer<iovec>) -> Int? {
        for ring in rings.withLock({ $0 }) {
            if let size = ring.answer(unique, parts) { return size }
        }
        return nil
    }

    /// Returns when the kernel sends requests through the rings.
    func start(_ connection: RequestRing.Connection) throws(SystemError) {
        let online = try Processors.online()
        let offline = try Processors.possible().filter { !online.contains($0) }
        var made: [RequestRing] = []
        for (number, processor) in online.enumerated() {
            let queues = number == 0 ? [processor] + offline : [processor]
            for _ in 0..<Self.threadsPerProcessor {
                made.append(try RequestRing(processor: Int32(processor), queues: queues.map { UInt16($0) }, connection: connection, placement: placement))
            }
        }
        rings.withLock { [made] in $0 = made }

        let outcomes = Monitor<[SystemError?]>([])
        for (number, ring) in made.enumerated() {
            let thread = try DedicatedThread.start("larder-fuse-\(number)") {
                ring.run { error in outcomes.update { $0.append(error) } }
                ReplyBuffer.giveBack()
            }
            threads.withLock { $0.append(thread) }
        }
        let failure = outcomes.wait { [count = made.count] in $0.count == count ? .some($0.compactMap { $0 }.first) : nil }
        if let failure { throw failure }
        placement.start()
    }

    /// Ends the threads. `.unmounted` is for when the device has said so: then no request can come any more.
    func finish(_ end: RequestRing.End) {
        placement.finish()
        for ring in rings.withLock({ $0 }) { ring.close(end) }
        for thread in threads.withLock({ $0 }) { thread.join() }
        // They know who serves, who knows us. Answers that come yet go to the device, which says that nobody waits for them.
        rings.withLock { $0 = [] }
    }
}
