import Caches
import FuseBridge
import Glibc
import LinuxIO

/// A cache's directory, mounted somewhere by a process that holds its lease: `larder mount cache:ID DIR`. No FUSE is in it, so
/// what it is shows in the mount table alone.
struct CacheMount {
    /// A mount point, without symlinks.
    let path: String
    let id: Int
    /// The instance's directory in its filesystem.
    let root: String

    /// The topmost mount on `path`, if it is one of ours.
    init?(at path: String) throws(SystemError) {
        guard let mount = try MountTable().all().last(where: { $0.path == path }), Self.isInstance(mount.root) else { return nil }
        self.path = path
        id = mount.id
        root = mount.root
    }

    /// `…/caches/ENCODED/instances/N`
    private static func isInstance(_ root: String) -> Bool {
        let parts = root.split(separator: "/")
        return parts.count >= 4 && parts[parts.count - 4] == "caches" && parts[parts.count - 2] == "instances" && Int(parts[parts.count - 1]) != nil
    }

    /// What the record of the holder's lease says; its beginning, where the path is long.
    static func command(_ cache: CacheName, _ path: String) -> String { "larder mount cache:\(cache) \(path)" }

    /// The leases that hold the mount of `cache` on `path`: one, or none where the holder was killed.
    static func holders(of cache: CacheName, at path: String, in library: CacheLibrary) throws(CacheError) -> [LeaseRecord] {
        let command = command(cache, path)
        return try library.leases(on: cache).filter {
            $0.command == command || ($0.command.utf8.count > HolderIdentity.commandLimit - 4 && command.hasPrefix($0.command))
        }
    }

    /// The cache that is mounted; nil where it is none of `library`'s.
    func cache(in library: CacheLibrary) throws(CacheError) -> CacheName? {
        let parts = root.utf8.split(separator: UInt8(ascii: "/"))
        return try library.name(encoded: Array(parts[parts.count - 3]))
    }

    /// Takes the mount off and waits until its holder has given the lease back.
    func unmount(lazily: Bool, in library: CacheLibrary?) throws {
        try FuseMounts.unmount(path, lazily: lazily)
        guard let library, let cache = try cache(in: library) else { return }
        let end = ContinuousClock.now + .seconds(10)
        while try !Self.holders(of: cache, at: path, in: library).isEmpty {
            guard ContinuousClock.now < end else { throw Failure(.inUse, "\(path) is unmounted, but the lease on cache '\(cache)' is still held; see `larder lease ls`") }
            usleep(20_000)
        }
    }
}
