import Synchronization

/// How the kernel is made to forget what it remembers of names and attributes. The filesystem has it before there is a
/// mount; the way to the kernel comes when the mount is ready.
public final class Invalidation: Sendable {
    private let call = Mutex<(@Sendable () -> Void)?>(nil)
    private let known = Atomic(false)

    public init() {}

    /// Never called on a thread that answers requests.
    public func set(_ call: @escaping @Sendable () -> Void) {
        self.call.withLock { $0 = call }
        known.store(true, ordering: .releasing)
    }

    /// False until `set`: then nothing may be remembered for long.
    var isPossible: Bool { known.load(ordering: .acquiring) }

    func callAsFunction() { call.withLock { $0 }?() }
}
