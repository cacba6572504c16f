/// What stands between a live tree and the other users of its directory. A cache's gate is its lease; a tree that nobody
/// shares has `OpenGate`.
public protocol LiveGate: Sendable {
    /// True while this process may change the tree, and then keeps that so for the change at hand. Hot: an atomic or two.
    func admit() -> Bool
    /// Waits for the right to change the tree. Honours cancellation by throwing `.interrupted`.
    func waitForAdmission() async throws(FSError)
    /// A file was opened for writing, or closed again: in between the right must not end.
    func openedForWriting()
    func closedAfterWriting()
    /// Seconds that names and attributes may be cached: `.infinity` while nobody else can change the directory below us.
    var lifetime: Double { get }
}

/// Always open, and alone.
public struct OpenGate: LiveGate {
    public init() {}
    public func admit() -> Bool { true }
    public func waitForAdmission() async throws(FSError) {}
    public func openedForWriting() {}
    public func closedAfterWriting() {}
    public var lifetime: Double { .infinity }
}
