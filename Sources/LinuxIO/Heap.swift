import CLinux

/// What the process's allocations are taken from.
public enum Heap {
    /// Gives what is free back to the system, also from between pieces in use (malloc_trim(3)). Looks at all of it: for
    /// after something large that was made of many small pieces, and not for each request.
    public static func trim() { larder_trim_heap() }
}
