import Glibc
import LinuxIO
import Synchronization
import Testing
import VirtualFS

@testable import FuseBridge

extension String {
    fileprivate func components(of line: String) -> Int { split(separator: "\n").count { $0 == line } }
}

/// Processes that use one changeable mount at once.
@Suite(.serialized, .enabled(if: FuseDevice.isUsable, FuseDevice.reason), .timeLimit(.minutes(30)))
struct SharingTests {
    /// Two processes count in one file; only exclusion brings all counts together.
    @Test(arguments: ["fcntl.flock(f, fcntl.LOCK_EX)", "fcntl.lockf(f, fcntl.LOCK_EX)", "fcntl.fcntl(f, 38, struct.pack('hhqqi4x', 1, 0, 0, 0, 0))"])
    func locksExcludeProcesses(lock: String) async throws {
        try await withLiveMount { mount in
            let output = await python(
                """
                import fcntl, os, struct
                path = "\(mount.path)/counter"
                open(path, "w").write("0")
                children = []
                for child in range(3):
                    pid = os.fork()
                    if pid == 0:
                        for _ in range(200):
                            with open(path, "r+") as f:
                                \(lock)
                                n = int(f.read()); f.seek(0); f.write(str(n + 1)); f.flush()
                        os._exit(0)
                    children.append(pid)
                for pid in children: os.waitpid(pid, 0)
                print(open(path).read())
                """)
            #expect(output == "600\n")
            #expect(mount.session.counters["SETLK"] + mount.session.counters["SETLKW"] <= 1)
        }
    }

    @Test(arguments: [true, false])
    func aSharedMappingIsSharedBetweenProcesses(passthrough: Bool) async throws {
        try await withLiveMount(passthrough: passthrough) { mount in
            let output = await python(
                """
                import mmap, os, time
                f = os.open("\(mount.path)/shared", os.O_RDWR | os.O_CREAT); os.ftruncate(f, 8192)
                m = mmap.mmap(f, 8192)
                pid = os.fork()
                if pid == 0:
                    g = os.open("\(mount.path)/shared", os.O_RDWR); n = mmap.mmap(g, 8192)
                    while n[0] != 1: time.sleep(0.001)
                    n[4096:4101] = b"child"; n[1] = 1
                    os._exit(0)
                m[100:106] = b"parent"; m[0] = 1
                while m[1] != 1: time.sleep(0.001)
                os.waitpid(pid, 0)
                m.flush()
                print(m[4096:4101], os.pread(f, 6, 100), open("\(mount.below)/shared", "rb").read()[4096:4101])
                """)
            #expect(output == "b'child' b'parent' b'child'\n")
        }
    }

    @Test(arguments: [true, false])
    func noAppendedRecordIsLost(passthrough: Bool) async throws {
        try await withLiveMount(passthrough: passthrough) { mount in
            let output = await python(
                """
                import os
                path = "\(mount.path)/log"
                children = []
                for child in range(2):
                    pid = os.fork()
                    if pid == 0:
                        f = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
                        for n in range(2000): os.write(f, b"%d %04d\\n" % (child, n))
                        os._exit(0)
                    children.append(pid)
                for pid in children: os.waitpid(pid, 0)
                lines = open(path).read().splitlines()
                print(len(lines), all([l for l in lines if l[0] == str(c)] == ["%d %04d" % (c, n) for n in range(2000)] for c in (0, 1)))
                """)
            #expect(output == "4000 True\n")
        }
    }

