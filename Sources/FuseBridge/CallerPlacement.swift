import Glibc
import LinuxIO
import Synchronization

/// Lets whoever made a request go on where it was made.
///
/// A ring's thread answers on its caller's processor, and as it is still running there the kernel moves the caller to one that is idle,
/// and next time back: a sleeping processor is woken for each request, which can take longer than the request. A processor that runs only
/// threads that count for nothing is idle to the kernel; so there the caller stays, and has the processor at once.
///
/// Such a thread gets nearly nothing beside any other. So threads are that only while some processor has nothing to do, where whoever
/// else comes finds his place, and for callers that may run on all processors: those of others may be crowded while some are idle. A
/// thread of its own watches for it, because one that waits for its turn cannot. At other times they wait until their caller sleeps
/// (SCHED_BATCH), which he does at once if he waits for the answer: for the end of an open file, which nobody waits for, he is not pushed
/// aside, and it is done with his next request.
final class CallerPlacement: Sendable {
    /// Microseconds between two looks: how long a request may have to wait for a processor that somebody else came to.
    private static let period: useconds_t = 5_000
    /// Looks without any request before it sleeps.
    private static let patience = 20
    /// Looks at which all threads are made to count: one that was being made at the first may have it from its maker.
    private static let enough = 2

    private let threads = Mutex<[pid_t]>([])
    private let watcher = Mutex<DedicatedThread?>(nil)
    private let wasAsked = Atomic(false)
    /// Who asked last, of those who are known by a number here.
    private let caller = Atomic<pid_t>(0)
    /// Of the thread that watches. The first request after a silence wakes it: that one is seldom a short one.
    private let isAsleep = Atomic(false)
    private let isEnding = Atomic(false)
    private let bell = Semaphore()

    /// Where it cannot be had, callers wander.
    func start() {
        let thread = try? DedicatedThread.start("larder-place") { self.watch() }
        watcher.withLock { $0 = thread }
    }

    /// No thread may have ended before this has.
    func finish() {
        isEnding.store(true, ordering: .relaxed)
        bell.signal()
        watcher.withLock { $0.take() }?.join()
    }

    /// For each thread that answers requests, once.
    func addThread() {
        let thread = ThreadPriority.thread
        ThreadPriority.set(.batch, for: thread)
        threads.withLock { $0.append(thread) }
    }

    /// At every request. FUSE gives 0 for what the kernel asks by itself, and for callers in another PID namespace.
    @inline(__always)
    func requestCame(from caller: pid_t) {
        if caller != 0 { self.caller.store(caller, ordering: .relaxed) }
        if !wasAsked.load(ordering: .relaxed) { wasAsked.store(true, ordering: .sequentiallyConsistent) }
        if isAsleep.load(ordering: .sequentiallyConsistent), isAsleep.exchange(false, ordering: .sequentiallyConsistent) { bell.signal() }
    }

    private func watch() {
        let own = ThreadPriority.thread
        guard ThreadPriority.set(.idle, for: own), ThreadPriority.set(.other, for: own), let tasks = try? RunnableTasks(),
            let processors = try? Processors.online().count, processors > 1
        else { return }
        while !isEnding.load(ordering: .relaxed) {
            sleepUntilAsked()
            watch(tasks, processors)
        }
    }

    private func sleepUntilAsked() {
        isAsleep.store(true, ordering: .sequentiallyConsistent)
        let cameMeanwhile = wasAsked.exchange(false, ordering: .sequentiallyConsistent)
        // Whoever rings has set it back before.
        if !cameMeanwhile || !isAsleep.exchange(false, ordering: .sequentiallyConsistent) { bell.wait() }
    }

    /// Returns when nobody has asked for anything for a while.
    private func watch(_ tasks: borrowing RunnableTasks, _ processors: Int) {
        var (unasked, spare, isFree) = (0, SpareProcessor(of: processors), false)
        // Looks since threads yielded last.
        var since = Self.enough
        while unasked < Self.patience && !isEnding.load(ordering: .relaxed) {
            unasked = wasAsked.exchange(false, ordering: .sequentiallyConsistent) ? 0 : unasked + 1
            guard let others = try? tasks.count() - 1 else { break }
            let caller = caller.load(ordering: .relaxed)
            // One who has gone says nothing of the next.
            if caller != 0, let count = Processors.count(for: caller) { isFree = count >= processors }
            if spare.isThere(beside: others) && isFree {
                if since > 0 { letThreadsYield() }
                since = 0
            } else if since < Self.enough {
                since += 1
                ThreadPriority.endIdle(as: .batch)
            }
            usleep(Self.period)
        }
        if since < Self.enough { ThreadPriority.endIdle(as: .batch) }
    }

    private func letThreadsYield() {
        for thread in threads.withLock({ $0 }) { ThreadPriority.set(.idle, for: thread) }
    }
}

/// Whether some processor has nothing to do, judged by how many threads run or want to.
struct SpareProcessor {
    /// Looks of which the average is: in a single one an answering thread and its caller may both want to run.
    private static let memory = 4.0
    /// Less than all processors by this, to be so from now on; and to be so still. Work that fills the processors for most of the time, as
    /// a build does, would otherwise have threads that starve every few looks.
    private static let (margin, stillMargin) = (0.4, 0.1)

    private let processors: Double
    private var load: Double
    private var wasThere = false

    /// - Precondition: at least two.
    init(of processors: Int) {
        self.processors = Double(processors)
        load = self.processors - Self.margin
    }

    /// To be asked at equal intervals.
    mutating func isThere(beside runnable: Int) -> Bool {
        load += (Double(runnable) - load) / Self.memory
        wasThere = load < processors - (wasThere ? Self.stillMargin : Self.margin)
        return wasThere
    }
}
