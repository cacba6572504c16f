import CLinux
import Glibc
import LinuxIO
@testable import VirtualFS

// One method for each kind of operation: the same on both sides, and true where they agree.
// No directory is sticky and writable for others: fs.protected_regular would act on the plain side, and above a tree in the kernel.
extension LiveMachine {
    func makeDirectory() -> Bool {
        let path = path(), mode = pick([0o755, 0o700, 0o2775, 0o1755] as [UInt32])
        return compare("mkdir", "\(path)", Outcome { () throws(FSError) in
            let parent = try live.parent(path)
            return shown(live.keep(try live.fixture.makeDirectory(path[path.count - 1], in: parent, mode: mode)).attributes)
        }, then(plain.run(path) { Int(mkdir($0, mode)) }, path))
    }

    /// The plain side's outcome, with what is to be seen of the object if it was success.
    private func then(_ outcome: Outcome, _ path: [String]) -> Outcome { outcome.code == 0 ? plain.look(path) : outcome }

    func makeNode() -> Bool {
        let path = path()
        let mode = pick([S_IFIFO | 0o640, S_IFSOCK | 0o600, S_IFREG | 0o4755, S_IFCHR | 0o666] as [UInt32])
        let device: (UInt32, UInt32) = mode & S_IFMT == S_IFCHR ? (1, 3) : (0, 0)
        return compare("mknod", "\(path)", Outcome { () throws(FSError) in
            let parent = try live.parent(path)
            return shown(live.keep(try named(path[path.count - 1]) { name throws(FSError) in
                try live.fixture.tree.makeNode(parent, name, mode: mode, deviceMajor: device.0, deviceMinor: device.1, for: live.fixture.root)
            }).attributes)
        }, then(plain.run(path) { Int(mknod($0, mode, dev_t(device.0 << 8 | device.1))) }, path))
    }

    func makeSymlink() -> Bool {
        let path = path(), target = pick(["a", "../b", "/nowhere", String(repeating: "t", count: 300), String(repeating: "t", count: 5000)])
        return compare("symlink", "\(path)", Outcome { () throws(FSError) in
            let parent = try live.parent(path)
            return shown(live.keep(try named(path[path.count - 1]) { name throws(FSError) in
                try named(target) { target throws(FSError) in try live.fixture.tree.makeSymlink(parent, name, target: target, for: live.fixture.root) }
            }).attributes)
        }, then(plain.run(path) { Int(symlink(target, $0)) }, path))
    }

