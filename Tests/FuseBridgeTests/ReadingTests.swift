import Glibc
import Synchronization
import Testing
import VirtualFS

@testable import FuseBridge

@Suite(.serialized, .enabled(if: FuseDevice.isUsable, FuseDevice.reason), .timeLimit(.minutes(30)))
struct ReadingTests {
    @Test func ordinaryToolsSeeTheTree() async throws {
        let fileSystem = MemoryFS()
        let directory = fileSystem.directory("bin")
        fileSystem.file("tool", in: directory, "hello\n")
        fileSystem.add("link", to: directory, mode: S_IFLNK | 0o777, content: Array("tool".utf8))
        try await withMount(fileSystem) { mount in
            #expect(await shell("ls -a \(mount.path)/bin | sort").output == ".\n..\nlink\ntool\n")
            #expect(await shell("cat \(mount.path)/bin/link").output == "hello\n")
            #expect(await shell("readlink \(mount.path)/bin/link").output == "tool\n")
            #expect(await shell("stat -c '%s %f %h %Y %i' \(mount.path)/bin/tool").output == "6 81a4 1 1600000000 30064771074\n")
            #expect(await shell("stat -f -c '%b %f %a %c %d %s' \(mount.path)").output == "1000 400 300 50 20 4096\n")
            let line = await shell("grep ' \(mount.path) ' /proc/self/mountinfo").output
            #expect(line.contains(" - fuse.larder larder ") && line.contains("nosuid") && line.contains("ro,"))
        }
    }

    @Test func extendedAttributesAreReadInFull() async throws {
        let fileSystem = MemoryFS()
        let file = fileSystem.file("f", "x")
        fileSystem.change(file) { $0.extended = [(Array("user.larder.digest".utf8), Array("sha256:00".utf8)), (Array("user.empty".utf8), [])] }
        try await withMount(fileSystem) { mount in
            let output = await python(
                """
                import os, errno
                f = "\(mount.path)/f"
                print(os.listxattr(f), os.getxattr(f, "user.larder.digest"), os.getxattr(f, "user.empty"))
                try: os.getxattr(f, "user.nothing")
                except OSError as e: print(errno.errorcode[e.errno])
                libc = __import__("ctypes").CDLL(None, use_errno=True)
                print(libc.getxattr(f.encode(), b"user.larder.digest", bytes(3), 3), errno.errorcode[__import__("ctypes").get_errno()])
                """)
            #expect(output == "['user.larder.digest', 'user.empty'] b'sha256:00' b''\nENODATA\n-1 ERANGE\n")
        }
    }

    @Test func deviceNumbersAreKeptWhole() async throws {
        let fileSystem = MemoryFS()
        let numbers: [(UInt32, UInt32)] = [(1, 3), (8, 0), (136, 255), (259, 1_048_575), (4095, 256)]
        for (major, minor) in numbers {
            let node = fileSystem.add("\(major):\(minor)", mode: S_IFCHR | 0o600)
            fileSystem.change(node) {
                $0.attributes.deviceMajor = major
                $0.attributes.deviceMinor = minor
            }
        }
        try await withMount(fileSystem) { mount in
            let output = await python(
                """
                import os
                for name in os.listdir("\(mount.path)"):
                    number = os.lstat("\(mount.path)/" + name).st_rdev
                    print(name == f"{os.major(number)}:{os.minor(number)}")
                """)
            #expect(output == String(repeating: "True\n", count: numbers.count))
        }
    }

    @Test(arguments: [false, true])
    func aBigDirectoryIsListedWholeAndCanBeSought(immutable: Bool) async throws {
        let fileSystem = MemoryFS(lifetime: immutable ? .infinity : 0)
        let names = (0..<20_000).map { "entry-\($0)" }
        for name in names { fileSystem.file(name, "") }
        try await withMount(fileSystem) { mount in
            let path = mount.path
            let (all, sought) = await onThread { () -> ([String], [String]) in
                guard let stream = opendir(path) else { return ([], []) }
                defer { closedir(stream) }
                var all: [String] = []
                var places: [Int] = []
                while let name = nextName(stream) {
                    all.append(name)
                    places.append(telldir(stream))
                }
                // From the middle, backwards, and on from there.
                seekdir(stream, places[12_345])
                var sought = [nextName(stream) ?? ""]
                seekdir(stream, places[99])
                while let name = nextName(stream) { sought.append(name) }
                return (all, sought)
            }
            #expect(all.count == 20_002)
            #expect(all == [".", ".."] + names)
            #expect(sought == [all[12_346]] + all[100...])
        }
    }

    @Test func aNameTheKernelWouldRefuseDoesNotHideTheOthers() async throws {
        let fileSystem = MemoryFS()
        fileSystem.file("a/b", "")
        fileSystem.file(String(repeating: "n", count: 256), "")
        fileSystem.file(String(repeating: "n", count: 255), "")
        fileSystem.file("z", "")
        try await withMount(fileSystem) { mount in
            #expect(await shell("ls \(mount.path) | wc -l; ls \(mount.path) | tail -1").output == "2\nz\n")
        }
    }

