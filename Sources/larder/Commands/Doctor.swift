import ArgumentParser
import FoundationEssentials
import FuseBridge
import Glibc
import LinuxIO
import Store

struct Doctor: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say what this host can do, and what to do about what it cannot.",
        discussion: "Exits with 1 when something is missing that mounting needs."
    )

    @OptionGroup var output: OutputOptions
    @OptionGroup var store: StoreOptions

    private enum Verdict: String, Encodable {
        case good = "ok"
        /// Works, but less well than it could.
        case lesser = "note"
        case missing
    }

    private struct Check: Encodable {
        var name: String
        var verdict: Verdict
        var finding: String
        /// What to do about it; nil where nothing need be done.
        var advice: String?
    }

    func run() async throws {
        let settings = try Settings(store: store)
        let checks = [kernel(), device(), library(), helper(), allowOther(), passthrough(), ioUring(), descriptors(), space(settings), storeCheck(settings), stale()]
        if output.json {
            try Terminal.json(checks)
        } else {
            for check in checks {
                Terminal.output("\(check.verdict.rawValue.padded(to: 8))\(check.name.padded(to: 16))\(check.finding)")
                if let advice = check.advice { Terminal.output(String(repeating: " ", count: 24) + "-> " + advice) }
            }
        }
        if checks.contains(where: { $0.verdict == .missing }) { throw ExitCode(Failure.Code.failed.rawValue) }
    }

    private var isRoot: Bool { geteuid() == 0 }

    private func kernel() -> Check {
        var names = utsname()
        uname(&names)
        let release = withUnsafeBytes(of: names.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        let numbers = release.split(whereSeparator: { !$0.isNumber }).prefix(2).compactMap { Int($0) }
        guard numbers.count == 2 else { return Check(name: "kernel", verdict: .lesser, finding: release, advice: nil) }
        if (numbers[0], numbers[1]) < (5, 6) {
            return Check(name: "kernel", verdict: .missing, finding: release, advice: "Larder needs Linux 5.6 or later (openat2)")
        }
        if (numbers[0], numbers[1]) < (6, 9) {
            return Check(name: "kernel", verdict: .lesser, finding: release, advice: "from Linux 6.9 on, large files are read at the speed of the disk (FUSE passthrough)")
        }
        return Check(name: "kernel", verdict: .good, finding: release, advice: nil)
    }

    private func device() -> Check {
        if access("/dev/fuse", R_OK | W_OK) == 0 { return Check(name: "/dev/fuse", verdict: .good, finding: "can be opened", advice: nil) }
        let reason = String(cString: strerror(errno))
        return Check(name: "/dev/fuse", verdict: .missing, finding: reason, advice: "modprobe fuse; in a container, run it with --device /dev/fuse --cap-add SYS_ADMIN")
    }

    private func library() -> Check { Check(name: "libfuse", verdict: .good, finding: FuseLibrary.version, advice: nil) }

    private func helper() -> Check {
        let found = (settingsPath.split(separator: ":").map(String.init) + ["/usr/bin", "/bin"]).map { $0 + "/fusermount3" }.first { access($0, X_OK) == 0 }
        if let found { return Check(name: "fusermount3", verdict: .good, finding: found, advice: nil) }
        return Check(name: "fusermount3", verdict: isRoot ? .lesser : .missing, finding: "not found", advice: "apt-get install fuse3 (users other than root cannot mount without it)")
    }

    private var settingsPath: String { ProcessInfo.processInfo.environment["PATH"] ?? "" }

    private func allowOther() -> Check {
        if isRoot { return Check(name: "allow_other", verdict: .good, finding: "root may always let others look", advice: nil) }
        let text = FileManager.default.contents(atPath: "/etc/fuse.conf").map { String(decoding: $0, as: UTF8.self) } ?? ""
        let set = text.split(separator: "\n").contains { $0.trimmingPrefix(while: \.isWhitespace).hasPrefix("user_allow_other") }
        return set
            ? Check(name: "allow_other", verdict: .good, finding: "user_allow_other is set", advice: nil)
            : Check(name: "allow_other", verdict: .lesser, finding: "only you will see your mounts", advice: "put user_allow_other into /etc/fuse.conf to use --allow-other")
    }

    private func passthrough() -> Check {
        isRoot
            ? Check(name: "passthrough", verdict: .good, finding: "asked of the kernel at mount; the log of the mount says whether it agreed", advice: nil)
            : Check(name: "passthrough", verdict: .lesser, finding: "needs root", advice: "mount as root to have large files read by the kernel itself")
    }

    private func ioUring() -> Check {
        func lesser(_ finding: String, _ advice: String) -> Check { Check(name: "io_uring", verdict: .lesser, finding: finding, advice: advice) }
        switch FuseSession.ioUringSupport {
        case .here: return Check(name: "io_uring", verdict: .good, finding: "the kernel hands requests over through it", advice: nil)
        case .absent: return lesser("this kernel has no FUSE over io_uring", "from Linux 6.14 on, making, renaming and removing files takes half the time with it")
        case .off:
            return lesser(
                "FUSE over io_uring is off",
                "echo Y > \(FuseSession.ioUringParameter) (for good: options fuse enable_uring=1 in /etc/modprobe.d), and mount again")
        case .forbidden(let reason):
            return lesser("not for this process: \(reason)", "allow it with sysctl kernel.io_uring_disabled=0; in a container, with its seccomp profile")
        }
    }

    private func descriptors() -> Check {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        return limit.rlim_max >= 4096
            ? Check(name: "open files", verdict: .good, finding: "up to \(limit.rlim_max)", advice: nil)
            : Check(name: "open files", verdict: .lesser, finding: "up to \(limit.rlim_max)", advice: "raise LimitNOFILE (systemd) or ulimit -Hn to 4096 or more")
    }

    private func space(_ settings: Settings) -> Check {
        var path = settings.storePath
        while access(path, F_OK) != 0, let slash = path.lastIndex(of: "/"), slash != path.startIndex { path = String(path[..<slash]) }
        var disk = statvfs()
        guard statvfs(path, &disk) == 0 else { return Check(name: "space", verdict: .lesser, finding: "unknown for \(path)", advice: nil) }
        let free = UInt64(disk.f_bavail) * UInt64(disk.f_frsize)
        return free >= 5 << 30
            ? Check(name: "space", verdict: .good, finding: "\(free.bytesText) free for \(settings.storePath)", advice: nil)
            : Check(name: "space", verdict: .lesser, finding: "\(free.bytesText) free for \(settings.storePath)", advice: "free some, or put the store elsewhere with --store")
    }

    private func storeCheck(_ settings: Settings) -> Check {
        do {
            let store = try settings.openStore(create: false)
            return Check(name: "store", verdict: .good, finding: "\(settings.storePath)\(store.isReadOnly ? " (read-only for you)" : ""), \(try store.references().count) images", advice: nil)
        } catch StoreError.missing {
            return Check(name: "store", verdict: .good, finding: "none yet at \(settings.storePath); the first mount or pull makes it", advice: nil)
        } catch {
            return Check(name: "store", verdict: .missing, finding: "\(error)", advice: "choose another with --store, or run larder verify")
        }
    }

    private func stale() -> Check {
        let dead = ((try? LarderMount.all()) ?? []).filter { !FileManager.default.fileExists(atPath: $0.path) }
        return dead.isEmpty
            ? Check(name: "mounts", verdict: .good, finding: "none without a daemon", advice: nil)
            : Check(name: "mounts", verdict: .lesser, finding: "without a daemon: \(dead.map(\.path).joined(separator: ", "))", advice: "mount again there, or larder umount --lazy")
    }
}

extension String {
    fileprivate func padded(to width: Int) -> String { self + String(repeating: " ", count: max(1, width - count)) }
}
