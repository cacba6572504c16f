import Glibc

/// Draws operations from a seed. Names, places and numbers come from small sets, so that operations meet each other.
struct Generator {
    private var state: UInt64
    /// Paths of what was made lately.
    private var recent: [[UInt8]] = [Array("a".utf8), Array("b".utf8), Array("c".utf8), Array("a/b".utf8)]
    private var directories: [[UInt8]] = [Array("a".utf8), Array("b".utf8), Array("c".utf8), Array("a/b".utf8)]
    /// By worker: the places that hold something.
    private var full = [Set<Int>](repeating: [], count: 2)
    private var mapped = [Set<Int>](repeating: [], count: 2)
    private let kinds: [Kind]
    /// Whether files get set-user-id and set-group-id bits; directories do in any case.
    private let setsIDs: Bool

    static let handles = 8
    static let streams = 3
    static let maps = 3
    static let pageBytes: Int64 = 4096
    /// Files stay below this, so that comparing whole trees stays cheap.
    static let sizeLimit: Int64 = 1 << 20

    init(seed: UInt64, without left: Set<Kind> = [], setsIDs: Bool = true) {
        self.setsIDs = setsIDs
        state = seed
        kinds = Kind.drawn.filter { !left.contains($0) }
    }

    /// What every sequence starts with: directories that both users may change, one with the sticky and one with the
    /// set-group-id bit.
    static var beginning: [Operation] {
        var operations: [Operation] = []
        for (name, mode, group) in [("a", 0o777, 0), ("b", 0o1777, 0), ("c", 0o2775, 2000), ("a/b", 0o755, 0)] as [(String, Int64, Int64)] {
            var make = Operation(.mkdir, worker: 0)
            make.path = Array(name.utf8)
            make.a = 0o777
            var own = Operation(.chown, worker: 0)
            own.path = make.path
            own.a = group == 0 ? -1 : 1000
            own.b = group == 0 ? -1 : group
            var allow = Operation(.chmod, worker: 0)
            allow.path = make.path
            allow.a = mode
            operations += [make, own, allow]
        }
        return operations
    }

    mutating func next() -> Operation {
        var operation = Operation(kinds[below(kinds.count)], worker: below(2))
        operation.ordinary = chance(35)
        operation.handle = place(operation.worker)
        operation.other = place(operation.worker)
        if chance(12) { operation.base = Operation.Base.top } else if chance(5) { operation.base = place(operation.worker) }
        if chance(12) { operation.otherBase = Operation.Base.top } else if chance(5) { operation.otherBase = place(operation.worker) }
        operation.path = operation.kind.makesNames && !operation.kind.makesOtherName ? newPath() : path()
        operation.otherPath = operation.kind.makesOtherName ? newPath() : path()
        if [.open, .openUnnamed].contains(operation.kind), chance(50) { operation.handle = below(Self.handles) }
        numbers(&operation)
        return operation
    }

    /// What was made is what later operations like to work on.
    mutating func note(success operation: Operation) {
        switch operation.kind {
        case .open, .openUnnamed: full[operation.worker].insert(operation.handle)
        case .dup: full[operation.worker].insert(operation.other)
        case .close: full[operation.worker].remove(operation.handle)
        case .map: mapped[operation.worker].insert(operation.other)
        case .unmap: mapped[operation.worker].remove(operation.other)
        default: break
        }
        guard operation.kind.makesNames else { return }
        let path = operation.kind.makesOtherName ? operation.otherPath : operation.path
        if operation.kind == .mkdir { Self.keep(path, in: &directories, 10) }
        Self.keep(path, in: &recent, 24)
    }

    private static func keep(_ path: [UInt8], in list: inout [[UInt8]], _ limit: Int) {
        guard path.count < 40 else { return }
        list.append(path)
        if list.count > limit { list.removeFirst() }
    }

