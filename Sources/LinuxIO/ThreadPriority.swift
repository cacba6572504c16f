import CLinux
import Glibc

/// How much of the processor a thread gets beside others. Linux knows this of each thread by itself.
public enum ThreadPriority {
    /// From now on the calling thread gets the processor when others leave it (nice(2)). There is no way back without privilege, so
    /// this is for threads that do nothing else.
    public static func giveWay() { setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, 10) }

    /// The calling thread's number, by which others name it.
    public static var thread: pid_t { larder_thread() }

    /// Has the thread count for nothing, or as any other (SCHED_IDLE, SCHED_OTHER of sched(7)): a processor with nothing else to run is
    /// idle to whoever looks for one, and whoever comes has it at once. Threads that it makes inherit this.
    /// - Returns: False where that is not allowed. The way back needs CAP_SYS_NICE or a limit of RLIMIT_NICE.
    @discardableResult
    public static func setCountsForNothing(_ thread: pid_t, _ countsForNothing: Bool) -> Bool {
        larder_count_for_nothing(thread, countsForNothing ? 1 : 0) == 0
    }

    public static func countsForNothing(_ thread: pid_t) -> Bool { larder_counts_for_nothing(thread) != 0 }

    /// Has every thread of this process count again, also those that have it from their maker: Swift's pool makes threads on any.
    public static func letAllCount() {
        guard let threads = try? Directory("/proc/self/task").entries() else { return }
        for thread in threads {
            if let thread = pid_t(thread.text), countsForNothing(thread) { setCountsForNothing(thread, false) }
        }
    }
}
