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
            guard session.canForgetNames else { return }
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
                session.forgetNames()
                #expect(await shell(look).output == "f 7\nf, new\nlonger\nthere\n")
            }
            #expect(remembered == "2\nabsent\n")
        }
    }

    /// A file that is rewritten in place below keeps its inode: size and content must follow too.
    @Test func aFileRewrittenInPlaceIsReadAnew() async throws {
        for passthrough in [true, false] {
            try await withLiveMount(passthrough: passthrough) { mount in
                guard mount.session.canForgetNames else { return }
                _ = await shell("echo old > \(mount.below)/f")
                #expect(await shell("cat \(mount.path)/f").output == "old\n")
                _ = await shell("echo anew and longer > \(mount.below)/f")
                mount.session.forgetNames()
                #expect(await shell("cat \(mount.path)/f; wc -c < \(mount.path)/f").output == "anew and longer\n16\n")
                _ = await shell("echo same length all > \(mount.below)/f; echo same again here > \(mount.below)/f")
                mount.session.forgetNames()
                #expect(await shell("cat \(mount.path)/f").output == "same again here\n")
            }
        }
    }

    /// Processes that are inside go on: their directory keeps its name, their files stay open.
    @Test func invalidationDisturbsNobodyInside() async throws {
        try await withLiveMount { mount in
            guard mount.session.canForgetNames else { return }
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
            mount.session.forgetNames()
            // Somebody walks there first, which is what drops the outdated names.
            _ = await shell("stat \(mount.path)/a/b/f; touch \(go)")
            #expect(await inside == "True 1 ['f']\nTrue 2 True\n")
        }
    }

    /// A listing is kept until it is to be forgotten, even where the directory's time says that nothing has changed.
    @Test func aKeptListingIsReadAnewWhenItIsToBeForgotten() async throws {
        try await withLiveMount { mount in
            let (seen, below) = ("\(mount.path)/d", "\(mount.below)/d")
            _ = await shell("mkdir \(below); touch \(below)/old; touch -d @1000 \(below)")
            // A kernel that wants the memory forgets by itself: then it is tried again.
            var isKept = false
            for number in 0..<20 where !isKept {
                #expect(await shell("ls \(seen) | sort | head -1").output == "\(number == 0 ? "old" : "new0")\n")
                _ = await shell("touch \(below)/new\(number); touch -d @1000 \(below)")
                isKept = await shell("ls \(seen)").output.contains("new\(number)\n") == false
                for directory in mount.tree.takeListedDirectories() { mount.session.forgetListing(of: directory) }
                #expect(await shell("ls \(seen)").output.contains("new\(number)\n"))
            }
            #expect(isKept)
        }
    }

    /// While others may change a directory nothing of it is kept: not even where its time stays the same.
    @Test func aListingThatMayChangeIsReadAnewEachTime() async throws {
        try await withLiveMount(gate: OthersGate()) { mount in
            let (seen, below) = ("\(mount.path)/d", "\(mount.below)/d")
            _ = await shell("mkdir \(below); touch -d @1000 \(below)")
            var names: Set<String> = []
            for number in 0..<50 {
                names.insert("file\(number)")
                _ = await shell("touch \(below)/file\(number); touch -d @1000 \(below)")
                let listed = await python("import os\nprint(*os.listdir('\(seen)'))")
                #expect(Set(listed.split { $0 == " " || $0 == "\n" }.map(String.init)) == names)
            }
            #expect(mount.session.counters["OPENDIR"] == 1)
            #expect(mount.session.counters["RELEASEDIR"] == 0)
        }
    }

    /// One directory listed by many at once, while it changes below and nothing is kept.
    @Test func manyListersOfAChangingDirectorySeeWhatWasThereBefore() async throws {
        try await withLiveMount(gate: OthersGate()) { mount in
            let output = await python(
                """
                import os, threading
                seen, below = "\(mount.path)", "\(mount.below)"
                made, wrong, over = 0, [], False
                def listing():
                    while not over:
                        least = made
                        names = os.listdir(seen)
                        if len(names) != len(set(names)) or any(f"f{number}" not in names for number in range(least)): wrong.append((least, sorted(names)))
                threads = [threading.Thread(target=listing) for _ in range(6)]
                for thread in threads: thread.start()
                for number in range(400):
                    open(f"{below}/f{number}", "w").close()
                    os.utime(below, (1000, 1000))
                    made = number + 1
                over = True
                for thread in threads: thread.join()
                print(wrong[:1])
                """)
            #expect(output == "[]\n")
        }
    }

    @Test func invalidatingWhatIsNotServedDoesNothing() async throws {
        let path = try temporaryDirectory()
        let session = try FuseSession(fileSystem: MemoryFS(), options: .init(mountPoint: path), logger: .init(label: "test"))
        session.forgetNames()
        #expect(!session.canForgetNames)
        rmdir(path)
        session.forgetListing(of: NodeID(rawValue: 1))
        let mount = try await Served(MemoryFS())
        try await mount.stop()
        mount.session.forgetNames()
        mount.session.forgetListing(of: NodeID(rawValue: 1))
    }
}
