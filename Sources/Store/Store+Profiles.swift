import Glibc
import LinuxIO
import OCI

/// What is known of the order in which images are read. A profile only advises what to fetch early: losing one costs time,
/// never content, so it may be replaced and removed at any moment.
extension Store {
    /// The most bytes that a profile may have.
    public static let profileLimit = 8 << 20

    /// The profile under `key`: the digest of an image's manifest, or the content key of one layer. nil where there is none,
    /// or one that is too large to be ours.
    public func profile(_ key: Digest) throws(StoreError) -> [UInt8]? {
        try inStore(root) { () throws(SystemError) in
            try root.openIfPresent(Self.profilePath(key), O_RDONLY | O_NOFOLLOW)?.readAll(limit: Self.profileLimit)
        }
    }

    /// Whether there is one, without reading it.
    public func hasProfile(_ key: Digest) -> Bool { root.exists(Self.profilePath(key)) }

    /// Keeps a profile in place of what was there: readers see the old one or the new one.
    public func setProfile(_ bytes: [UInt8], _ key: Digest) throws(StoreError) {
        guard bytes.count <= Self.profileLimit else {
            throw .tooLarge(path: Self.profilePath(key), bytes: UInt64(bytes.count), limit: UInt64(Self.profileLimit))
        }
        let file = try temporary("profile", mode: 0o644)
        try file.write(bytes)
        try inStore(root) { () throws(SystemError) in
            try root.makeDirectories(StoreLayout.profiles)
            try root.replace(Self.profilePath(key), by: file.name)
        }
        file.becamePublished()
    }

    /// - Returns: false where there was none.
    @discardableResult
    public func removeProfile(_ key: Digest) throws(StoreError) -> Bool {
        try requireWritable()
        return try inStore(root) { () throws(SystemError) in try root.remove(Self.profilePath(key)) }
    }

    private static func profilePath(_ key: Digest) -> String { "\(StoreLayout.profiles)/\(key.hex).json" }
}
