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
        let namespace = larder_user_namespace(view.users, view.groups)
        guard namespace >= 0 else { throw SystemError("user namespace") }
        let owned = OwnedDescriptor(owning: namespace)
        guard larder_set_mount_attributes(descriptor.raw, 0, 0, owned.raw, 0) == 0 else { throw SystemError("mount_setattr") }
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
    public init(uid: UInt32, gid: UInt32, as shownUID: UInt32, _ shownGID: UInt32) {
        users = Self.exchanging(uid, shownUID)
        groups = Self.exchanging(gid, shownGID)
    }

    /// Lines of (id on disk, id shown, how many). 4294967295 is no id.
    private static func exchanging(_ first: UInt32, _ second: UInt32) -> String {
        let low = min(first, second)
        let high = max(first, second)
        guard low != high else { return "0 0 4294967295\n" }
        var text = ""
        func add(_ start: UInt32, _ shown: UInt32, _ count: UInt32) { if count > 0 { text += "\(start) \(shown) \(count)\n" } }
        add(0, 0, low)
        add(low, high, 1)
        add(low + 1, low + 1, high - low - 1)
        add(high, low, 1)
        add(high &+ 1, high &+ 1, high == .max ? 0 : .max - (high + 1))
        return text
    }
}
