/// What a command shall see, with everything resolved: which mounts, from where, at which absolute places.
struct NamespacePlan: Sendable {
    /// Whose privileges make the namespace.
    enum Authority: Sendable, Equatable {
        /// CAP_SYS_ADMIN is there.
        case privileged
        /// A user namespace, in which a user is only itself.
        case user(uid: UInt32, gid: UInt32)
    }

    enum Source: Sendable {
        /// A path of the host.
        case path([UInt8])
        /// A path below a directory of the host, out of which no link leads.
        case inside([UInt8], path: [UInt8])
    }

    enum Content: Sendable {
        /// What is there, itself.
        case bind(Source)
        /// What is there, with changes that go away. `file` is the last component where it is a file, and the source then its directory.
        case throwAway(Source, file: [UInt8]?)
        /// Bytes; nil means no limit but the kernel's.
        case memory(size: UInt64?)
        /// A file that is nowhere on a disk.
        case file([UInt8], mode: UInt32, uid: UInt32, gid: UInt32)
        /// A place for a socket of this process, which the child binds and begins to listen on.
        case socket(Int32, mode: UInt32, uid: UInt32, gid: UInt32)
    }

    struct Mount: Sendable {
        /// What it is, for messages: `cache 'npm'`.
        var name: String
        /// Absolute.
        var place: [UInt8]
        var content: Content
        /// MOUNT_ATTR_*.
        var attributes = 0
        /// A user namespace that says how owners look.
        var ownerView: Int32?
        var isFile: Bool
        /// Whether the place, and what leads there, is made by the child: it lies in another mount or in a throw-away root.
        var makesPlace = false
    }

    /// A directory that lacks a mount point and may not be changed: a memory filesystem with the same entries takes its place.
    struct Mirror: Sendable {
        struct Entry: Sendable {
            enum Kind: Sendable {
                case directory, other
                case link(target: [UInt8])
            }
            var name: [UInt8]
            var kind: Kind
        }
        var directory: [UInt8]
        var mode: UInt32
        var entries: [Entry]
    }

    var authority: Authority
    /// The directory that is the lower layer of a throw-away root; nil keeps the host's.
    var root: [UInt8]?
    var mirrors: [Mirror] = []
    var mounts: [Mount] = []
    var workingDirectory: [UInt8]
    /// A directory of the host that is covered for a moment while the mounts are made. No mirror may lie below it.
    var scratch: [UInt8]
    /// Lock descriptors that the command keeps open.
    var inherited: [Int32] = []
    var umask: UInt32 = 0o022
    /// The soft limit of open files that the command gets; nil leaves it.
    var descriptorLimit: (soft: UInt64, hard: UInt64)?

    /// BuildKit's order: by place, so that what contains comes before what is contained. Of two at one place the later covers the earlier.
    var orderedMounts: [Mount] {
        mounts.enumerated().sorted { a, b in
            a.element.place == b.element.place ? a.offset < b.offset : a.element.place.lexicographicallyPrecedes(b.element.place)
        }.map(\.element)
    }
}

/// Paths as bytes.
enum BytePath {
    static let slash = UInt8(ascii: "/")

    static func join(_ directory: [UInt8], _ name: [UInt8]) -> [UInt8] { directory == [slash] ? directory + name : directory + [slash] + name }

    static func parent(_ path: [UInt8]) -> [UInt8] {
        guard let last = path.lastIndex(of: slash), last > 0 else { return [slash] }
        return Array(path[..<last])
    }

    static func name(_ path: [UInt8]) -> [UInt8] { path.lastIndex(of: slash).map { Array(path[($0 + 1)...]) } ?? path }

    /// Whether `path` lies below `directory`, or is it.
    static func contains(_ directory: [UInt8], _ path: [UInt8]) -> Bool {
        directory == [slash] || path == directory || path.starts(with: directory + [slash])
    }

    /// `/a`, `/a/b` for `/a/b/c`.
    static func ancestors(_ path: [UInt8]) -> [[UInt8]] {
        path.indices.dropFirst().filter { path[$0] == slash }.map { Array(path[..<$0]) }
    }

    static func text(_ path: [UInt8]) -> String { String(decoding: path, as: UTF8.self) }
}
