/// The kinds of `RUN --mount` (BuildKit's `type=`).
public enum MountType: String, Sendable, Hashable, CaseIterable {
    case bind, cache, tmpfs, secret, ssh
}
