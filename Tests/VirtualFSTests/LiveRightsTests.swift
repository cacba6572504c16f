import CLinux
import Glibc
import LinuxIO
import Synchronization
import TestSupport
import Testing
@testable import VirtualFS

/// Owners, set-id bits, confinement, admission.
@Suite(.serialized) struct LiveRightsTests {
    /// What `setpriv` makes as another user on the plain directory is what the tree makes for that caller.
    @Test(.enabled(if: geteuid() == 0 || getenv("CI") != nil, "needs root")) func whatIsMadeBelongsToTheCallerAsOnTheDisk() throws {
        let fixture = try LiveFixture()
        let plain = fixture.directory.path + "/plain"
        mkdir(plain, 0o755)
        let directories: [(String, mode_t, UInt32)] = [("sticky", 0o1777, 0), ("setgid", 0o2777, 4242), ("own", 0o700, 0)]
        let script = """
            umask 0; cd "$1"
            : > file; mkdir dir; mkfifo fifo; ln -s target link
            """
        for (name, mode, group) in directories {
            for base in [fixture.path, plain] {
                mkdir(base + "/" + name, 0o755)
                #expect(chown(base + "/" + name, name == "own" ? 1000 : 0, group) == 0 && chmod(base + "/" + name, mode) == 0)
            }
            chmod(fixture.directory.path, 0o755)
            let caller = Caller(uid: 1000, gid: 1001, process: 1)
            let child = try ChildProcess(
                "setpriv", ["--reuid=1000", "--regid=1001", "--clear-groups", "sh", "-c", script, "sh", plain + "/" + name],
                environment: ["PATH": "/usr/bin:/bin"], logPath: fixture.directory.path + "/log")
            #expect(child.wait() == 0)
            let parent = try #require(try fixture.lookup(name)).attributes.node
            let (entry, file) = try fixture.create("file", in: parent, mode: 0o666, for: caller)
            fixture.tree.release(entry.attributes.node, handle: file.handle)
            _ = try fixture.makeDirectory("dir", in: parent, mode: 0o777, for: caller)
            try named("fifo") { name throws(FSError) in
                _ = try fixture.tree.makeNode(parent, name, mode: S_IFIFO | 0o666, deviceMajor: 0, deviceMinor: 0, for: caller)
            }
            try named("link") { name throws(FSError) in
                try named("target") { target throws(FSError) in _ = try fixture.tree.makeSymlink(parent, name, target: target, for: caller) }
            }
            // And this thread is itself again.
            try fixture.touch("mine", in: parent)
            try OwnedDescriptor.open(plain + "/" + name + "/mine", O_WRONLY | O_CREAT, mode: 0o644).sync()
            for made in ["file", "dir", "fifo", "link", "mine"] {
                var live = larder_object(), expected = larder_object()
                #expect(larder_look(-100, fixture.path + "/\(name)/\(made)", &live) == 0)
                #expect(larder_look(-100, plain + "/\(name)/\(made)", &expected) == 0)
                #expect(shown(live) == shown(expected), "\(name)/\(made)")
            }
        }
    }

    @Test(.enabled(if: geteuid() == 0 || getenv("CI") != nil, "needs root")) func aCallerWhomTheKernelAllowedIsNotRefusedForOurMissingGroups() throws {
        let fixture = try LiveFixture()
        let parent = try fixture.makeDirectory("d", mode: 0o770).attributes.node
        // Owned by root and a group of which the caller may be a member for all we know.
        #expect(chown(fixture.path + "/d", 0, 4242) == 0)
        let (entry, _) = try fixture.create("f", in: parent, mode: 0o2750, for: Caller(uid: 1000, gid: 1000, process: 1))
        #expect(entry.attributes.uid == 1000 && entry.attributes.gid == 1000 && entry.attributes.mode & 0o7777 == 0o2750)
        #expect(geteuid() == 0 && access("/root", W_OK) == 0)
    }

