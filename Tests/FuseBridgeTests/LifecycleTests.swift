import Glibc
import LinuxIO
import Logging
import Testing
import VirtualFS

@testable import FuseBridge

@Suite(.serialized, .enabled(if: FuseDevice.isUsable, FuseDevice.reason), .timeLimit(.minutes(30)))
struct LifecycleTests {
    @Test func anOpenFileKeepsTheMountUntilItIsClosed() async throws {
        let fileSystem = MemoryFS()
        fileSystem.file("f", "still here")
        let mount = try await Served(fileSystem)
        let path = mount.path
        let descriptor = await onThread { open(path + "/f", O_RDONLY) }
        try #require(descriptor >= 0)
        await #expect(throws: MountError.busy(path)) { try await onThread { Result { () throws(MountError) in try mount.session.unmount() } }.get() }
        try await onThread { Result { () throws(MountError) in try mount.session.unmount(lazily: true) } }.get()
        #expect(MountTable.mounted(on: path) == nil)
        let content = await onThread { () -> String in
            var bytes = [UInt8](repeating: 0, count: 64)
            let count = read(descriptor, &bytes, bytes.count)
            close(descriptor)
            return String(decoding: bytes[..<max(0, count)], as: UTF8.self)
        }
        #expect(content == "still here")
        await mount.ended()
    }

    @Test func somebodyElseMayUnmount() async throws {
        let mount = try await Served(MemoryFS())
        #expect(await shell("umount \(mount.path)").status == 0)
        await mount.ended()
        #expect(throws: Never.self) { try mount.session.unmount() }
    }

    @Test func aMountThatIsNeverServedGoesAway() async throws {
        let path = try temporaryDirectory()
        let session = try FuseSession(fileSystem: MemoryFS(), options: .init(mountPoint: path), logger: Logger(label: "test"))
        #expect(throws: MountError.self) { try session.run() }
        try session.mount()
        #expect(throws: MountError.self) { try session.mount() }
        #expect(MountTable.mounted(on: path)?.type == "fuse.larder")
        try session.unmount(lazily: true)
        #expect(MountTable.mounted(on: path) == nil)
        // A mount namespace that a test beside this one has just made may hold it a little longer. Then it is served until it lets go.
        await onThread { try? session.run() }

        do {
            let forgotten = try FuseSession(fileSystem: MemoryFS(), options: .init(mountPoint: path), logger: Logger(label: "test"))
            try forgotten.mount()
        }
        #expect(MountTable.mounted(on: path) == nil)
        rmdir(path)
    }

    /// The child dies with its mount; the mount point says "not connected" until the next one takes it over.
    @Test func aKilledServersMountPointIsTakenOver() async throws {
        let path = try temporaryDirectory()
        await #expect(processExitsWith: .signal(SIGKILL)) { [path = path as String] in
            let fileSystem = MemoryFS()
            fileSystem.file("old", "")
            let mount = try await Served(fileSystem, at: path)
            guard await shell("ls \(mount.path)").output == "old\n" else { exit(1) }
            kill(getpid(), SIGKILL)
        }
        // Nothing of STATFS is remembered. Rings end a moment after their process: until then a request is cancelled.
        let asked = { @Sendable () -> Int32 in
            var disk = statvfs()
            return code(statvfs(path, &disk))
        }
        while await onThread(asked) == ECANCELED { await Task.yield() }
        #expect(await onThread(asked) == ENOTCONN)
        let fileSystem = MemoryFS()
        fileSystem.file("new", "")
        let mount = try await Served(fileSystem, at: path)
        #expect(await shell("ls \(path)").output == "new\n")
        try await mount.stop()
    }

    @Test(.enabled(if: FuseDevice.isForUsers, FuseDevice.usersReason))
    func aUserWithoutRightsMountsThroughTheHelper() async throws {
        let path = try temporaryDirectory()
        chown(path, 65534, 65534)
        await #expect(processExitsWith: .success) { [path = path as String] in
            guard setgroups(0, nil) == 0, setgid(65534) == 0, setuid(65534) == 0 else { exit(2) }
            let fileSystem = MemoryFS()
            fileSystem.file("f", "mine")
            let options = FuseSession.Options(mountPoint: path, name: "a,b\\c")
            let session = try FuseSession(fileSystem: fileSystem, options: options, logger: Logger(label: "test"))
            try session.mount()
            let ready = Semaphore()
            let thread = try DedicatedThread.start("server") { try? session.run { ready.signal() } }
            await onThread { ready.wait() }
            guard await shell("cat \(path)/f").output == "mine" else { exit(3) }
            guard MountTable.mounted(on: path)?.type == "fuse.larder", !session.hasPassthrough else { exit(4) }
            guard await shell("grep -cF ' - fuse.larder a,b\\134c ' /proc/self/mountinfo").output == "1\n" else { exit(5) }
            try await onThread { Result { () throws(MountError) in try session.unmount() } }.get()
            await onThread { thread.join() }
            guard MountTable.mounted(on: path) == nil else { exit(6) }
        }
        rmdir(path)
    }

    @Test func theHelpersOwnWordsAreInTheError() async throws {
        let path = try temporaryDirectory()
        await #expect(processExitsWith: .success) { [path = path as String] in
            guard setgroups(0, nil) == 0, setgid(65534) == 0, setuid(65534) == 0 else { exit(2) }
            let session = try FuseSession(fileSystem: MemoryFS(), options: .init(mountPoint: path), logger: Logger(label: "test"))
            do {
                try session.mount()
                exit(3)
            } catch {
                guard "\(error)".contains(path), "\(error)".contains("fusermount3: ") else { exit(4) }
            }
        }
        rmdir(path)
    }

    @Test func aMountPointThatIsNoneIsNamedInTheError() throws {
        let logger = Logger(label: "test")
        #expect(throws: MountError.mountPoint("/nonexistent/x", reason: "No such file or directory")) {
            _ = try FuseSession(fileSystem: MemoryFS(), options: .init(mountPoint: "/nonexistent/x"), logger: logger)
        }
        let session = try FuseSession(fileSystem: MemoryFS(), options: .init(mountPoint: "/etc/passwd"), logger: logger)
        #expect(throws: MountError.mountPoint("/etc/passwd", reason: "not a directory")) { try session.mount() }
    }
}
