import Glibc
import LinuxIO
import Logging
import Synchronization

/// The lease of a daemon on the main instance of one cache, for changes that come by path (`caches/ID` in a mount).
///
/// Reading takes no lease. The first change takes a `shared` one, like everybody else, and it is given back when for `idle` nothing was
/// changed and no file is open for writing. So who wants the cache for himself waits for no more than that. Then it rests
/// (`Lease.rest`): the next change has it at once if nobody else came.
///
/// Admission has no end of its own: a change must be done within `idle` of `admit`. The calls of a local disk are, but for a
/// disk that hangs.
public final class PathLease: Sendable {
    /// How long the lease outlives the last change.
    public static let idle = Duration.seconds(1)
    /// How long it rests then. Linux writes what was changed when it is 30 seconds old, at the latest 5 seconds after that.
    public static let rest = Duration.seconds(60)

    public let cache: CacheName
    private let library: CacheLibrary
    private let neighbours: CacheWatch.Neighbours?
    private let restPeriod: Duration
    /// 1 bit: held. 23 bits: files open for writing. 40 bits: milliseconds of the last change, 34 years of them.
    private let word = Atomic<UInt64>(0)
    private let waiting = Monitor(Waiting())
    /// Whoever has it in hand alone makes it held.
    private let resting = Mutex<Lease?>(nil)

    private struct Waiting {
        /// Of the thread that waits for the lease or has it; nil while there is none.
        var waiter: LockWaiter?
        var continuations: [Int: Continuation] = [:]
        var last = 0
        var isClosed = false
    }

    private typealias Continuation = CheckedContinuation<Result<Void, CacheError>, Never>

    /// - Parameters:
    ///   - neighbours: tells whether somebody else is there; without it somebody always is.
    ///   - rest: how long the lease rests when it was given back.
    public init(_ cache: CacheName, in library: CacheLibrary, neighbours: CacheWatch.Neighbours? = nil, rest: Duration = PathLease.rest) {
        self.cache = cache
        self.library = library
        self.neighbours = neighbours
        restPeriod = rest
    }

    // MARK: hot

    /// True while the lease is held, which this prolongs by `idle`; and where it rests and can be had at once.
    public func admit() -> Bool { change { $0 } || resume() }

    /// A file was opened for writing, after `admit`. Each is followed by one `closedAfterWriting`.
    public func openedForWriting() {
        while !change({ $0 &+ Self.writer }) {
            // Given back between `admit` and now, which takes a thread that slept for a second. Count it all the same.
            let word = word.load(ordering: .relaxed)
            if word & Self.held == 0 {
                if self.word.weakCompareExchange(expected: word, desired: word &+ Self.writer, ordering: .relaxed).exchanged { return }
            }
        }
    }

    public func closedAfterWriting() {
        if !change({ $0 &- Self.writer }) { word.wrappingSubtract(Self.writer, ordering: .relaxed) }
    }

    /// Whether no other process holds the main instance in a way that lets it change it.
    public var isAlone: Bool { neighbours?.areAway ?? false }

    /// Whether the lease is held now.
    public var isHeld: Bool { word.load(ordering: .relaxed) & Self.held != 0 }

    private static let held: UInt64 = 1 << 63
    private static let writer: UInt64 = 1 << 40
    private static let writers: UInt64 = ((1 << 23) - 1) << 40
    private static let time: UInt64 = (1 << 40) - 1

    /// False, and nothing done, where the lease is not held.
    private func change(_ body: (UInt64) -> UInt64) -> Bool {
        let now = Self.now()
        var old = word.load(ordering: .relaxed)
        while true {
            guard old & Self.held != 0 else { return false }
            let new = body(old) & ~Self.time | now
            // In the same tick of the coarse clock nothing is written. It was written so within the last `idle`, so nobody gives the lease back.
            if new == old { return true }
            let result = word.weakCompareExchange(expected: old, desired: new, ordering: .acquiringAndReleasing)
            if result.exchanged { return true }
            old = result.original
        }
    }

    /// A few calls of the disk that holds the cache.
    private func resume() -> Bool {
        resting.withLock { resting in
            // Another thread may have been faster.
            guard let lease = resting else { return change { $0 } }
            guard lease.resume() else { return false }
            resting = nil
            begin()
            return true
        }
    }

    private static func now() -> UInt64 { (CoarseClock.nanoseconds / 1_000_000) & Self.time }

    // MARK: cold

    /// Waits until the lease is held: at once, or in its turn behind whoever holds or waits for the cache.
    /// - Throws: `cancelled` when the task is cancelled or the lease closed; what `acquire` throws.
    public func waitForAdmission() async throws(CacheError) {
        while !admit() {
            let number = waiting.update { waiting in
                waiting.last += 1
                return waiting.last
            }
            let result = await withTaskCancellationHandler {
                await withCheckedContinuation { enqueue(number, $0) }
            } onCancel: {
                leave(number)
            }
            try result.get()
        }
    }

