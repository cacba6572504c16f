import CLinux
import Glibc

/// A mount of a directory that is attached nowhere yet: its attributes are set before anybody sees it. Goes away with its owner,
/// unless it was attached.
public struct DetachedMount: ~Copyable {
    private let descriptor: OwnedDescriptor
    /// What `MountInfo.id` of it is.
    public let id: Int

    public struct Attributes: OptionSet, Sendable {
        public let rawValue: UInt64
        public init(rawValue: UInt64) { self.rawValue = rawValue }
        public static let readOnly = Attributes(rawValue: UInt64(larder_attr_readonly))
        public static let noSetuid = Attributes(rawValue: UInt64(larder_attr_nosuid))
        public static let noDevices = Attributes(rawValue: UInt64(larder_attr_nodev))
        public static let noExecution = Attributes(rawValue: UInt64(larder_attr_noexec))
    }

    /// The directory as it is, without the mounts below it.
    public init(of directory: Directory) throws(SystemError) {
        let raw = larder_clone_tree(directory.descriptor.raw, "", 0)
        guard raw >= 0 else { throw SystemError("open_tree", path: directory.path) }
        let owned = OwnedDescriptor(owning: raw)
        id = try MountTable.mountID(of: owned.raw)
        descriptor = owned
    }

    public borrowing func set(_ attributes: Attributes) throws(SystemError) {
        guard larder_set_mount_attributes(descriptor.raw, attributes.rawValue, 0, -1, 0) == 0 else { throw SystemError("mount_setattr") }
    }

    /// Shows owners through `view`. EINVAL where the filesystem cannot, such as overlayfs and NFS.
    public borrowing func show(_ view: OwnerView) throws(SystemError) {
        let namespace = try view.userNamespace()
        guard larder_set_mount_attributes(descriptor.raw, 0, 0, namespace.raw, 0) == 0 else { throw SystemError("mount_setattr") }
    }

    /// Attaches it at `path`, over what is there.
    public consuming func attach(at path: String) throws(SystemError) {
        guard larder_attach_mount(descriptor.raw, AT_FDCWD, path) == 0 else { throw SystemError("mount", path: path) }
    }
}

/// How the owners of files are shown: two users, and two groups, have changed places; all others are as they are.
public struct OwnerView: Sendable, Hashable {
    /// The contents of uid_map and gid_map (user_namespaces(7)).
    public let users: String
    public let groups: String

    /// What belongs to `uid` and `gid` on disk is shown as `shownUID`'s and `shownGID`'s, and what those make is stored as the former's.
    public init(uid: UInt32, gid: UInt32, as shownUID: UInt32, _ shownGID: UInt32) throws(SystemError) {
        users = Self.exchanging(uid, shownUID, in: try Self.known("/proc/self/uid_map"))
        groups = Self.exchanging(gid, shownGID, in: try Self.known("/proc/self/gid_map"))
    }

    /// A user namespace with these maps.
    public func userNamespace() throws(SystemError) -> OwnedDescriptor {
        let raw = larder_user_namespace(users, groups)
        guard raw >= 0 else { throw SystemError("user namespace") }
        return OwnedDescriptor(owning: raw)
    }

    /// Lines of (id on disk, id shown, how many), for the ids that `ranges` has: in a container a process cannot name others.
    static func exchanging(_ first: UInt32, _ second: UInt32, in ranges: [Range<UInt64>]) -> String {
        var text = ""
        for range in ranges {
            var next = range.lowerBound
            func keep(until end: UInt64) { if next < end { text += "\(next) \(next) \(end - next)\n" } }
            for id in [min(first, second), max(first, second)].map(UInt64.init) where first != second && range.contains(id) {
                keep(until: id)
                text += "\(id) \(id == first ? second : first) 1\n"
                next = id + 1
            }
            keep(until: range.upperBound)
        }
        return text
    }

    private static func known(_ path: String) throws(SystemError) -> [Range<UInt64>] {
        String(decoding: try OwnedDescriptor.open(path, O_RDONLY).read(1 << 16, at: 0), as: UTF8.self).split(separator: "\n").compactMap { line in
            let fields = line.split(separator: " ").compactMap { UInt64($0) }
            return fields.count == 3 ? fields[0]..<fields[0] + fields[2] : nil
        }
    }
}
