import CLinux

/// The process's memory below all allocations.
public enum Heap {
    /// Gives what is free back to the system, also from between pieces in use (malloc_trim(3)). Takes milliseconds: for after
    /// something large that was made of many small pieces.
    public static func trim() { larder_trim_heap() }
}
