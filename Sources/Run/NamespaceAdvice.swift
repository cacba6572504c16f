import CLinux
import Glibc
import LinuxIO

/// Why the kernel may have refused namespaces and mounts, in words that lead somewhere.
enum NamespaceAdvice {
    static func text(call: Int, code: Int32) -> String {
        switch call {
        case larder_call_unshare: return larder_has_mount_capability() != 0 ? "" : unprivileged(code)
        case larder_call_open_tree, larder_call_fsopen, larder_call_mount_setattr, larder_call_move_mount, larder_call_openat2:
            if code == ENOSYS { return "Linux 5.12 or newer is needed" }
            if code == EPERM && larder_has_mount_capability() == 0 { return restricted ?? "" }
            if call == larder_call_mount_setattr && code == EINVAL { return "The filesystem below may not support id-mapped mounts" }
            return ""
        case larder_call_mkdir, larder_call_mknod:
            guard code == EACCES || code == EPERM, larder_has_mount_capability() == 0 else { return "" }
            return "An ordinary user needs a mount point that is there already in a root that belongs to others: choose another target, or run as root"
        default: return ""
        }
    }

    private static func unprivileged(_ code: Int32) -> String {
        if setting("kernel/unprivileged_userns_clone") == "0" {
            return "An ordinary user needs a user namespace, and sysctl kernel.unprivileged_userns_clone is 0: set it to 1, or run as root"
        }
        if setting("user/max_user_namespaces") == "0" || code == ENOSPC {
            return "An ordinary user needs a user namespace, and sysctl user.max_user_namespaces allows no more: raise it, or run as root"
        }
        if let restricted { return restricted }
        if geteuid() == 0 {
            return "CAP_SYS_ADMIN is missing and user namespaces are not allowed; give a container --cap-add SYS_ADMIN or --privileged"
        }
        return "An ordinary user needs a user namespace, which is not allowed here (a container's seccomp profile, or a chroot): run as root"
    }

    private static var restricted: String? {
        guard setting("kernel/apparmor_restrict_unprivileged_userns") == "1" else { return nil }
        return "AppArmor keeps user namespaces from ordinary users: set sysctl kernel.apparmor_restrict_unprivileged_userns to 0, "
            + "give larder a profile with `userns`, or run as root"
    }

    private static func setting(_ name: String) -> String? {
        guard let file = try? OwnedDescriptor.open("/proc/sys/" + name, O_RDONLY), let bytes = try? file.readToEnd(limit: 64) else { return nil }
        return String(decoding: bytes.filter { $0 > 32 }, as: UTF8.self)
    }
}
