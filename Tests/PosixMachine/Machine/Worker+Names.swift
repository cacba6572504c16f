import CPosixMachine
import Glibc

extension Worker {
    func names(_ operation: Operation) -> Answer {
        let from = base(operation.base), to = base(operation.otherBase)
        return Self.withPath(operation.path) { path in
            Self.withPath(operation.otherPath) { other in
                switch operation.kind {
                case .mkdir: return .result(mkdirat(from, path, mode_t(operation.a)))
                case .rmdir: return .result(unlinkat(from, path, AT_REMOVEDIR))
                case .unlink: return .result(unlinkat(from, path, 0))
                case .link: return .result(linkat(from, path, to, other, 0))
                case .linkFollowing: return .result(linkat(from, path, to, other, AT_SYMLINK_FOLLOW))
                case .symlink: return .result(symlinkat(other, from, path))
                case .readlink:
                    var buffer = [UInt8](repeating: 0, count: 5000)
                    let count = readlinkat(from, path, &buffer, buffer.count)
                    return count < 0 ? .failure() : Answer(Text.name(buffer.prefix(count)))
                case .rename: return .result(renameat(from, path, to, other))
                case .renameNoReplace: return .result(pm_renameat2(from, path, to, other, 1))
                case .exchange: return .result(pm_renameat2(from, path, to, other, 2))
                case .whiteout:
                    // Where that fails with ENOTEMPTY, ext4 has touched the directory's times already, and FUSE trusts a failure.
                    var status = pm_status()
                    guard pm_stat(to, other, AT_SYMLINK_NOFOLLOW, &status) != 0 || status.mode & S_IFMT != S_IFDIR else { return Answer("onto a directory") }
                    return .result(pm_renameat2(from, path, to, other, 4))
                case .fifo: return .result(pm_mknodat(from, path, S_IFIFO | mode_t(operation.a), 0, 0))
                case .socket: return .result(pm_mknodat(from, path, S_IFSOCK | mode_t(operation.a), 0, 0))
                case .device: return .result(pm_mknodat(from, path, S_IFCHR | mode_t(operation.a), 0, operation.b == 3 ? 300 : 0))
                default: return .result(pm_mknodat(from, path, S_IFREG | mode_t(operation.a), 0, 0))
                }
            }
        }
    }

    mutating func attributes(_ operation: Operation) -> Answer {
        let fd = handle(operation.handle), from = base(operation.base)
        return Self.withPath(operation.path) { path in
            switch operation.kind {
            case .stat: return status { pm_stat(from, path, 0, $0) }
            case .lstat: return status { pm_stat(from, path, AT_SYMLINK_NOFOLLOW, $0) }
            case .fstat: return status { pm_stat(fd, "", Worker.itself, $0) }
            case .statx: return status { pm_statx(from, path, operation.handle & 1 == 0 ? 0 : AT_SYMLINK_NOFOLLOW, $0) }
            case .statfs:
                var disk = pm_disk()
                guard pm_statfs(fd, &disk) == 0 else { return .failure() }
                return Answer("\(disk.block_size) \(disk.fragment_size) \(disk.name_length) \(disk.blocks) \(disk.files)")
            case .access: return .result(pm_faccessat(from, path, Int32(operation.a), 0))
            case .accessEffective: return .result(pm_faccessat(from, path, Int32(operation.a), 0x200 /* AT_EACCESS */))
            case .chmod: return .result(fchmodat(from, path, mode_t(operation.a), 0))
            case .fchmod: return .result(Glibc.fchmod(fd, mode_t(operation.a)))
            case .chown: return .result(fchownat(from, path, owner(operation.a), owner(operation.b), 0))
            case .lchown: return .result(fchownat(from, path, owner(operation.a), owner(operation.b), AT_SYMLINK_NOFOLLOW))
            case .fchown: return .result(Glibc.fchown(fd, owner(operation.a), owner(operation.b)))
            case .umask:
                Glibc.umask(mode_t(operation.a))
                return Answer()
            case .utimens: return setTimes(operation) { utimensat(from, path, $0, 0) } after: { pm_stat(from, path, 0, $0) }
            case .lutimens:
                return setTimes(operation) { utimensat(from, path, $0, AT_SYMLINK_NOFOLLOW) } after: { pm_stat(from, path, AT_SYMLINK_NOFOLLOW, $0) }
            default: return setTimes(operation) { Glibc.futimens(fd, $0) } after: { pm_stat(fd, "", Worker.itself, $0) }
            }
        }
    }

