import Synchronization

/// How reads of image files were answered.
public final class ReadCounters: Sendable {
    private let answered = Atomic<UInt64>(0)
    private let fetched = Atomic<UInt64>(0)

    public init() {}

    /// Reads that were answered at once, from the store or from memory. The kernel's own cache answers most others.
    public var hits: UInt64 { answered.load(ordering: .relaxed) }
    /// Reads that had to wait until something was fetched.
    public var misses: UInt64 { fetched.load(ordering: .relaxed) }

    @inline(__always)
    func hit() { answered.add(1, ordering: .relaxed) }

    func miss() { fetched.add(1, ordering: .relaxed) }
}