    @Test func noNameLeadsOut() throws {
        let fixture = try LiveFixture()
        #expect(symlink("..", fixture.path + "/up") == 0)
        try fixture.directory.write("outside", "x")
        for name in ["..", ".", "../outside", "a/b", "a\u{0}b", "/etc/passwd"] {
            #expect(throws: FSError.invalid) { try fixture.lookup(name) }
            #expect(throws: FSError.invalid) { try fixture.create(name) }
            #expect(throws: FSError.invalid) { try fixture.unlink(name) }
            #expect(throws: FSError.invalid) { try fixture.rename("up", to: name) }
        }
        let up = try #require(try fixture.lookup("up")).attributes.node
        #expect(throws: FSError.system(ENOTDIR)) { try fixture.lookup("outside", in: up) }
        #expect(throws: FSError.system(ENOTDIR)) { try fixture.list(up) }
        #expect(throws: FSError.system(ELOOP)) { _ = try fixture.tree.open(up, flags: O_RDONLY) }
        #expect(throws: FSError.nameTooLong) { try fixture.lookup(String(repeating: "n", count: 256)) }
        #expect(throws: FSError.stale) { try fixture.attributes(NodeID(rawValue: 1 << 63 | 77 << 5)) }
    }

    @Test(.enabled(if: geteuid() == 0 || getenv("CI") != nil, "needs root")) func anotherFilesystemMountedInsideIsNotEntered() throws {
        let fixture = try LiveFixture()
        _ = try fixture.makeDirectory("mounted")
        try fixture.touch("beside")
        let child = try ChildProcess("mount", ["-t", "tmpfs", "tmpfs", fixture.path + "/mounted"], environment: ["PATH": "/usr/bin:/bin"], logPath: fixture.directory.path + "/log")
        #expect(child.wait() == 0)
        defer { umount2(fixture.path + "/mounted", Int32(MNT_DETACH)) }
        #expect(throws: FSError.system(EXDEV)) { try fixture.lookup("mounted") }
        let listed = try fixture.list(fixture.tree.root, wantsEntries: true)
        #expect(Set(listed.map { String(decoding: $0.name, as: UTF8.self) }) == ["mounted", "beside"])
        #expect(listed.filter { $0.entry.isAbsent }.map { String(decoding: $0.name, as: UTF8.self) } == ["mounted"])
        #expect(throws: FSError.system(EBUSY)) { try fixture.removeDirectory("mounted") }
    }

    @Test(.enabled(if: geteuid() == 0 || getenv("CI") != nil, "needs root")) func setIdBitsGoWhenTheWriterMayNotKeepThem() throws {
        let fixture = try LiveFixture()
        for (mode, after) in [(0o6755, 0o755), (0o2644, 0o2644), (0o2755, 0o755)] as [(UInt32, UInt32)] {
            let (entry, file) = try fixture.create("f", mode: mode)
            let node = entry.attributes.node
            #expect(try fixture.write(node, [1]) == 1)
            #expect(try fixture.attributes(node).mode & 0o7777 == mode)
            let bytes: [UInt8] = [2]
            try bytes.span.withUnsafeBytes { bytes throws(FSError) in
                _ = try fixture.tree.write(node, handle: file.handle, at: 0, bytes, killsPrivileges: true)
            }
            #expect(try fixture.attributes(node).mode & 0o7777 == after)
            chmod(fixture.path + "/f", mode)
            var change = AttributeChange()
            (change.size, change.killsPrivileges) = (0, true)
            #expect(try fixture.tree.setAttributes(node, handle: nil, change, for: fixture.root).attributes.mode & 0o7777 == after)
            fixture.tree.release(node, handle: file.handle)
            chmod(fixture.path + "/f", mode)
            // What the kernel asks for before a write of its own.
            #expect(try fixture.tree.setAttributes(node, handle: nil, AttributeChange(), for: fixture.root).attributes.mode & 0o7777 == after)
            try fixture.unlink("f")
        }
    }