    @Test func absentNamesAreAskedForOnce() async throws {
        try await withMount(MemoryFS()) { mount in
            _ = await shell("stat \(mount.path)/absent 2>&1")
            let requests = await quietest { await mount.counted { _ = await shell("for i in 1 2 3 4 5; do stat \(mount.path)/absent; done 2>&1") } }
            #expect(requests["LOOKUP"] == nil)
        }
        try await withMount(MemoryFS(lifetime: 0)) { mount in
            let requests = await mount.counted { _ = await shell("for i in 1 2 3 4 5; do stat \(mount.path)/absent; done 2>&1") }
            #expect(requests["LOOKUP"] == 5)
        }
    }

    @Test func filesOfNoFixedSizeAreReadToTheirEndEveryTime() async throws {
        let fileSystem = MemoryFS()
        let file = fileSystem.add("metrics", mode: S_IFREG | 0o444, size: 0, content: Array("first".utf8))
        fileSystem.change(file) { $0.caching = .direct }
        try await withMount(fileSystem) { mount in
            #expect(await shell("cat \(mount.path)/metrics").output == "first")
            fileSystem.change(file) { $0.content = Array("second, longer".utf8) }
            #expect(await shell("cat \(mount.path)/metrics").output == "second, longer")
        }
    }

    @Test func contentFromTheColdSideArrivesWhole() async throws {
        let fileSystem = MemoryFS()
        fileSystem.add("big", mode: S_IFREG | 0o444, size: 3_000_001)
        try await withMount(fileSystem) { mount in
            let expected = await shell("head -c 3000001 /dev/zero | tr '\\0' x | sha256sum").output
            #expect(await shell("sha256sum < \(mount.path)/big").output == expected)
        }
    }

    @Test func aWarmZeroMessageMountIsNotAskedAnything() async throws {
        let fileSystem = MemoryFS()
        for number in 0..<50 {
            let directory = fileSystem.directory("d\(number)")
            for file in 0..<20 { fileSystem.file("f\(file)", in: directory, "content of \(number)/\(file)\n") }
            fileSystem.add("link", to: directory, mode: S_IFLNK | 0o777, content: Array("f0".utf8))
        }
        try await withMount(fileSystem, profile: .zeroMessage) { mount in
            let command = "find \(mount.path) -printf '%P %s %l\\n' | sort; find \(mount.path) -type f -print0 | sort -z | xargs -0 cat; cat \(mount.path)/d*/link"
            let cold = await shell(command)
            let entries = 1 + 50 + 50 * 21
            let lines = entries + 50 * 20 + 50
            #expect(cold.output.split(separator: "\n").count == lines)
            // find(1) asks for the type of the filesystem, once per run; the kernel keeps no answer to that.
            var warm = (output: "", status: Int32(0))
            let requests = await quietest { await mount.counted { warm = await shell(command) } }
            #expect(warm == cold)
            #expect(requests == ["STATFS": 2])
            #expect(mount.session.counters["OPEN"] == 1)
            #expect(mount.session.counters["OPENDIR"] == 1)
            #expect(mount.session.counters["RELEASE"] == 0)
        }
    }

    @Test(arguments: [true, false])
    func nothingCanBeWritten(kernelKnows: Bool) async throws {
        let fileSystem = MemoryFS()
        fileSystem.file("f", "content")
        fileSystem.directory("d")
        let flags: FuseSession.MountFlags = kernelKnows ? [.readOnly] : []
        try await withMount(fileSystem, flags: flags) { mount in
            let p = mount.path
            let codes = await onThread { () -> [String: Int32] in
                let f = p + "/f", d = p + "/d", new = p + "/new"
                return [
                    "create": code(open(new, O_CREAT | O_WRONLY, 0o644)), "write open": code(open(f, O_WRONLY)),
                    "append": code(open(f, O_RDWR | O_APPEND)), "truncating": code(open(f, O_RDONLY | O_TRUNC)),
                    "truncate": code(truncate(f, 0)), "chmod": code(chmod(f, 0o600)), "chown": code(chown(f, 1, 1)),
                    "utimes": code(utimes(f, nil)), "mkdir": code(mkdir(new, 0o755)), "rmdir": code(rmdir(d)),
                    "unlink": code(unlink(f)), "rename": code(rename(f, new)), "link": code(link(f, new)),
                    "symlink": code(symlink("f", new)), "mknod": code(mknod(new, S_IFIFO | 0o644, 0)),
                ]
            }
            for (operation, code) in codes { #expect(code == EROFS, "\(operation)") }
            let attributes = await python(
                """
                import os, errno
                for change in (lambda: os.setxattr("\(p)/f", "user.x", b"1"), lambda: os.removexattr("\(p)/f", "user.x")):
                    try: change()
                    except OSError as e: print(errno.errorcode[e.errno])
                """)
            #expect(attributes == "EROFS\nEROFS\n")
            #expect(await shell("cat \(p)/f").output == "content")
        }
    }
}

private func nextName(_ stream: OpaquePointer) -> String? {
    guard let entry = readdir(stream) else { return nil }
    return withUnsafePointer(to: &entry.pointee.d_name) { $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) } }
}