    /// Gives the lease back and admits nobody any more. Returns when that is done; files that are still open for writing are
    /// on their own. Blocks for up to a tenth of a second.
    public func close() {
        let (waiter, continuations) = waiting.update { waiting in
            waiting.isClosed = true
            defer { waiting.continuations = [:] }
            return (waiting.waiter, Array(waiting.continuations.values))
        }
        waiter?.cancel()
        for continuation in continuations { continuation.resume(returning: .failure(.cancelled)) }
        waiting.wait { $0.waiter == nil ? () : nil }
    }

    private func enqueue(_ number: Int, _ continuation: Continuation) {
        let answer: Result<Void, CacheError>? = waiting.update { waiting in
            if waiting.isClosed || Task.isCancelled { return .failure(.cancelled) }
            if isHeld { return .success(()) }
            if waiting.waiter == nil {
                let started = Result { () throws(SystemError) in
                    try DedicatedThread.start("larder-path") { [self] in serve() }
                }
                if case .failure(let error) = started { return .failure(.system(error)) }
                waiting.waiter = LockWaiter()
            }
            waiting.continuations[number] = continuation
            return nil
        }
        if let answer { continuation.resume(returning: answer) }
    }

    /// Cancelled. Where nobody else waits, nobody needs the place in the queue.
    private func leave(_ number: Int) {
        let (continuation, waiter) = waiting.update { waiting in
            let continuation = waiting.continuations.removeValue(forKey: number)
            return (continuation, continuation != nil && waiting.continuations.isEmpty && !isHeld ? waiting.waiter : nil)
        }
        waiter?.cancel()
        continuation?.resume(returning: .failure(.cancelled))
    }

    /// The thread: acquires and gives back for as long as somebody wants the lease.
    private func serve() {
        while let waiter = nextWaiter() {
            let result = Result { () throws(CacheError) in try library.acquire([LeaseRequest(cache, .shared)], waiter, nil, { _ in }) }
            if case .success = result { begin() }
            if case .failure(.cancelled) = result { continue }
            answer(result.map { _ in })
            if case .success(let leases) = result, let lease = leases[cache] { keep(lease) }
        }
    }

    /// A wait that was cancelled stays so: each has its own. nil where nobody wants the lease.
    private func nextWaiter() -> LockWaiter? {
        waiting.update { waiting in
            waiting.waiter = waiting.continuations.isEmpty ? nil : LockWaiter()
            return waiting.waiter
        }
    }

    private func answer(_ result: Result<Void, CacheError>) {
        let continuations = waiting.update { waiting in
            defer { waiting.continuations = [:] }
            return waiting.continuations.values
        }
        for continuation in continuations { continuation.resume(returning: result) }
    }

    private func keep(_ lease: Lease) {
        if let mark = lease.unclean {
            library.log.warning("changes by path to a cache that was left unclean", metadata: ["cache": "\(cache)", "holder": "\(mark.holder.summary)"])
        }
        repeat {
            while !giveUp() { usleep(100_000) }
        } while !waiting.read({ $0.isClosed }) && isWantedAgain(lease)
        do throws(CacheError) {
            try lease.release()
        } catch {
            library.log.error("giving back a cache failed; it will be found unclean", metadata: ["cache": "\(cache)", "error": "\(error)"])
        }
    }

    /// Lets the lease rest. Returns whether it is held again; else it is to be released, as is one that cannot rest.
    private func isWantedAgain(_ lease: Lease) -> Bool {
        guard lease.rest() else { return false }
        resting.withLock { $0 = lease }
        let end = ContinuousClock.now + restPeriod
        // Whoever has it again tells nobody: it is not due to be given back before the next look.
        while !isHeld && ContinuousClock.now < end {
            if waiting.wait(for: min(Self.idle, restPeriod), { $0.isClosed || !$0.continuations.isEmpty ? true : nil }) != nil { break }
        }
        // Those who came after it was given back, and before it rested.
        if waiting.read({ !$0.continuations.isEmpty }), admit() { answer(.success(())) }
        resting.withLock { $0 = nil }
        return isHeld
    }

    private func begin() {
        var old = word.load(ordering: .relaxed)
        while true {
            let new = old & Self.writers | Self.held | Self.now()
            let result = word.weakCompareExchange(expected: old, desired: new, ordering: .acquiringAndReleasing)
            if result.exchanged { return }
            old = result.original
        }
    }

    /// Whether it is time, and then nobody is admitted any more.
    private func giveUp() -> Bool {
        let old = word.load(ordering: .acquiring)
        let isClosed = waiting.read { $0.isClosed }
        let isIdle = Int64(Self.now()) - Int64(old & Self.time) >= Self.idle.nanoseconds / 1_000_000
        guard isClosed || (old & Self.writers == 0 && isIdle) else { return false }
        return word.compareExchange(expected: old, desired: old & ~Self.held, ordering: .acquiringAndReleasing).exchanged
    }
}
