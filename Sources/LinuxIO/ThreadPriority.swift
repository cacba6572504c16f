import Glibc

/// How much of the processor the calling thread gets beside others. Linux knows this of each thread by itself (nice(2)).
public enum ThreadPriority {
    /// From now on the calling thread gets the processor when others leave it. There is no way back without privilege, so this is for
    /// threads that do nothing else.
    public static func giveWay() { setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, 10) }
}