    private mutating func numbers(_ operation: inout Operation) {
        switch operation.kind {
        case .open:
            operation.a = Int64(openFlags())
            operation.b = mode(new: true)
            if chance(12) { operation.a |= Int64(O_DIRECTORY); operation.a &= ~Int64(O_CREAT | O_ACCMODE | O_TRUNC) }
        case .openUnnamed:
            operation.a = Int64(chance(70) ? O_RDWR : O_WRONLY) | Int64(chance(20) ? O_EXCL : 0)
            operation.b = mode(new: true)
        case .read, .pread, .readv, .write, .pwrite, .writev, .mapRead, .mapStore, .mapTimes:
            operation.a = offset()
            operation.b = length()
            operation.c = Int64(truncatingIfNeeded: bits() >> 1)
        case .seek:
            operation.a = offset() - (chance(10) ? 100_000 : 0)
            operation.b = Int64(below(3))
        case .seekHole:
            operation.a = offset()
            operation.b = Int64(below(2))
        case .ftruncate, .truncate:
            operation.a = chance(3) ? -1 : offset()
        case .fallocate:
            operation.a = offset()
            operation.b = chance(5) ? 0 : length()
            // Nothing, keep size, punch a hole, zero a range. FUSE has no words for collapsing and inserting.
            operation.c = [0, 0, 1, 3, 3, 0x10, 0x11, 0x02][below(8)]
        case .copyRange, .sendfile, .splice:
            operation.a = chance(30) ? -1 : offset()
            operation.b = chance(30) ? -1 : offset()
            operation.c = length()
        case .mkdir:
            operation.a = mode(directory: true)
        case .chmod, .fchmod:
            operation.a = mode()
        case .fifo, .socket, .regular, .device:
            operation.a = mode(new: true)
            operation.b = Int64(below(4))
        case .chown, .lchown, .fchown:
            operation.a = [-1, 0, 1000, 1000, 1001][below(5)]
            operation.b = [-1, 0, 1000, 2000, 1001][below(5)]
            // Both -1 takes set-id bits off, which is the owner's right alone; FUSE's question does not tell it from what comes
            // before anybody's write.
            if operation.a == -1, operation.ordinary { operation.b = 1000 }
        case .umask:
            operation.a = [0o022, 0o022, 0, 0o077, 0o027][below(5)]
        case .utimens, .lutimens, .futimens:
            operation.a = time()
            operation.b = time()
            operation.c = Int64(below(1_000_000_000))
        case .fchdir:
            operation.a = Int64(chance(80) ? 1 : 0)
        case .access, .accessEffective:
            operation.a = Int64(below(8))
        case .setxattr, .lsetxattr, .fsetxattr:
            operation.a = Int64(chance(60) ? 0 : below(5))
            operation.b = chance(5) ? 5000 : Int64(below(200))
            operation.c = Int64(chance(70) ? 0 : 1 + below(2))
        case .getxattr, .fgetxattr, .removexattr, .fremovexattr:
            operation.a = Int64(chance(60) ? 0 : below(5))
            operation.b = chance(20) ? 0 : chance(10) ? 5 : 8192
        case .listxattr, .flistxattr:
            operation.b = chance(20) ? 0 : chance(10) ? 5 : 8192
        case .openDirectory, .listOpen, .seekDirectory, .closeDirectory:
            operation.handle = below(Self.streams)
            operation.a = Int64(below(6))
        case .map, .unmap:
            operation.other = below(Self.maps)
            operation.a = Int64(below(3)) * Self.pageBytes
            operation.b = Int64(below(3))
        case .flock:
            operation.a = Int64([LOCK_SH, LOCK_EX, LOCK_UN][below(3)] | LOCK_NB)
        case .lock, .lockHolder, .descriptionLock, .descriptionLockHolder:
            operation.a = Int64(below(3))
            operation.b = Int64(below(4)) * 100
            operation.c = Int64(below(4)) * 100
        case .setAppend:
            // Only on: for FUSE passthrough the kernel opens the file below with the flags of open(2), and a later "off" does
            // not reach it.
            operation.a = 1
        case .advise:
            operation.a = Int64(below(6))
        default:
            break
        }
        if [.mapRead, .mapStore, .mapTimes].contains(operation.kind) {
            operation.other = mapped[operation.worker].sorted().randomElement(using: &self) ?? below(Self.maps)
        }
    }

    /// O_NONBLOCK always, so that nothing waits on a fifo.
    private mutating func openFlags() -> Int32 {
        var flags = [O_RDONLY, O_WRONLY, O_RDWR, O_RDWR][below(4)] | O_NONBLOCK
        if chance(75) { flags |= O_CREAT }
        if chance(10) { flags |= O_EXCL }
        if chance(15) { flags |= O_TRUNC }
        if chance(20) { flags |= O_APPEND }
        if chance(10) { flags |= O_NOFOLLOW }
        if chance(5) { flags |= 0o10000000 /* O_PATH */ }
        if chance(4) { flags |= O_SYNC }
        if chance(4) { flags |= 0o1000000 /* O_NOATIME */ }
        return flags
    }

