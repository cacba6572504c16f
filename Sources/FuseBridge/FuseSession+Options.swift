import Glibc
import LinuxIO

extension FuseSession {
    /// Whether a mount can get its requests through io_uring.
    public enum IOUringSupport: Sendable {
        case here
        /// The kernel has no such thing (before Linux 6.14).
        case absent
        /// The kernel's administrator has not set `ioUringParameter`, which is how Linux comes.
        case off
        /// The kernel does not let this process have a ring.
        case forbidden(SystemError)
    }

    /// Y or N in this file: whether the kernel offers io_uring to FUSE.
    public static let ioUringParameter = "/sys/module/fuse/parameters/enable_uring"

    public static var ioUringSupport: IOUringSupport {
        guard let file = try? OwnedDescriptor.open(ioUringParameter, O_RDONLY), let value = try? file.readToEnd(limit: 16) else { return .absent }
        if value.first != UInt8(ascii: "Y") { return .off }
        do { try RequestRing.check() } catch { return .forbidden(error) }
        return .here
    }

    /// How much the kernel may do without asking.
    public enum Profile: Sendable {
        /// OPEN is answered, so files can be handed to the kernel whole (passthrough) and lifetimes can end.
        case full
        /// For a tree that never changes: OPEN is refused once and for all (as OPENDIR always is), every cache holds for ever, and
        /// what is warm costs no request at all. The filesystem sees handle 0 everywhere. No passthrough.
        case zeroMessage
    }

    /// Flags of mount(2) that are the user's to choose.
    public struct MountFlags: OptionSet, Sendable {
        public let rawValue: UInt
        public init(rawValue: UInt) { self.rawValue = rawValue }

        /// Also spares a GETATTR after every read: the kernel keeps no access times.
        public static let readOnly = MountFlags(rawValue: UInt(MS_RDONLY))
        public static let noSetuid = MountFlags(rawValue: UInt(MS_NOSUID))
        public static let noDevices = MountFlags(rawValue: UInt(MS_NODEV))
        public static let noExecution = MountFlags(rawValue: UInt(MS_NOEXEC))

        /// As fusermount3 takes them.
        var names: [String] {
            [
                contains(.readOnly) ? "ro" : "rw",
                contains(.noSetuid) ? "nosuid" : "suid",
                contains(.noDevices) ? "nodev" : "dev",
                contains(.noExecution) ? "noexec" : "exec",
            ]
        }
    }

    public struct Options: Sendable {
        /// An existing directory.
        public var mountPoint: String
        public var profile: Profile
        /// Other users than the one who mounts may look. Without root this needs `user_allow_other` in /etc/fuse.conf.
        public var allowOther: Bool
        /// Complete files are read by the kernel without us; needs root and a kernel since 6.9, else quietly not.
        public var passthrough: Bool
        /// 1: the mount may lie below an overlayfs. 2: the store may lie on one, but then nothing can be stacked on us.
        public var maxStackDepth: UInt32
        /// The source that `mount` and `df` show.
        public var name: String
        /// The type is shown as "fuse.SUBTYPE".
        public var subtype: String
        public var flags: MountFlags
        /// Requests that the kernel may have outstanding in the background (readahead, releases).
        public var requestLimit: UInt32
        /// Requests come through io_uring where the kernel offers it (Linux 6.14, with the parameter `enable_uring` of its module
        /// fuse) and the process may use it: each is answered on the processor where it was made.
        public var ioUring: Bool
        /// Threads that answer requests read from the device; nil for one per core, at least two. On two cores a third or fourth gained nothing when
        /// files were made, opened or removed; only stat by one process was faster with three (one busy machine, best of 12).
        public var threads: Int?
        /// How far the kernel reads ahead, in KiB; set as root only.
        public var readAheadKiB: Int

        public init(
            mountPoint: String, profile: Profile = .full, allowOther: Bool = false, passthrough: Bool = true,
            maxStackDepth: UInt32 = 1, name: String = "larder", subtype: String = "larder",
            flags: MountFlags = [.readOnly, .noSetuid, .noDevices], requestLimit: UInt32 = 512, ioUring: Bool = true, threads: Int? = nil,
            readAheadKiB: Int = 4096
        ) {
            self.mountPoint = mountPoint
            self.profile = profile
            self.allowOther = allowOther
            self.passthrough = passthrough
            self.maxStackDepth = maxStackDepth
            self.name = name
            self.subtype = subtype
            self.flags = flags
            self.requestLimit = requestLimit
            self.ioUring = ioUring
            self.threads = threads
            self.readAheadKiB = readAheadKiB
        }

        var type: String { "fuse." + subtype }
        var threadCount: Int { max(1, threads ?? max(2, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))) }
    }
}
