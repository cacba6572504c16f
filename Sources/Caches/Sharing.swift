/// How a user of a cache wants to stand beside other users of it: BuildKit's `sharing=` of RUN --mount=type=cache.
public enum Sharing: String, Sendable, Hashable, CaseIterable, Codable {
    /// Beside other `shared` users, in the main instance. Waits while main is held exclusively.
    case shared
    /// Alone in a directory: main if that is free at once, else the most recently used idle instance, else a new one. Never waits.
    case `private`
    /// Alone in the main instance. Waits while main is held at all, first come, first served.
    case locked
}
