import CLinux
import Glibc

/// How much of the processor a thread gets beside others. Linux knows this of each thread by itself.
public enum ThreadPriority {
    /// From now on the calling thread gets the processor when others leave it (nice(2)). There is no way back without privilege, so
    /// this is for threads that do nothing else.
    public static func giveWay() { setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, 10) }

    /// The calling thread's number, by which others name it.
    public static var thread: pid_t { larder_thread() }

    /// How a thread stands beside others (sched(7)).
    public enum Policy: Sendable, CaseIterable {
        /// As everybody (SCHED_OTHER).
        case other
        /// As everybody, but when it has something to do it waits until whoever runs there sleeps or has had his share (SCHED_BATCH).
        case batch
        /// Counts for nothing (SCHED_IDLE): a processor with nothing else to run is idle to whoever looks for one, and whoever comes has
        /// it at once.
        case idle

        fileprivate var number: Int32 {
            switch self {
            case .other: larder_policy_other
            case .batch: larder_policy_batch
            case .idle: larder_policy_idle
            }
        }
    }

    /// For a thread of this process. Threads that it makes inherit it.
    /// - Returns: False where that is not allowed. The way back from `idle` needs CAP_SYS_NICE or a limit of RLIMIT_NICE.
    @discardableResult
    public static func set(_ policy: Policy, for thread: pid_t) -> Bool { larder_set_policy(thread, policy.number) == 0 }

    /// Nil where the thread has gone, or has another policy.
    public static func policy(of thread: pid_t) -> Policy? {
        let number = larder_policy(thread)
        return Policy.allCases.first { $0.number == number }
    }

    /// Has every thread of this process that is `idle` be `policy`, also those that are it from their maker: Swift's pool makes threads
    /// on any.
    public static func endIdle(as policy: Policy) {
        guard let threads = try? Directory("/proc/self/task").entries() else { return }
        for thread in threads {
            if let thread = pid_t(thread.text), self.policy(of: thread) == .idle { set(policy, for: thread) }
        }
    }
}
