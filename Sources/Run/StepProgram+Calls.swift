import CLinux
import Glibc

/// The system calls by what they do.
extension StepProgram {
    static let here = Step.Argument.number(Int(AT_FDCWD))
    private static let atEmptyPath = larder_at_empty_path

    mutating func makeDirectory(_ path: [UInt8], mode: Int = 0o755, mayExist: Bool = false) {
        add(larder_call_mkdir, Self.here, .text(path), .number(mode), accepting: mayExist ? [EEXIST] : [])
    }

    /// An empty file, to mount on.
    mutating func makeFile(_ path: [UInt8], mode: Int = 0o644, mayExist: Bool = false, accepting accepted: [Int32] = []) {
        add(larder_call_mknod, Self.here, .text(path), .number(Int(S_IFREG) | mode), .number(0), accepting: (mayExist ? [EEXIST] : []) + accepted)
    }

    mutating func writeFile(_ path: [UInt8], _ bytes: [UInt8], mode: UInt32, owner: (uid: UInt32, gid: UInt32)?, using slot: Slot) {
        add(larder_call_open, Self.here, .text(path), .number(Int(O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC)), .number(0o600), into: slot)
        if !bytes.isEmpty { add(larder_call_write, .slot(slot), .bytes(bytes), .number(bytes.count)) }
        if let owner { add(larder_call_fchown, .slot(slot), .number(Int(owner.uid)), .number(Int(owner.gid))) }
        add(larder_call_fchmod, .slot(slot), .number(Int(mode)))
        add(larder_call_close, .slot(slot))
    }

    /// Overwrites what a file of /proc holds.
    mutating func writeExisting(_ path: String, _ text: String, using slot: Slot, accepting accepted: [Int32] = []) {
        add(larder_call_open, Self.here, .text(path), .number(Int(O_WRONLY | O_CLOEXEC)), .number(0), into: slot, accepting: accepted)
        add(larder_call_write, .slot(slot), .bytes(Array(text.utf8)), .number(text.utf8.count), accepting: accepted.isEmpty ? [] : [EBADF])
        add(larder_call_close, .slot(slot), accepting: accepted.isEmpty ? [] : [EBADF])
    }

    mutating func symlink(_ target: [UInt8], at path: [UInt8]) { add(larder_call_symlink, .text(target), Self.here, .text(path), accepting: [EEXIST]) }

    mutating func changeDirectory(_ path: [UInt8]) { add(larder_call_chdir, .text(path)) }

    // MARK: mounts

    /// Opens what a path names without using it.
    mutating func open(_ path: [UInt8], into slot: Slot) {
        add(larder_call_open, Self.here, .text(path), .number(Int(larder_o_path | O_CLOEXEC)), .number(0), into: slot)
    }

    /// As `open`, below `root`, out of which no link leads.
    mutating func open(_ path: [UInt8], inside root: Slot, into slot: Slot) {
        let how = larder_open_how(
            flags: UInt64(larder_o_path | O_CLOEXEC), mode: 0, resolve: larder_resolve_in_root | larder_resolve_no_magiclinks)
        add(
            larder_call_openat2, .slot(root), .text(path.isEmpty ? [UInt8(ascii: ".")] : path), .structure(how),
            .number(MemoryLayout<larder_open_how>.size), into: slot, accepting: [])
    }

    /// A copy of the mount at an open file, attached nowhere, with all that is mounted below it.
    mutating func clone(_ file: Slot, into slot: Slot) {
        add(
            larder_call_open_tree, .slot(file), .text(""),
            .number(larder_open_tree_clone | larder_open_tree_cloexec | Self.atEmptyPath | larder_at_recursive), into: slot)
    }

    mutating func clone(_ path: [UInt8], into slot: Slot, accepting accepted: [Int32] = []) {
        add(
            larder_call_open_tree, Self.here, .text(path),
            .number(larder_open_tree_clone | larder_open_tree_cloexec | larder_at_recursive | Int(AT_SYMLINK_NOFOLLOW)), into: slot, accepting: accepted)
    }

    mutating func attach(_ mount: Slot, at path: [UInt8], accepting accepted: [Int32] = []) {
        add(larder_call_move_mount, .slot(mount), .text(""), Self.here, .text(path), .number(larder_move_from_empty_path), accepting: accepted)
    }

    mutating func detach(_ path: [UInt8]) { add(larder_call_umount, .text(path), .number(larder_mnt_detach)) }

    /// Adds MOUNT_ATTR_* to a detached mount and all below it.
    mutating func setAttributes(_ mount: Slot, _ flags: Int) {
        if flags != 0 { setAttributes(mount, larder_mount_attributes(set: UInt64(flags), clear: 0, propagation: 0, user_namespace: 0), larder_at_recursive) }
    }

    /// Shows owners by a user namespace's mapping. Of the mount itself: what is mounted below may be of a kind that cannot.
    mutating func setOwnerView(_ mount: Slot, _ userNamespace: Int32) {
        let set = UInt64(larder_attr_idmap)
        setAttributes(mount, larder_mount_attributes(set: set, clear: 0, propagation: 0, user_namespace: UInt64(userNamespace)), 0)
    }

    private mutating func setAttributes(_ mount: Slot, _ attributes: larder_mount_attributes, _ recursive: Int) {
        add(
            larder_call_mount_setattr, .slot(mount), .text(""), .number(Self.atEmptyPath | recursive), .structure(attributes),
            .number(MemoryLayout<larder_mount_attributes>.size))
    }

    /// A new filesystem of a type, attached nowhere.
    mutating func makeMount(_ type: String, _ options: [(String, String?)], attributes: Int = 0, using file: Slot, into slot: Slot) {
        add(larder_call_fsopen, .text(type), .number(1), into: file)
        for (key, value) in options {
            if let value {
                add(larder_call_fsconfig, .slot(file), .number(larder_fsconfig_string), .text(key), .text(value), .number(0))
            } else {
                add(larder_call_fsconfig, .slot(file), .number(larder_fsconfig_flag), .text(key), .number(0), .number(0))
            }
        }
        add(larder_call_fsconfig, .slot(file), .number(larder_fsconfig_create), .number(0), .number(0), .number(0))
        add(larder_call_fsmount, .slot(file), .number(1), .number(attributes), into: slot)
        add(larder_call_close, .slot(file))
    }

    /// Makes the mount at `path` the root of everything.
    mutating func switchRoot(to path: [UInt8]) {
        changeDirectory(path)
        // With both names the same the old root comes to lie over the new one, and needs no place in it: pivot_root(2).
        add(larder_call_pivot_root, .text("."), .text("."))
        detach([UInt8(ascii: ".")])
        changeDirectory([UInt8(ascii: "/")])
    }
}
