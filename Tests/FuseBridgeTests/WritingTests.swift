import Glibc
import Testing
import VirtualFS

@testable import FuseBridge

/// The same program on a mount and on a plain directory must see the same.
@Suite(.serialized, .enabled(if: FuseDevice.isUsable, FuseDevice.reason), .timeLimit(.minutes(30)))
struct WritingTests {
    private func compare(passthrough: Bool, _ program: String, sourceLocation: SourceLocation = #_sourceLocation) async throws {
        try await withLiveMount(passthrough: passthrough) { mount in
            let plain = try temporaryDirectory()
            let expected = await python("root = b'\(plain)'\n" + Self.tools + program)
            let seen = await python("root = b'\(mount.path)'\n" + Self.tools + program)
            #expect(expected.hasSuffix("end\n"), "the program itself failed", sourceLocation: sourceLocation)
            let (left, right) = (expected.split(separator: "\n"), seen.split(separator: "\n"))
            #expect(left.count == right.count, sourceLocation: sourceLocation)
            for (a, b) in zip(left, right) { #expect(b == a, sourceLocation: sourceLocation) }
            _ = await shell("rm -rf '\(plain)'")
        }
    }

    /// `do` prints a call's result or errno, `show` what a tree has become.
    private static let tools = #"""
        import os, sys, errno, ctypes, mmap, stat, fcntl, signal
        libc = ctypes.CDLL(None, use_errno=True)
        os.chmod(root, 0o755); os.umask(0o022); os.chdir(root)
        def do(what, call):
            try: result = call()
            except OSError as e: result = errno.errorcode[e.errno]
            print(what, "->", result, flush=True)
            return result
        def renameat2(old, new, flags):
            if libc.renameat2(-100, old.encode(), -100, new.encode(), flags): raise OSError(ctypes.get_errno(), "renameat2")
        def write(path, data, flags=os.O_WRONLY | os.O_CREAT, mode=0o666):
            f = os.open(path, flags, mode); n = os.write(f, data); os.close(f); return n
        def content(path):
            with open(path, "rb") as f: return f.read()
        def as_user(call, uid=1000):
            sys.stdout.flush()
            child = os.fork()
            if child == 0:
                os.setgroups([]); os.setgid(uid); os.setuid(uid)
                call(); sys.stdout.flush(); os._exit(0)
            os.waitpid(child, 0)
        def show():
            for parent, directories, files in os.walk("."):
                for name in sorted(directories + files):
                    path = os.path.join(parent, name); s = os.lstat(path)
                    kind = stat.S_IFMT(s.st_mode)
                    extra = content(path)[:60] if kind == stat.S_IFREG else os.readlink(path) if kind == stat.S_IFLNK else s.st_rdev
                    print(path, oct(s.st_mode), s.st_nlink, s.st_uid, s.st_gid, s.st_size if kind != stat.S_IFDIR else "-", extra, os.listxattr(path, follow_symlinks=False))
                directories.sort()
            print("end", flush=True)

        """#

    @Test(arguments: [true, false])
    func namesAreMadeMovedAndRemovedAsOnTheDisk(passthrough: Bool) async throws {
        try await compare(passthrough: passthrough, #"""
            do("mkdir", lambda: os.mkdir("d", 0o777)); do("mkdir again", lambda: os.mkdir("d"))
            do("create", lambda: write("d/f", b"one")); do("exclusive", lambda: write("d/f", b"", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            do("a file as directory", lambda: write("d/f/x", b"")); do("absent parent", lambda: write("no/x", b""))
            do("too long", lambda: write("n" * 256, b"")); do("long", lambda: write("n" * 255, b"long"))
            do("odd name", lambda: write(b"d/\xff\xfe\n name", b"odd"))
            do("link", lambda: os.link("d/f", "hard")); do("link to directory", lambda: os.link("d", "e")); do("link over", lambda: os.link("d/f", "hard"))
            do("symlink", lambda: os.symlink("d/f", "soft")); do("dangling", lambda: os.symlink("x" * 1000, "far")); do("through", lambda: content("soft"))
            do("fifo", lambda: os.mkfifo("fifo", 0o640)); do("node", lambda: os.mknod("null", 0o20666, os.makedev(1, 3))); do("socket", lambda: os.mknod("sock", 0o140755))
            do("node of a regular file", lambda: os.mknod("plain", 0o100600))
            do("rmdir full", lambda: os.rmdir("d")); do("rmdir file", lambda: os.rmdir("hard")); do("unlink directory", lambda: os.unlink("d"))
            os.mkdir("e"); write("e/g", b"two")
            do("rename", lambda: os.rename("e/g", "d/g")); do("rename over", lambda: os.rename("d/g", "d/f")); do("still linked", lambda: os.stat("hard").st_nlink)
            do("rename directory over full", lambda: os.rename("e", "d")); do("rename file over directory", lambda: os.rename("hard", "d"))
            do("rename into itself", lambda: os.rename("d", "d/inner"))
            do("noreplace", lambda: renameat2("hard", "d/f", 1)); do("noreplace free", lambda: renameat2("hard", "hard2", 1))
            do("exchange", lambda: renameat2("hard2", "e", 2)); do("exchange absent", lambda: renameat2("hard2", "nowhere", 2))
            do("whiteout", lambda: renameat2("d/f", "moved", 4))
            def unnamed():
                f = os.open("d", os.O_TMPFILE | os.O_RDWR, 0o640); os.write(f, b"was nameless")
                n = os.fstat(f).st_nlink
                os.link(f"/proc/self/fd/{f}", "named", src_dir_fd=f, follow_symlinks=True) if False else libc.linkat(-100, f"/proc/self/fd/{f}".encode(), -100, b"named", 0x400)
                m = os.fstat(f).st_nlink; os.close(f); return n, m
            do("tmpfile", unnamed)
            do("tmpfile kept nameless", lambda: os.close(os.open("d", os.O_TMPFILE | os.O_EXCL | os.O_RDWR)))
            def orphan():
                f = os.open("orphan", os.O_RDWR | os.O_CREAT); os.write(f, b"0123456789"); os.unlink("orphan")
                os.ftruncate(f, 4); os.fchmod(f, 0o600); s = os.fstat(f); r = os.pread(f, 99, 0), s.st_nlink, s.st_size, oct(s.st_mode)
                os.close(f); return r
            do("unlinked while open", orphan)
            do("unlink absent", lambda: os.unlink("orphan")); do("unlink", lambda: os.unlink("soft"))
            show()
            """#)
    }

    @Test(arguments: [true, false])
    func contentAndAttributesChangeAsOnTheDisk(passthrough: Bool) async throws {
        try await compare(passthrough: passthrough, #"""
            write("f", b"a" * 10000)
            do("append", lambda: write("f", b"tail", os.O_WRONLY | os.O_APPEND)); do("size", lambda: os.stat("f").st_size)
            do("truncating open", lambda: write("f", b"new", os.O_WRONLY | os.O_TRUNC)); do("content", lambda: content("f"))
            do("grow", lambda: os.truncate("f", 5000)); do("zeros", lambda: content("f")[:5]); do("shrink", lambda: os.truncate("f", 2)); do("content", lambda: content("f"))
            do("truncate directory", lambda: os.truncate(".", 0)); do("too big", lambda: os.truncate("f", 1 << 60))
            f = os.open("f", os.O_RDWR)
            def mapped():
                os.ftruncate(f, 8192); m = mmap.mmap(f, 8192); m[0:5] = b"MAPPD"; m[8000:8003] = b"end"; m.flush(); r = os.pread(f, 5, 0); m.close(); return r
            do("mapped", mapped); do("seen by others", lambda: content("f")[7998:8004])
            do("truncate under open", lambda: os.truncate("f", 3)); do("read behind", lambda: os.pread(f, 10, 0)); do("write behind", lambda: os.pwrite(f, b"far", 100)); do("hole", lambda: content("f"))
            do("allocate", lambda: os.posix_fallocate(f, 0, 50000)); do("size", lambda: os.fstat(f).st_size)
            libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]
            do("punch", lambda: libc.fallocate(f, 3, 0, 4096)); do("keep size", lambda: libc.fallocate(f, 1, 0, 1 << 20)); do("size", lambda: os.fstat(f).st_size)
            do("punched", lambda: os.pread(f, 4, 0))
            sparse = os.open("sparse", os.O_RDWR | os.O_CREAT); os.ftruncate(sparse, 1 << 20); os.pwrite(sparse, b"x", 1 << 19)
            do("data", lambda: os.lseek(sparse, 0, os.SEEK_DATA)); do("hole", lambda: os.lseek(sparse, 1 << 19, os.SEEK_HOLE)); do("no data", lambda: os.lseek(sparse, (1 << 19) + 4096, os.SEEK_DATA))
            do("copy range", lambda: os.copy_file_range(sparse, f, 100, 1 << 19, 10)); do("copied", lambda: os.pread(f, 5, 8)); do("copy past the end", lambda: os.copy_file_range(sparse, f, 100, 1 << 21, 0))
            do("write to read-only descriptor", lambda: os.write(os.open("f", os.O_RDONLY), b"x")); do("read from write-only", lambda: os.read(os.open("f", os.O_WRONLY), 1))
            do("fsync", lambda: os.fsync(f)); do("fdatasync", lambda: os.fdatasync(f)); d = os.open(".", os.O_RDONLY); do("fsync directory", lambda: os.fsync(d)); os.close(d)
            do("chmod", lambda: os.chmod("f", 0o4711)); do("chown", lambda: os.chown("f", 12, 34)); do("set-id gone", lambda: oct(os.stat("f").st_mode))
            do("chown as root", lambda: os.chown("f", 0, 0)); os.symlink("f", "s"); do("lchown", lambda: os.lchown("s", 7, 8))
            do("utime", lambda: os.utime("f", ns=(1_000_000_001, 2_000_000_003))); do("times", lambda: (os.stat("f").st_atime_ns, os.stat("f").st_mtime_ns))
            do("link times", lambda: os.utime("s", ns=(5, 6), follow_symlinks=False)); do("times", lambda: os.lstat("s").st_mtime_ns)
            do("before 1970", lambda: os.utime("f", ns=(-5_000_000_000, -7_000_000_000))); do("times", lambda: os.stat("f").st_mtime_ns)
            do("set", lambda: os.setxattr("f", "user.a", b"1" * 3000)); do("set again", lambda: os.setxattr("f", "user.a", b"2", os.XATTR_CREATE)); do("replace absent", lambda: os.setxattr("f", "user.b", b"", os.XATTR_REPLACE))
            do("get", lambda: len(os.getxattr("f", "user.a"))); do("remove", lambda: os.removexattr("f", "user.a")); do("remove again", lambda: os.removexattr("f", "user.a")); do("bad namespace", lambda: os.setxattr("f", "bad.x", b""))
            do("set empty", lambda: os.setxattr("f", "user.empty", b"")); do("larder's own name", lambda: os.setxattr("f", "user.larder.x", b"y"))
            os.close(f)
            show()
            """#)
    }

    /// The kernel leaves the clearing of set-id bits to us, and who owns what is made.
    @Test(arguments: [true, false])
    func otherUsersOwnWhatTheyMakeAndTakeSetIDBitsAway(passthrough: Bool) async throws {
        try await compare(passthrough: passthrough, #"""
            os.mkdir("shared"); os.chmod("shared", 0o1777); os.mkdir("group"); os.chown("group", 0, 77); os.chmod("group", 0o2777)
            for name in ("written", "truncated", "opened", "mapped"):
                write("shared/" + name, b"content"); os.chmod("shared/" + name, 0o6777)
            def user():
                os.umask(0o027)
                do("create", lambda: write("shared/mine", b"x")); do("mkdir", lambda: os.mkdir("group/sub")); do("create", lambda: write("group/mine", b"y")); do("symlink", lambda: os.symlink("a", "group/s"))
                do("not allowed", lambda: write("mine", b"")); do("sticky", lambda: os.unlink("shared/written")); do("chown", lambda: os.chown("shared/mine", 0, 0)); do("chmod another's", lambda: os.chmod("shared/written", 0))
                do("write", lambda: write("shared/written", b"X", os.O_WRONLY)); do("truncate", lambda: os.truncate("shared/truncated", 1)); do("truncating open", lambda: os.close(os.open("shared/opened", os.O_WRONLY | os.O_TRUNC)))
                def mapped():
                    f = os.open("shared/mapped", os.O_RDWR); m = mmap.mmap(f, 7); m[0:1] = b"M"; m.close(); os.close(f)
                do("map", mapped)
                do("set-gid of a foreign group", lambda: (os.chmod("group/mine", 0o2755), oct(os.stat("group/mine").st_mode))[1])
            as_user(user)
            show()
            """#)
    }
}