    /// With far fewer descriptors than files; RELEASE comes later than the next CREATE.
    @Test(arguments: [true, false])
    func manyFilesAreMadeWithFewDescriptors(passthrough: Bool) async throws {
        await #expect(processExitsWith: .success) { [passthrough = passthrough as Bool] in
            var limit = rlimit(rlim_cur: 1024, rlim_max: 1024)
            guard setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { exit(2) }
            try await withLiveMount(passthrough: passthrough) { mount in
                let output = await python(
                    """
                    import os
                    for directory in range(20):
                        os.mkdir(f"\(mount.path)/{directory}")
                        for file in range(1000):
                            f = os.open(f"\(mount.path)/{directory}/{file}", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
                            os.write(f, b"content"); os.close(f)
                    print(sum(len(files) for _, _, files in os.walk("\(mount.below)")), sum(os.path.getsize(os.path.join(p, f)) for p, _, fs in os.walk("\(mount.path)") for f in fs))
                    """)
                guard output == "20000 140000\n" else { exit(3) }
            }
        }
    }

    @Test func aSignalEndsAChangeThatWaitsForItsRight() async throws {
        let gate = TestGate(open: false)
        try await withLiveMount(gate: gate, threads: 2) { mount in
            let output = await python(
                """
                import ctypes, errno, os, signal, time
                libc = ctypes.CDLL(None, use_errno=True)
                root = b"\(mount.path)"
                signal.signal(signal.SIGTERM, lambda *_: None)
                child = os.fork()
                while not child:
                    time.sleep(0.2)
                    os.kill(os.getppid(), signal.SIGTERM)
                for call in (lambda: libc.mkdir(root + b"/d", 0o755), lambda: libc.open(root + b"/f", os.O_CREAT | os.O_RDWR, 0o644), lambda: libc.symlink(b"x", root + b"/s")):
                    print(call(), errno.errorcode[ctypes.get_errno()])
                os.kill(child, signal.SIGKILL)
                print(os.listdir(root))
                """)
            #expect(output == "-1 EINTR\n-1 EINTR\n-1 EINTR\n[]\n")
            #expect(gate.waiting.load(ordering: .relaxed) >= 3)
        }
    }

    /// More changes wait than there are threads of any kind; reading goes on, and all end well when the right is there.
    ///
    /// Each waits in a directory of its own: the kernel holds a directory's lock while one of its names is changed, so that whoever
    /// then lists it, or looks up there what is not remembered, waits too.
    @Test func changesWaitForTheirRightAndReadersDoNot() async throws {
        let gate = TestGate(open: false)
        try await withLiveMount(gate: gate, threads: 2) { mount in
            _ = await shell("cd \(mount.below) && echo below > present && mkdir d1 d2 d3 d4 d5 d6 d7 d8")
            async let changed = shell("cd \(mount.path); for i in 1 2 3 4 5 6 7 8; do (cd d$i && mkdir e && echo $i > e/f && mv e/f g && ln g l && cat l) & done; wait")
            for _ in 0..<150_000 where gate.waiting.load(ordering: .relaxed) < 8 { try await Task.sleep(for: .milliseconds(2)) }
            #expect(gate.waiting.load(ordering: .relaxed) == 8)
            #expect(await shell("cat \(mount.path)/present; ls \(mount.path)").output == "below\nd1\nd2\nd3\nd4\nd5\nd6\nd7\nd8\npresent\n")
            gate.open()
            #expect(await changed.output.split(separator: "\n").sorted() == (1...8).map { "\($0)" })
            #expect(await shell("ls -m \(mount.below)/d*/").output.components(of: "e, g, l") == 8)
        }
        #expect(gate.writers.load(ordering: .relaxed) == 0)
    }

    /// As many fsyncs hang in the disk as there are threads that read requests, and more. Of different files: those of one
    /// wait for each other in the kernel.
    @Test func fsyncsThatHangDoNotHoldUpOthers() async throws {
        let fileSystem = MemoryFS(lifetime: 0)
        for number in 0..<6 { fileSystem.file("f\(number)", "x") }
        let (begun, disk) = (Semaphore(), Semaphore())
        fileSystem.state.withLock { $0.synchronizing = { begun.signal(); disk.wait() } }
        try await withMount(fileSystem, threads: 2, flags: []) { mount in
            let path = mount.path + "/f"
            async let hanging = withTaskGroup(of: Int32.self) { group in
                for number in 0..<6 {
                    group.addTask {
                        await onThread {
                            let file = Glibc.open(path + "\(number)", O_RDONLY)
                            defer { close(file) }
                            return code(fsync(file))
                        }
                    }
                }
                return await group.reduce(into: []) { $0.append($1) }
            }
            await onThread { for _ in 0..<3 { begun.wait() } }
            #expect(await shell("stat -c %s \(path)0").output == "1\n")
            for _ in 0..<6 { disk.signal() }
            #expect(await hanging == [0, 0, 0, 0, 0, 0])
        }
    }

    @Test func requestsThatCanBeSparedAreSpared() async throws {
        try await withLiveMount { mount in
            let (path, session) = (mount.path, mount.session)
            _ = await python("open('\(path)/warm', 'w').write('FLUSH is asked for once')")
            let created = await session.counted { _ = await python("f = open('\(path)/f', 'wb', 0)\nfor _ in range(100): f.write(b'x' * 5000)\nf.close()") }
            #expect(created["CREATE"] == 1 && created["LOOKUP"] == 1)
            for none in ["WRITE", "FLUSH", "OPEN", "SETATTR"] { #expect(created[none] == nil, "\(none)") }
            // security.capability, before the first write to an inode.
            #expect((created["GETXATTR"] ?? 0) <= 1)

            _ = await shell("stat \(path)/f")
            #expect(await quietest { await session.counted { _ = await shell("stat \(path)/f; stat \(path)/absent 2>&1") } } == [:])
            let read = await quietest { await session.counted { _ = await shell("cat \(path)/f") } }
            #expect(read == ["OPEN": 1])
        }
    }
}
