import Glibc
import LinuxIO
import Testing
import VirtualFS

@testable import FuseBridge

/// What the kernel remembers of a mount for ever, and how it is made to ask again.
@Suite(.serialized, .enabled(if: FuseDevice.isUsable, FuseDevice.reason), .timeLimit(.minutes(30)))
struct InvalidationTests {
    @Test func whatChangedBehindOurBackIsSeenAfterInvalidation() async throws {
        try await withLiveMount { mount in
            let (path, below, session) = (mount.path, mount.below, mount.session)
            guard session.canInvalidate else { return }
            // What the kernel remembers it may also forget, where other tests want the memory: then it is tried again elsewhere.
            var remembered = ""
            for number in 0..<20 where remembered != "2\nabsent\n" {
                let (seen, real) = ("\(path)/d\(number)", "\(below)/d\(number)")
                let look = "cd \(seen) && stat -c '%n %s' f; ls -m; cat f 2>/dev/null; test -e new && echo there || echo absent; cat g/deep 2>/dev/null"
                _ = await shell("mkdir -p \(real)/g; echo 1 > \(real)/f; echo deep > \(real)/g/deep")
                let before = await shell(look).output
                #expect(before == "f 2\nf, g\n1\nabsent\ndeep\n")
                _ = await shell("echo longer > \(real)/f.x; mv \(real)/f.x \(real)/f; echo > \(real)/new; rm -r \(real)/g")
                remembered = await shell("stat -c %s \(seen)/f; test -e \(seen)/new || echo absent").output
                session.invalidateAll()
                #expect(await shell(look).output == "f 7\nf, new\nlonger\nthere\n")
            }
            #expect(remembered == "2\nabsent\n")
        }
    }

    /// A file that is rewritten in place below keeps its inode: size and content must follow too.
    @Test func aFileRewrittenInPlaceIsReadAnew() async throws {
        for passthrough in [true, false] {
            try await withLiveMount(passthrough: passthrough) { mount in
                guard mount.session.canInvalidate else { return }
                _ = await shell("echo old > \(mount.below)/f")
                #expect(await shell("cat \(mount.path)/f").output == "old\n")
                _ = await shell("echo anew and longer > \(mount.below)/f")
                mount.session.invalidateAll()
                #expect(await shell("cat \(mount.path)/f; wc -c < \(mount.path)/f").output == "anew and longer\n16\n")
                _ = await shell("echo same length all > \(mount.below)/f; echo same again here > \(mount.below)/f")
                mount.session.invalidateAll()
                #expect(await shell("cat \(mount.path)/f").output == "same again here\n")
            }
        }
    }

    /// Processes that are inside go on: their directory keeps its name, their files stay open.
    @Test func invalidationDisturbsNobodyInside() async throws {
        try await withLiveMount { mount in
            guard mount.session.canInvalidate else { return }
            _ = await shell("mkdir -p \(mount.below)/a/b; echo 1 > \(mount.below)/a/b/f")
            let (begun, go) = ("\(mount.below)/begun", "\(mount.below)/go")
            async let inside = python(
                """
                import os, time
                os.chdir("\(mount.path)/a/b")
                f = open("f", "r+")
                open("\(begun)", "w").close()
                while not os.path.exists("\(go)"): time.sleep(0.005)
                print(os.getcwd() == "\(mount.path)/a/b", f.read().strip(), os.listdir("."))
                f.seek(0); f.write("2"); f.close()
                os.stat("\(mount.path)/a/b/f")
                print(os.getcwd() == "\(mount.path)/a/b", open("f").read().strip(), os.stat("../b").st_ino == os.stat(".").st_ino)
                os.mkdir("new"); os.rmdir("new")
                """)
            for _ in 0..<60_000 where access(begun, F_OK) != 0 { try await Task.sleep(for: .milliseconds(5)) }
            mount.session.invalidateAll()
            // Somebody walks there first, which is what drops the outdated names.
            _ = await shell("stat \(mount.path)/a/b/f; touch \(go)")
            #expect(await inside == "True 1 ['f']\nTrue 2 True\n")
        }
    }

    @Test func invalidatingWhatIsNotServedDoesNothing() async throws {
        let path = try temporaryDirectory()
        let session = try FuseSession(fileSystem: MemoryFS(), options: .init(mountPoint: path), logger: .init(label: "test"))
        session.invalidateAll()
        #expect(!session.canInvalidate)
        rmdir(path)
        let mount = try await Served(MemoryFS())
        try await mount.stop()
        mount.session.invalidateAll()
    }
}