    /// Counts what it is told, and is open only when it was waited for.
    final class CountingGate: LiveGate {
        let isOpen = Atomic(false)
        let writers = Atomic(0)
        func admit() -> Bool { isOpen.load(ordering: .relaxed) }
        func waitForAdmission() async throws(FSError) { isOpen.store(true, ordering: .relaxed) }
        func openedForWriting() { writers.add(1, ordering: .relaxed) }
        func closedAfterWriting() { writers.subtract(1, ordering: .relaxed) }
        var lifetime: Double { isOpen.load(ordering: .relaxed) ? .infinity : 0 }
        var count: Int { writers.load(ordering: .relaxed) }
    }

    @Test func theGateAdmitsAndSaysHowLongNamesAreValid() async throws {
        let gate = CountingGate()
        let fixture = try LiveFixture(gate: gate)
        let root = fixture.tree.root
        guard case .cold = try fixture.tree.admitChange(root) else { Issue.record("admitted"); return }
        #expect(ready(try fixture.tree.attributes(root)).attributeLifetime == 0)
        #expect(fixture.tree.takeListedDirectories().isEmpty)
        #expect(try fixture.use(of: root) == .once)
        #expect(fixture.tree.takeListedDirectories() == [root], "what was gathered may be made whole by a later listing")
        try await fixture.tree.coldAdmitChange(root)
        guard case .ready = try fixture.tree.admitChange(root) else { Issue.record("not admitted"); return }
        #expect(ready(try fixture.tree.attributes(root)).attributeLifetime == .infinity)
        #expect(ready(try named("x") { name throws(FSError) in try fixture.tree.lookup(root, name) }).nameLifetime == .infinity)
        #expect(try fixture.use(of: root) == .again)
        #expect(fixture.tree.takeListedDirectories() == [root])
        #expect(fixture.tree.takeListedDirectories().isEmpty)
        let (entry, file) = try fixture.create("f", flags: O_WRONLY)
        let reader = ready(try fixture.tree.open(entry.attributes.node, flags: O_RDONLY))
        let writer = ready(try fixture.tree.open(entry.attributes.node, flags: O_RDWR))
        #expect(gate.count == 2)
        fixture.tree.release(entry.attributes.node, handle: reader.handle)
        #expect(gate.count == 2)
        fixture.tree.release(entry.attributes.node, handle: file.handle)
        fixture.tree.release(entry.attributes.node, handle: writer.handle)
        #expect(gate.count == 0)
        // An open that fails counts nothing.
        try fixture.unlink("f")
        fixture.tree.forget(entry.attributes.node, count: 1)
        #expect(throws: FSError.stale) { try fixture.tree.open(entry.attributes.node, flags: O_RDWR) }
        #expect(gate.count == 0)
    }

    @Test func whatSomebodyElseMadeMeanwhileIsOpenedByCreateOnlyIfItIsAFile() throws {
        let fixture = try LiveFixture()
        try fixture.directory.write("live/file", "text")
        #expect(mkfifo(fixture.path + "/fifo", 0o644) == 0)
        #expect(throws: FSError.system(EEXIST)) { try fixture.create("file") }
        let (entry, file) = try fixture.create("file", flags: O_RDWR)
        #expect(entry.attributes.size == 4 && file.handle != 0)
        let (truncated, _) = try fixture.create("file", flags: O_RDWR | O_TRUNC)
        #expect(truncated.attributes.size == 0 && truncated.attributes.node == entry.attributes.node)
        #expect(throws: FSError.stale) { try fixture.create("fifo", flags: O_RDWR) }
        #expect(fixture.tree.knownNodes == 2)
    }

    @Test func theDiskBelowIsWhatStatfsShows() throws {
        let fixture = try LiveFixture()
        var status = statvfs()
        #expect(statvfs(fixture.path, &status) == 0)
        let shown = fixture.tree.statistics()
        #expect(shown.blocks == UInt64(status.f_blocks) && shown.blockSize == UInt64(status.f_frsize) && shown.files == UInt64(status.f_files))
    }
}