    /// A file never gets the set-group-id bit without the group's right to execute: that once meant mandatory locking, and who
    /// loses it depends on groups that only the kernel knows. As a umask takes that right, `new` files get none at all.
    private mutating func mode(directory: Bool = false, new: Bool = false) -> Int64 {
        let mode = anyMode()
        if directory { return mode }
        if !setsIDs { return mode & 0o1777 }
        return mode & 0o2000 == 0 || (!new && mode & 0o10 != 0) ? mode : mode & ~0o2000
    }

    private mutating func anyMode() -> Int64 {
        if chance(55) { return [0o644, 0o755, 0o666, 0o777][below(4)] }
        if chance(40) { return [0o4755, 0o2755, 0o6777, 0o1777, 0o2775, 0o4711][below(6)] }
        return Int64(below(0o10000))
    }

    private mutating func offset() -> Int64 {
        switch below(6) {
        case 0: 0
        case 1: Int64(below(100))
        case 2: Int64(below(64)) * Self.pageBytes
        case 3: Int64(below(16)) * Self.pageBytes + Int64(below(3)) - 1 < 0 ? 0 : Int64(below(16)) * Self.pageBytes + 1
        case 4: Int64(below(20_000))
        default: Int64(below(Int(Self.sizeLimit) - 100_000))
        }
    }

    private mutating func length() -> Int64 {
        switch below(5) {
        case 0: Int64(below(20))
        case 1: Int64(below(5000))
        case 2: Self.pageBytes * Int64(1 + below(4))
        case 3: Int64(below(70_000))
        default: 100
        }
    }

    /// Seconds long ago; -1 is UTIME_NOW, -2 UTIME_OMIT.
    private mutating func time() -> Int64 {
        switch below(5) {
        case 0: -1
        case 1: -2
        case 2: 0
        default: Int64(below(1_000_000_000))
        }
    }

    private static let names: [[UInt8]] = [[0x61], [0x62], [0x63], [0x64], [0x65], [0x66], [0xff, 0x01], Array("name with spaces".utf8)]

    /// More than there are files at a time, so that a new name is often new.
    private static let fresh: [[UInt8]] = (0..<40).map { Array("n\($0)".utf8) }

    private mutating func name() -> [UInt8] {
        switch below(100) {
        case 0: [UInt8](repeating: 0x6c, count: 255)
        case 1: chance(50) ? [UInt8](repeating: 0x6c, count: 256) : Array("..".utf8)
        case 2: Array(".".utf8)
        default: Self.names[chance(80) ? below(6) : below(8)]
        }
    }

    /// Of something that may have to be made yet.
    private mutating func newPath() -> [UInt8] {
        guard chance(60), let directory = directories.randomElement(using: &self) else { return path() }
        let name = chance(50) ? name() : Self.fresh[below(Self.fresh.count)]
        return chance(30) ? name : directory + [0x2f] + name
    }

    private mutating func path() -> [UInt8] {
        if chance(65), let path = recent.randomElement(using: &self) {
            if chance(75) { return path }
            if chance(50) { return path + [0x2f] + name() }
            guard let slash = path.lastIndex(of: 0x2f), slash > 0 else { return path }
            return Array(path[..<slash])
        }
        var path = name()
        if chance(40) { path += [0x2f] + name() }
        if chance(8) { path += [0x2f] + name() }
        if chance(2) { path += [0x2f] }
        if chance(3) { path = [0x2f] + path }
        if chance(1) { path = [] }
        return path
    }

    private mutating func bits() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }

    /// Mostly one that is full.
    private mutating func place(_ worker: Int) -> Int {
        if chance(85), let place = full[worker].sorted().randomElement(using: &self) { return place }
        return below(Self.handles)
    }

    private mutating func below(_ limit: Int) -> Int { Int(bits() % UInt64(limit)) }
    private mutating func chance(_ percent: Int) -> Bool { below(100) < percent }
}

extension Generator: RandomNumberGenerator {
    mutating func next() -> UInt64 { bits() }
}

extension Kind {
    var makesNames: Bool {
        switch self {
        case .open, .mkdir, .fifo, .socket, .device, .regular, .symlink: true
        default: makesOtherName
        }
    }

    var makesOtherName: Bool {
        switch self {
        case .link, .linkFollowing, .linkHandle, .rename, .renameNoReplace, .exchange, .whiteout: true
        default: false
        }
    }
}
