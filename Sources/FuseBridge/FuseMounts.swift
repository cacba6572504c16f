import CFuse
import LinuxIO

/// FUSE mounts of this host, whoever serves them.
public enum FuseMounts {
    /// Mount points of a filesystem type such as "fuse.larder", in the order of mounting.
    public static func paths(ofType type: String) throws(MountError) -> [String] {
        do throws(SystemError) {
            return try MountTable().all().filter { $0.type == type }.map(\.path)
        } catch {
            throw .refused(error)
        }
    }

    /// Takes a mount off by its resolved path. `.busy` where it is in use and it is not done `lazily`.
    public static func unmount(_ path: String, lazily: Bool) throws(MountError) { try Mounting.unmount(path, lazily: lazily) }
}

/// The libfuse that this program runs with.
public enum FuseLibrary {
    public static var version: String { String(cString: fuse_pkgversion()) }
}