    func readLink() -> Bool {
        let path = path()
        return compare("readlink", "\(path)", Outcome { () throws(FSError) in
            let node = try live.require(path).node
            var length = 0
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 8)
            defer { buffer.deallocate() }
            length = ready(try live.fixture.tree.readLink(node, into: buffer))
            return String(decoding: buffer.prefix(length), as: UTF8.self)
        }, {
            var target = [CChar](repeating: 0, count: 4097)
            let outcome = plain.run(path) { readlink($0, &target, 4096) }
            return outcome.code == 0 ? Outcome(result: 0) { String(decoding: target.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self) } : outcome
        }())
    }

    func unlink() -> Bool {
        let path = path()
        return compare("unlink", "\(path)", Outcome { () throws(FSError) in
            let parent = try live.parent(path)
            // The kernel knows what it removes.
            guard try live.find(path) != nil else { throw .system(ENOENT) }
            try live.fixture.unlink(path[path.count - 1], in: parent)
            return ""
        }, plain.run(path) { Int(Glibc.unlink($0)) })
    }

    func removeDirectory() -> Bool {
        let path = path()
        return compare("rmdir", "\(path)", Outcome { () throws(FSError) in
            let parent = try live.parent(path)
            guard try live.find(path) != nil else { throw .system(ENOENT) }
            try live.fixture.removeDirectory(path[path.count - 1], in: parent)
            return ""
        }, plain.run(path) { Int(rmdir($0)) })
    }

    func rename() -> Bool {
        let old = path(), new = path(), flags = pick([0, 0, 0, 1, 2, 3, 4] as [UInt32])
        return compare("rename\(flags)", "\(old) \(new)", Outcome { () throws(FSError) in
            let parent = try live.parent(old)
            let newParent = try live.parent(new)
            _ = try live.find(old)
            _ = try live.find(new)
            try live.fixture.rename(old[old.count - 1], in: parent, to: new[new.count - 1], in: newParent, flags: flags)
            return ""
        }, {
            if let code = plain.walk(old) ?? plain.walk(new) {
                errno = code
                return Outcome(result: -1)
            }
            errno = -larder_rename(-100, plain.path(old), -100, plain.path(new), flags)
            return Outcome(result: errno == 0 ? 0 : -1)
        }())
    }

    func link() -> Bool {
        let old = path(), new = path()
        return compare("link", "\(old) \(new)", Outcome { () throws(FSError) in
            let node = try live.require(old).node
            let parent = try live.parent(new)
            return shown(live.keep(try live.fixture.link(node, to: new[new.count - 1], in: parent)).attributes)
        }, {
            if let code = plain.walk(old) {
                errno = code
                return Outcome(result: -1)
            }
            var object = larder_object()
            errno = -larder_look(-100, plain.path(old), &object)
            guard errno == 0 else { return Outcome(result: -1) }
            return then(plain.run(new) { Int(Glibc.link(plain.path(old), $0)) }, new)
        }())
    }

    func look() -> Bool {
        let path = path()
        return compare("stat", "\(path)", Outcome { () throws(FSError) in
            let node = try live.require(path).node
            return shown(try live.fixture.attributes(node))
        }, plain.look(path))
    }

    func changeAttributes() -> Bool {
        let path = path()
        var change = AttributeChange()
        let kind = pick(["chmod", "chown", "chgrp", "utimens", "touch", "truncate"])
        let mode = pick([0o600, 0o4755, 0o2755, 0o2644, 0o1755] as [UInt32]), id = UInt32(one(3) * 1000)
        let size = UInt64(pick([0, 1, 4096, 100_000])), seconds = Int64(one(2_000_000_000)), nanoseconds = UInt32(one(1_000_000_000))
        switch kind {
        case "chmod": change.mode = mode
        case "chown": (change.uid, change.gid) = (id, id)
        case "chgrp": change.gid = id
        case "utimens": change.modified = .at(seconds: seconds, nanoseconds: nanoseconds)
        case "touch": (change.accessed, change.modified) = (.now, .now)
        default: change.size = size
        }
        let result = Outcome { () throws(FSError) in
            let before = try live.require(path)
            if kind == "truncate" {
                if before.mode & S_IFMT == S_IFDIR { throw .system(EISDIR) }
                guard before.mode & S_IFMT == S_IFREG else { throw .invalid }
            }
            let after = try live.fixture.tree.setAttributes(before.node, handle: nil, change, for: live.fixture.root).attributes
            return shown(after) + (kind == "utimens" ? " \(after.modifiedSeconds).\(after.modifiedNanoseconds)" : "")
        }
        var expected = plain.run(path) { path in
            switch kind {
            case "chmod": return Int(fchmodat(AT_FDCWD, path, mode, AT_SYMLINK_NOFOLLOW))
            case "chown": return Int(lchown(path, id, id))
            case "chgrp": return Int(lchown(path, .max, id))
            case "utimens": return Int(utimensat(AT_FDCWD, path, [timespec(tv_sec: 0, tv_nsec: (1 << 30) - 2), timespec(tv_sec: Int(seconds), tv_nsec: Int(nanoseconds))], AT_SYMLINK_NOFOLLOW))
            case "touch": return Int(utimensat(AT_FDCWD, path, nil, AT_SYMLINK_NOFOLLOW))
            default:
                var status = stat()
                guard lstat(path, &status) == 0 else { return -1 }
                if status.st_mode & S_IFMT == S_IFLNK {
                    errno = EINVAL
                    return -1
                }
                return Int(Glibc.truncate(path, off_t(size)))
            }
        }
        expected = then(expected, path)
        if kind == "utimens", expected.code == 0 { expected.value += " \(seconds).\(nanoseconds)" }
        return compare(kind, "\(path)", result, expected)
    }

    func extendedAttributes() -> Bool {
        let path = path(), name = pick(["user.a", "user.larder.digest", "trusted.x", "user." + String(repeating: "n", count: 250), "bad"])
        let value = random.bytes(pick([0, 3, 200])), flags = pick([0, 1, 2] as [Int32])
        switch one(4) {
        case 0, 1:
            return compare("setxattr", "\(path) \(name)", Outcome { () throws(FSError) in
                let node = try live.require(path).node
                try value.span.withUnsafeBytes { value throws(FSError) in
                    try named(name) { name throws(FSError) in try live.fixture.tree.setAttribute(node, name, value, flags: flags, for: live.fixture.root) }
                }
                return ""
            }, plain.run(path) { Int(lsetxattr($0, name, value, value.count, flags)) })
        case 2:
            return compare("removexattr", "\(path) \(name)", Outcome { () throws(FSError) in
                let node = try live.require(path).node
                try named(name) { name throws(FSError) in try live.fixture.tree.removeAttribute(node, name, for: live.fixture.root) }
                return ""
            }, plain.run(path) { Int(lremovexattr($0, name)) })
        default:
            let room = pick([0, 2, 300])
            var expected = [UInt8](repeating: 0, count: room)
            var count = 0
            let outcome = plain.run(path) { count = lgetxattr($0, name, &expected, room); return count }
            return compare("getxattr", "\(path) \(name)", Outcome { () throws(FSError) in
                let node = try live.require(path).node
                let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: room, alignment: 1)
                defer { buffer.deallocate() }
                let count = try named(name) { name throws(FSError) in try live.fixture.tree.attribute(node, name, into: buffer) }
                return "\(count) \([UInt8](buffer.prefix(count)))"
            }, outcome.code == 0 ? Outcome(result: 0) { "\(count) \(Array(expected.prefix(count)))" } : outcome)
        }
    }
}
