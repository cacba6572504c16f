import CLinux
import Glibc
import LinuxIO
@testable import VirtualFS

/// What an operation said: an errno or 0, and what can be seen of the result.
struct Outcome: Equatable, CustomStringConvertible {
    var code: Int32 = 0
    var value = ""

    var description: String { code == 0 ? "ok \(value)" : String(cString: strerror(code)) }

    init(_ body: () throws(FSError) -> String) {
        do throws(FSError) { value = try body() } catch { code = error.number }
    }

    /// 0 or more is success.
    init(result: Int, _ value: () -> String = { "" }) {
        if result < 0 { code = errno } else { self.value = value() }
    }
}

/// What both sides must agree on of a stat. The size of a directory is the disk's secret.
func shown(_ a: Attributes) -> String {
    let isDirectory = a.mode & S_IFMT == S_IFDIR
    return "mode=\(String(a.mode, radix: 8)) n=\(a.linkCount) \(a.uid):\(a.gid) size=\(isDirectory ? 0 : a.size) dev=\(a.deviceMajor),\(a.deviceMinor)"
}

func shown(_ object: larder_object) -> String {
    let isDirectory = object.mode & S_IFMT == S_IFDIR
    return "mode=\(String(object.mode, radix: 8)) n=\(object.links) \(object.uid):\(object.gid) size=\(isDirectory ? 0 : object.size) dev=\(object.device_major),\(object.device_minor)"
}

/// One directory changed in the usual way, and asked with the calls that a program would use.
final class PlainSide {
    let base: String
    var handles: [Int32?]

    init(_ base: String, handles: Int) {
        self.base = base
        self.handles = Array(repeating: nil, count: handles)
    }

    func path(_ path: [String]) -> String { ([base] + path).joined(separator: "/") }

    /// Fails as the walk to the parent fails: no component may be a link.
    func walk(_ path: [String]) -> Int32? {
        for depth in 0..<max(0, path.count - 1) {
            var status = stat()
            guard lstat(self.path(Array(path[...depth])), &status) == 0 else { return errno }
            guard status.st_mode & S_IFMT == S_IFDIR else { return ENOTDIR }
        }
        return nil
    }

    func run(_ path: [String], _ call: (String) -> Int) -> Outcome {
        if let code = walk(path) {
            errno = code
            return Outcome(result: -1)
        }
        return Outcome(result: call(self.path(path)))
    }

    func look(_ path: [String]) -> Outcome {
        if let code = walk(path) {
            errno = code
            return Outcome(result: -1)
        }
        var object = larder_object()
        // statx(2) and no more.
        errno = -larder_look(-100, self.path(path), &object)
        return Outcome(result: errno == 0 ? 0 : -1) { shown(object) }
    }
}

/// The other directory, through the tree, with the walk and the few checks that the kernel makes above a filesystem.
final class LiveSide {
    let fixture: LiveFixture
    var handles: [(node: NodeID, handle: UInt64)?]
    /// Lookups that the kernel would still hold.
    var held: [NodeID] = []

    init(_ fixture: LiveFixture, handles: Int) {
        self.fixture = fixture
        self.handles = Array(repeating: nil, count: handles)
    }

    func keep(_ entry: Entry) -> Entry {
        held.append(entry.attributes.node)
        return entry
    }

    /// As the kernel under memory pressure: forgets some, in any order.
    func shrink(to count: Int, _ random: inout some RandomNumberGenerator) {
        while held.count > count {
            held.swapAt(Int.random(in: 0..<held.count, using: &random), held.count - 1)
            fixture.tree.forget(held.removeLast(), count: 1)
        }
    }

    func parent(_ path: [String]) throws(FSError) -> NodeID {
        var node = fixture.tree.root
        for name in path.dropLast() {
            guard let entry = try fixture.lookup(name, in: node) else { throw .system(ENOENT) }
            node = keep(entry).attributes.node
            guard entry.attributes.mode & S_IFMT == S_IFDIR else { throw .system(ENOTDIR) }
        }
        return node
    }

    func find(_ path: [String]) throws(FSError) -> Attributes? {
        let parent = try parent(path)
        guard let entry = try fixture.lookup(path[path.count - 1], in: parent) else { return nil }
        return keep(entry).attributes
    }

    func require(_ path: [String]) throws(FSError) -> Attributes {
        guard let found = try find(path) else { throw .system(ENOENT) }
        return found
    }

    /// open(2) with O_NOFOLLOW, and with O_CREAT where `mode` is given.
    func open(_ path: [String], flags: Int32, mode: UInt32?) throws(FSError) -> (NodeID, UInt64) {
        let parent = try parent(path)
        let name = path[path.count - 1]
        guard let entry = try fixture.lookup(name, in: parent) else {
            guard let mode else { throw .system(ENOENT) }
            let (entry, file) = try fixture.create(name, in: parent, mode: mode, flags: flags)
            return (keep(entry).attributes.node, file.handle)
        }
        let attributes = keep(entry).attributes
        if mode != nil && flags & O_EXCL != 0 { throw .system(EEXIST) }
        switch attributes.mode & S_IFMT {
        case S_IFDIR: throw .system(EISDIR)
        case S_IFLNK: throw .system(ELOOP)
        case S_IFREG: return (attributes.node, ready(try fixture.tree.open(attributes.node, flags: flags & ~(O_CREAT | O_EXCL))).handle)
        default: throw .system(ENXIO)
        }
    }
}
