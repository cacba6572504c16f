import CLinux
import Glibc
import LinuxIO
import Synchronization
import TestSupport
@testable import VirtualFS

/// A live tree over a directory of its own, asked as the kernel asks, without one.
final class LiveFixture {
    let directory: TemporaryDirectory
    let tree: LiveTree
    let path: String
    let root = Caller(uid: 0, gid: 0, process: 1)

    init(usesHandles: Bool = true, gate: any LiveGate = OpenGate(), readAhead: DirectoryReadAhead? = nil, _ adjust: (inout LiveTree.Options) -> Void = { _ in }) throws {
        directory = try TemporaryDirectory()
        path = directory.path + "/live"
        guard mkdir(path, 0o755) == 0 else { throw SystemError("mkdir", path: path) }
        var options = LiveTree.Options()
        options.usesHandles = usesHandles
        // What a listing gives is to be the same each time.
        options.learnsListings = false
        adjust(&options)
        tree = try LiveTree(try .open(path, O_RDONLY | O_DIRECTORY), gate: gate, numbers: LiveNumbers(), readAhead: readAhead, options: options)
    }

    /// nil where there is no such name. Counts a lookup.
    func lookup(_ name: String, in parent: NodeID? = nil) throws(FSError) -> Entry? {
        let entry = try named(name) { name throws(FSError) in ready(try tree.lookup(parent ?? tree.root, name)) }
        return entry.isAbsent ? nil : entry
    }

    func create(_ name: String, in parent: NodeID? = nil, mode: UInt32 = 0o644, flags: Int32 = O_RDWR | O_EXCL, for caller: Caller? = nil) throws(FSError) -> (Entry, OpenedFile) {
        try named(name) { name throws(FSError) in
            try tree.create(parent ?? tree.root, name, mode: mode, flags: flags | O_CREAT, for: caller ?? root)
        }
    }

    /// Makes an empty file that the kernel does not know.
    func touch(_ name: String, in parent: NodeID? = nil) throws(FSError) {
        let (entry, file) = try create(name, in: parent)
        tree.release(entry.attributes.node, handle: file.handle)
        tree.forget(entry.attributes.node, count: 1)
    }

    func makeDirectory(_ name: String, in parent: NodeID? = nil, mode: UInt32 = 0o755, for caller: Caller? = nil) throws(FSError) -> Entry {
        try named(name) { name throws(FSError) in try tree.makeDirectory(parent ?? tree.root, name, mode: mode, for: caller ?? root) }
    }

    func unlink(_ name: String, in parent: NodeID? = nil) throws(FSError) {
        try named(name) { name throws(FSError) in try tree.unlink(parent ?? tree.root, name, for: root) }
    }

    func removeDirectory(_ name: String, in parent: NodeID? = nil) throws(FSError) {
        try named(name) { name throws(FSError) in try tree.removeDirectory(parent ?? tree.root, name, for: root) }
    }

    func rename(_ name: String, in parent: NodeID? = nil, to newName: String, in newParent: NodeID? = nil, flags: UInt32 = 0) throws(FSError) {
        try named(name) { name throws(FSError) in
            try named(newName) { newName throws(FSError) in
                try tree.rename(parent ?? tree.root, name, to: newParent ?? tree.root, newName, flags: flags, for: root)
            }
        }
    }

    func link(_ node: NodeID, to name: String, in parent: NodeID? = nil) throws(FSError) -> Entry {
        try named(name) { name throws(FSError) in try tree.link(node, to: parent ?? tree.root, name, for: root) }
    }

    func attributes(_ node: NodeID) throws(FSError) -> Attributes { ready(try tree.attributes(node)).attributes }

    func write(_ node: NodeID, _ bytes: [UInt8], at offset: UInt64 = 0) throws(FSError) -> Int {
        try bytes.span.withUnsafeBytes { bytes throws(FSError) in
            try tree.write(node, handle: 0, at: offset, bytes, killsPrivileges: false)
        }
    }

    func read(_ node: NodeID, _ count: Int, at offset: UInt64 = 0) throws(FSError) -> [UInt8] {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 8)
        defer { buffer.deallocate() }
        return [UInt8](buffer.prefix(ready(try tree.read(node, handle: 0, at: offset, into: buffer))))
    }

    /// What the kernel may do with the listing of a directory that ends at once.
    func use(of node: NodeID) throws(FSError) -> ListingUse { ready(try tree.readDirectory(node, from: 0, wantsEntries: false) { _, _, _ in true }) }

    struct Listed {
        var name: [UInt8]
        var entry: Entry
        var next: UInt64
    }

    /// Up to `limit` entries; those given back have counted a lookup where `wantsEntries`.
    func list(_ node: NodeID, from offset: UInt64 = 0, limit: Int = .max, wantsEntries: Bool = false) throws(FSError) -> [Listed] {
        var listed: [Listed] = []
        _ = try tree.readDirectory(node, from: offset, wantsEntries: wantsEntries) { name, entry, next in
            guard listed.count < limit else { return false }
            listed.append(Listed(name: [UInt8](name), entry: entry, next: next))
            return true
        }
        return listed
    }
}

/// Bytes of a name for the time of a call.
func named<Value>(_ name: String, _ body: (UnsafeRawBufferPointer) throws(FSError) -> Value) throws(FSError) -> Value {
    let bytes = Array(name.utf8)
    return try bytes.span.withUnsafeBytes { bytes throws(FSError) in try body(bytes) }
}

/// A live tree is never cold.
func ready<Value>(_ answer: Answer<Value>) -> Value {
    guard case .ready(let value) = answer else { fatalError("a live tree answered cold") }
    return value
}

extension FSError {
    /// What a live tree's errors are as errnos.
    var number: Int32 {
        switch self {
        case .system(let number): number
        case .notFound: ENOENT
        case .notDirectory: ENOTDIR
        case .stale: ESTALE
        case .invalid: EINVAL
        case .nameTooLong: ENAMETOOLONG
        case .range: ERANGE
        default: -1
        }
    }
}

extension LiveFixture {
    /// Descriptors of this process that lead to something in the tree: other tests have theirs meanwhile.
    func openDescriptors() throws -> Int {
        try Directory("/proc/self/fd").entries().count { entry in
            var target = [CChar](repeating: 0, count: 4097)
            let length = readlink("/proc/self/fd/\(entry.text)", &target, 4096)
            return length > 0 && String(decoding: target.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self).hasPrefix(path)
        }
    }
}
