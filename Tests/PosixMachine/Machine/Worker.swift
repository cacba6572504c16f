import CPosixMachine
import Glibc

/// One of the two processes of a side. It lives in a chroot, so that no path leads out, and does one operation at a time.
struct Worker {
    var handles = [Int32](repeating: -1, count: Generator.handles)
    var streams = [OpaquePointer?](repeating: nil, count: Generator.streams)
    var maps = [Mapping?](repeating: nil, count: Generator.maps)
    let top: Int32
    /// The object of a descriptor itself, with an empty path.
    static let itself = Int32(PM_EMPTY_PATH)
    /// Both ends of a pipe, through which mapped memory is read and written: the kernel then answers EFAULT where a touch
    /// of our own would be SIGBUS.
    var pipe: (read: Int32, write: Int32) = (-1, -1)
    private var isOrdinary = false

    init?(directory: String, alike: String) {
        signal(SIGPIPE, SIG_IGN)
        guard pm_mount_alike(directory, alike) == 0, chdir(directory) == 0, chroot(".") == 0 else { return nil }
        top = pm_open(AT_FDCWD, "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
        var ends: [Int32] = [-1, -1]
        guard top >= 0, Glibc.pipe(&ends) == 0 else { return nil }
        pipe = (ends[0], ends[1])
        _ = pm_set_flags(ends[0], O_NONBLOCK)
        _ = pm_set_flags(ends[1], O_NONBLOCK)
        Glibc.umask(0o022)
    }

    mutating func serve() {
        while let line = Channel.receive(0), let operation = Operation(line: line) {
            become(ordinary: operation.ordinary)
            errno = 0
            guard Channel.send(1, perform(operation).bytes) else { return }
        }
    }

    mutating func become(ordinary: Bool) {
        guard ordinary != isOrdinary else { return }
        guard (ordinary ? pm_become(1000, 1000, 2000) : pm_become(0, 0, 0)) == 0 else { fatalError("cannot change users: errno \(errno)") }
        isOrdinary = ordinary
    }

    var wasOrdinary: Bool { isOrdinary }

    private mutating func perform(_ operation: Operation) -> Answer {
        switch operation.kind {
        case .open, .close, .dup, .read, .pread, .readv, .write, .pwrite, .writev, .seek, .seekHole, .getFlags, .setAppend,
            .openUnnamed, .linkHandle:
            files(operation)
        case .ftruncate, .truncate, .fallocate, .fsync, .fdatasync, .fsyncDirectory, .copyRange, .sendfile, .splice, .advise:
            contents(operation)
        case .mkdir, .rmdir, .unlink, .link, .linkFollowing, .symlink, .readlink, .rename, .renameNoReplace, .exchange, .whiteout,
            .fifo, .socket, .device, .regular:
            names(operation)
        case .stat, .lstat, .fstat, .statx, .statfs, .access, .accessEffective, .chmod, .fchmod, .chown, .lchown, .fchown, .umask,
            .utimens, .lutimens, .futimens:
            attributes(operation)
        case .setxattr, .lsetxattr, .fsetxattr, .getxattr, .fgetxattr, .listxattr, .flistxattr, .removexattr, .fremovexattr:
            extendedAttributes(operation)
        case .list, .openDirectory, .listOpen, .seekDirectory, .closeDirectory, .chdir, .fchdir, .getcwd, .tree:
            directories(operation)
        case .map, .mapRead, .mapStore, .mapTimes, .unmap:
            mappings(operation)
        case .flock, .lock, .lockHolder, .descriptionLock, .descriptionLockHolder:
            locks(operation)
        case .tick:
            Answer()
        }
    }

    /// The descriptor that a path starts from; an empty place gives one that is surely wrong.
    func base(_ place: Int) -> Int32 {
        switch place {
        case Operation.Base.current: AT_FDCWD
        case Operation.Base.top: top
        default: handles[place] >= 0 ? handles[place] : 9999
        }
    }

    func handle(_ place: Int) -> Int32 { handles[place] >= 0 ? handles[place] : 9999 }

    static func withPath<R>(_ path: [UInt8], _ body: (UnsafePointer<CChar>) -> R) -> R {
        (path + [0]).withUnsafeBytes { body($0.baseAddress!.assumingMemoryBound(to: CChar.self)) }
    }

    /// `count` bytes that follow from `seed`.
    static func pattern(_ seed: Int64, _ count: Int) -> [UInt8] {
        var state = UInt64(bitPattern: seed) | 1
        return (0..<count).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return UInt8(truncatingIfNeeded: state >> 56)
        }
    }

    static func digest(_ bytes: some Collection<UInt8>) -> String {
        let bytes = Array(bytes)
        return "\(bytes.count)#\(bytes.withUnsafeBytes { Text.hex(Text.hash($0)) })"
    }
}

/// Frames of bytes over a pipe.
enum Channel {
    static func send(_ descriptor: Int32, _ bytes: [UInt8]) -> Bool {
        var frame = withUnsafeBytes(of: UInt32(bytes.count)) { Array($0) } + bytes
        while !frame.isEmpty {
            let count = write(descriptor, frame, frame.count)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return false }
            frame.removeFirst(count)
        }
        return true
    }

    static func receive(_ descriptor: Int32) -> [UInt8]? {
        guard let head = exactly(4, descriptor) else { return nil }
        return exactly(Int(head.withUnsafeBytes { $0.loadUnaligned(as: UInt32.self) }), descriptor)
    }

    private static func exactly(_ count: Int, _ descriptor: Int32) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        var done = 0
        while done < count {
            let got = bytes.withUnsafeMutableBytes { read(descriptor, $0.baseAddress! + done, count - done) }
            if got < 0 && errno == EINTR { continue }
            guard got > 0 else { return nil }
            done += got
        }
        return bytes
    }
}
