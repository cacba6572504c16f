import Glibc
import LinuxIO
import Logging

/// Putting a FUSE device on a directory and taking it off again: with mount(2) as root, else through fusermount3.
enum Mounting {
    /// The largest READ; also the kernel's default limit of 256 pages for one request.
    private static let maxRead = 1 << 20
    /// Dead mounts of ours may lie on one another where a daemon crashed repeatedly.
    private static let staleLimit = 16

    /// Mounts and returns the device. `mountPoint` must have been resolved.
    static func mount(_ options: FuseSession.Options, on mountPoint: String, logger: Logger) throws(MountError) -> MountedDevice {
        let status = try clear(mountPoint, type: options.type, logger: logger)
        guard status.st_mode & S_IFMT == S_IFDIR else { throw .mountPoint(mountPoint, reason: "not a directory") }
        if geteuid() == 0, let device = try mountDirectly(options, on: mountPoint, status) {
            return MountedDevice(descriptor: device, isPrivileged: true)
        }
        return MountedDevice(descriptor: try MountHelper.mount(helperOptions(options), on: mountPoint), isPrivileged: false)
    }

    /// Takes the mount off. With `lazily` it goes from the tree at once and ends when the last file below is closed.
    /// Nothing happens where it has gone already.
    static func unmount(_ mountPoint: String, lazily: Bool) throws(MountError) {
        if umount2(mountPoint, lazily ? Int32(MNT_DETACH) : 0) == 0 { return }
        switch errno {
        case EINVAL, ENOENT: return
        case EBUSY: throw .busy(mountPoint)
        case EPERM where geteuid() != 0: try MountHelper.unmount(mountPoint, lazily: lazily)
        case let code: throw .refused(SystemError("umount", path: mountPoint, code: code))
        }
    }

    /// No symlinks, no dots. A dead mount at the end does not matter: realpath only reads the links before it.
    static func resolve(_ path: String) throws(MountError) -> String {
        guard let resolved = realpath(path, nil) else { throw .mountPoint(path, reason: String(cString: strerror(errno))) }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    /// Removes what a crashed daemon of ours has left there ("Transport endpoint is not connected").
    private static func clear(_ path: String, type: String, logger: Logger) throws(MountError) -> stat {
        for _ in 0..<staleLimit {
            guard try unmountIfDead(path, type: type) else { break }
            logger.notice("removed a dead mount", metadata: ["path": "\(path)", "type": "\(type)"])
        }
        var status = stat()
        guard stat(path, &status) == 0 else { throw .mountPoint(path, reason: String(cString: strerror(errno))) }
        return status
    }

    /// Takes off a mount of `type` whose connection has ended. Returns false where there is none.
    ///
    /// STATFS is the one question that the kernel never answers from a cache: stat(2) of a dead root still succeeds. It is
    /// cancelled where the rings of a process that has just ended still stand.
    static func unmountIfDead(_ path: String, type: String) throws(MountError) -> Bool {
        var status = statvfs()
        guard MountTable.mounted(on: path)?.type == type, statvfs(path, &status) != 0,
            errno == ENOTCONN || errno == ECANCELED
        else { return false }
        try unmount(path, lazily: true)
        return true
    }

    /// nil where root has not the right to mount, as in a container.
    private static func mountDirectly(
        _ options: FuseSession.Options, on path: String, _ status: stat
    ) throws(MountError) -> OwnedDescriptor? {
        let device: OwnedDescriptor
        do { device = try .open("/dev/fuse", O_RDWR) } catch { throw .device(error) }
        var data = "fd=\(device.raw),rootmode=\(String(status.st_mode & S_IFMT, radix: 8)),user_id=\(getuid()),group_id=\(getgid())"
        data += ",default_permissions,max_read=\(maxRead)"
        if options.allowOther { data += ",allow_other" }
        if Glibc.mount(options.name, path, options.type, options.flags.rawValue, data) == 0 { return device }
        if errno == EPERM { return nil }
        throw .refused(SystemError("mount", path: path))
    }

    private static func helperOptions(_ options: FuseSession.Options) -> String {
        var words = options.flags.names
        words += ["default_permissions", "max_read=\(maxRead)", "fsname=" + escape(options.name), "subtype=" + escape(options.subtype)]
        if options.allowOther { words.append("allow_other") }
        return words.joined(separator: ",")
    }

    private static func escape(_ value: String) -> String {
        String(value.flatMap { $0 == "," || $0 == "\\" ? ["\\", $0] : [$0] })
    }
}

/// A FUSE device with a mount behind it.
struct MountedDevice: ~Copyable {
    let descriptor: OwnedDescriptor
    /// We mounted it ourselves, with the rights that passthrough needs too.
    let isPrivileged: Bool

    consuming func take() -> Int32 { descriptor.release() }
}
