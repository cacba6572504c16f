import CFuse
import Glibc
import LinuxIO
import Logging
import Synchronization
import VirtualFS

/// A filesystem on a mount point.
///
///     let session = try FuseSession(fileSystem: tree, options: .init(mountPoint: "/larder"), logger: logger)
///     try session.mount()
///     try session.run { print("ready") }    // until somebody unmounts
public final class FuseSession: Sendable {
    public let options: Options
    /// Requests of the kernel so far, by kind.
    public let counters = FuseCounters()

    private let fileSystem: any FileSystem
    private let logger: Logger
    /// Resolved: this is the name in the mount table.
    private let mountPoint: String
    private let stage = Mutex(Stage.new)

    private enum Stage {
        case new
        case mounted(ServedMount)
        case running(ServedMount)
        case ended
    }

    /// Nothing is mounted yet. Throws where the mount point does not exist.
    public init(fileSystem: any FileSystem, options: Options, logger: Logger) throws(MountError) {
        self.fileSystem = fileSystem
        self.options = options
        self.logger = logger
        mountPoint = try Mounting.resolve(options.mountPoint)
    }

    deinit {
        guard case .mounted = stage.withLock({ $0 }) else { return }
        try? Mounting.unmount(mountPoint, lazily: true)
    }

    /// The kernel reads complete files without us. Known once `run` is ready.
    public var hasPassthrough: Bool {
        running { $0.handshake.hasPassthrough } ?? false
    }

    /// Requests come through io_uring. Known once `run` is ready.
    public var usesIOUring: Bool {
        running { $0.handshake.hasRings } ?? false
    }

    /// Files that are open, and that the kernel has open only so that they can be opened again. 0 before and after `run`.
    var openFiles: Int { running { $0.openFiles.openCount } ?? 0 }
    var stayingFiles: Int { running { $0.openFiles.stayingCount } ?? 0 }

    private func running<Value>(_ body: (ServedMount) -> Value) -> Value? {
        if case .running(let mount) = stage.withLock({ $0 }) { body(mount) } else { nil }
    }

    /// `forgetNames` has an effect: kernels since 6.16. Known once `run` is ready.
    public var canForgetNames: Bool {
        running { $0.handshake.canForgetNames } ?? false
    }

    /// Makes the kernel ask again for every name that it remembers, and with the name for the attributes, present names and
    /// absent ones; and of open files that can be changed for their attributes and content. A working directory keeps its attributes
    /// until it is reached by a name.
    ///
    /// Takes a moment for each file that is open or that is remembered to have been read, and none for names. Must not be called from an operation of the filesystem. Without effect where
    /// `canForgetNames` is false, and after the end.
    public func forgetNames() {
        guard case .running(let mount) = stage.withLock({ $0 }), mount.handshake.canForgetNames else { return }
        mount.forgetNames()
    }

    /// Makes the kernel read a directory again that it keeps the listing of. Must not be called from an operation of the filesystem.
    /// Without effect after the end.
    public func forgetListing(of directory: NodeID) {
        guard case .running(let mount) = stage.withLock({ $0 }) else { return }
        mount.forgetListing(of: directory)
    }

    /// Mounts. From now on whoever looks below the mount point waits until `run` serves it. A mount that a crashed
    /// process has left on the mount point is removed first.
    public func mount() throws(MountError) {
        guard case .new = stage.withLock({ $0 }) else { throw .misuse("a FUSE session can be mounted once") }
        let device = try Mounting.mount(options, on: mountPoint, logger: logger)
        let patch = InitPatch(
            wantsPassthrough: options.passthrough && options.profile == .full && device.isPrivileged,
            isWritable: options.profile == .full && !options.flags.contains(.readOnly),
            wantsRings: options.ioUring && (try? RequestRing.check()) != nil, maxStackDepth: options.maxStackDepth)
        let mount: ServedMount
        do {
            mount = try ServedMount(
                device: device, fileSystem: fileSystem, patch: patch, options: options, counters: counters, logger: logger)
        } catch {
            try Mounting.unmount(mountPoint, lazily: true)
            throw error
        }
        stage.withLock { $0 = .mounted(mount) }
    }

    /// Serves the mount until it is unmounted, by `unmount` or by anybody. Blocks: call it on a thread of its own,
    /// never in a task. `onReady` is called once, when the kernel has the first answer and the mount can be used; if it
    /// never comes to that, `run` throws.
    public func run(onReady: @Sendable () -> Void = {}) throws(MountError) {
        let mount = try start()
        defer { stage.withLock { $0 = .ended } }
        do {
            try mount.serve(threads: options.threadCount, logger: logger) {
                if mount.isPrivileged { setReadAhead() }
                onReady()
            }
        } catch {
            try? Mounting.unmount(mountPoint, lazily: true)
            throw error
        }
        // The connection was cut (fusectl's `abort`) and not unmounted: nobody else would take the remains away.
        _ = try Mounting.unmountIfDead(mountPoint, type: options.type)
    }

    /// Takes the mount off; `run` returns when all is closed. `.busy` where files are open and it is not done
    /// `lazily`. Must not be called from an operation of the filesystem.
    public func unmount(lazily: Bool = false) throws(MountError) {
        switch stage.withLock({ $0 }) {
        case .new, .ended: return
        case .mounted, .running: try Mounting.unmount(mountPoint, lazily: lazily)
        }
    }

    private func start() throws(MountError) -> ServedMount {
        try stage.withLock { stage throws(MountError) in
            guard case .mounted(let mount) = stage else { throw .misuse("a FUSE session is run once, after it was mounted") }
            stage = .running(mount)
            return mount
        }
    }

    /// INIT can only lower the kernel's 128 KiB, so it is raised in sysfs. Without it large reads are merely slower.
    private func setReadAhead() {
        guard let device = MountTable.mounted(on: mountPoint)?.device else { return }
        let path = "/sys/class/bdi/\(device)/read_ahead_kb"
        do {
            let file = try OwnedDescriptor.open(path, O_WRONLY)
            var text = "\(options.readAheadKiB)"
            try text.withUTF8 { try file.write(UnsafeRawBufferPointer($0)) }
        } catch {
            logger.debug("readahead stays as it is", metadata: ["reason": "\(error)"])
        }
    }
}
