import Glibc
import Testing

/// Tests of the built command on real mounts against real registries. One at a time: each has daemons of its own, and
/// a failure should be about one of them.
///
/// They need root (devices, chroot, mount(2)) and the tools of `mount-scripts/packages test`. Where those are missing
/// they are skipped, but with `CI` set they run and fail.
@Suite(.serialized, .enabled(if: Prerequisites.areMet, "needs root, /dev/fuse, \(LarderCommand.binary) and: mount-scripts/packages run test"))
enum EndToEnd {}

enum Prerequisites {
    static let tools = ["python3", "docker-registry", "htpasswd", "skopeo", "umoci", "debootstrap", "ctr-remote", "zstd", "fusermount3",
                        "npm", "go", "git", "stress-ng", "dpkg-deb"]

    static var areMet: Bool {
        if let flag = Environment.current["CI"], !flag.isEmpty { return true }
        return geteuid() == 0 && access("/dev/fuse", R_OK | W_OK) == 0 && access(LarderCommand.binary, X_OK) == 0
            && tools.allSatisfy(Program.isInstalled)
    }
}