    private func owner(_ id: Int64) -> UInt32 { UInt32(truncatingIfNeeded: id) }

    func status(_ call: (UnsafeMutablePointer<pm_status>) -> Int32) -> Answer {
        var status = pm_status()
        guard call(&status) == 0 else { return .failure() }
        var answer = Answer("ok")
        answer.add(status)
        return answer
    }

    private func setTimes(
        _ operation: Operation, _ call: ([timespec]) -> Int32, after look: (UnsafeMutablePointer<pm_status>) -> Int32
    ) -> Answer {
        func time(_ value: Int64, _ nanoseconds: Int64) -> timespec {
            switch value {
            case -1: timespec(tv_sec: 0, tv_nsec: (1 << 30) - 1)
            case -2: timespec(tv_sec: 0, tv_nsec: (1 << 30) - 2)
            default: timespec(tv_sec: Int(value), tv_nsec: Int(nanoseconds))
            }
        }
        guard call([time(operation.a, operation.c), time(operation.b, 999_999_999 - operation.c)]) == 0 else { return .failure() }
        var status = pm_status()
        guard look(&status) == 0 else { return .failure() }
        var answer = Answer("ok")
        answer.add(status)
        // Only here, before anybody has read it, an access time is the same for both.
        if operation.a >= 0 { answer.add("a\(status.accessed).\(status.accessed_ns)") }
        return answer
    }

    func extendedAttributes(_ operation: Operation) -> Answer {
        let name = ["user.one", "user.two", "user.larder.three", "user." + String(repeating: "x", count: 300), "trusted.four"][Int(operation.a)]
        let fd = handle(operation.handle)
        return Self.withPath(operation.path) { path in
            var buffer = [UInt8](repeating: 0, count: Int(operation.b))
            switch operation.kind {
            case .setxattr, .lsetxattr, .fsetxattr:
                let value = Self.pattern(operation.b, Int(operation.b))
                let follow: Int32 = operation.kind == .setxattr ? 1 : 0
                return .result(pm_setxattr(fd, operation.kind == .fsetxattr ? nil : path, follow, name, value, value.count, Int32(operation.c)))
            case .getxattr, .fgetxattr:
                let count = pm_getxattr(fd, operation.kind == .fgetxattr ? nil : path, 1, name, &buffer, buffer.count)
                guard count >= 0 else { return .failure() }
                return Answer(buffer.isEmpty ? "\(count)" : Self.digest(buffer.prefix(count)))
            case .removexattr, .fremovexattr:
                return .result(pm_removexattr(fd, operation.kind == .fremovexattr ? nil : path, 1, name))
            default:
                let count = buffer.withUnsafeMutableBytes { space in
                    pm_listxattr(fd, operation.kind == .flistxattr ? nil : path, 0, space.baseAddress?.assumingMemoryBound(to: CChar.self), space.count)
                }
                guard count >= 0 else { return .failure() }
                if buffer.isEmpty { return Answer("\(count)") }
                return Answer(Self.attributeNames(buffer.prefix(count)))
            }
        }
    }

    /// In order of name: the order of a list is nobody's promise.
    static func attributeNames(_ list: some Collection<UInt8>) -> String {
        list.split(separator: 0).map { Text.name($0) }.sorted().joined(separator: ",")
    }
}
