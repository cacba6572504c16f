import Synchronization

/// How the kernel is made to forget what it remembers of names, attributes and listings. The filesystem has it before there is a
/// mount; the way to the kernel comes when the mount is ready.
public final class Invalidation: Sendable {
    private struct Calls {
        var names: (@Sendable () -> Void)?
        var listing: (@Sendable (NodeID) -> Void)?
    }

    private let calls = Mutex(Calls())
    private let known = Atomic(false)

    public init() {}

    /// Without `names` (a kernel before 6.16) names may not be remembered for long. Neither is called on a thread that answers requests.
    public func set(names: (@Sendable () -> Void)?, listing: @escaping @Sendable (NodeID) -> Void) {
        calls.withLock { $0 = Calls(names: names, listing: listing) }
        known.store(names != nil, ordering: .releasing)
    }

    /// Names can be forgotten. False until `set`.
    var isPossible: Bool { known.load(ordering: .acquiring) }

    func names() { calls.withLock { $0.names }?() }
    func listing(of directory: NodeID) { calls.withLock { $0.listing }?(directory) }
}
