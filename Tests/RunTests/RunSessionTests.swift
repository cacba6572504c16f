import Caches
import Glibc
import LinuxIO
import Logging
import Store
import Testing
import TestSupport

@testable import Run

/// Real commands in real namespaces. As root; what needs a process of its own (signals, what is left running, an ordinary user) is
/// tested end to end.
@Suite(.serialized, .enabled(if: geteuid() == 0 || getenv("CI") != nil)) struct RunSessionTests {
    let files: TemporaryDirectory
    let library: CacheLibrary

    init() throws {
        files = try TemporaryDirectory()
        library = CacheLibrary(try Store(at: files.path + "/store", create: true, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }))
    }

    private func request(_ script: String) -> RunRequest {
        var request = RunRequest(command: ["sh", "-c", "exec >\(files.path)/out 2>&1; " + script].map { Array($0.utf8) }, currentDirectory: files.path)
        request.environment = EnvironmentBlock(Shell.environment.map { Array("\($0.key)=\($0.value)".utf8) })
        return request
    }

    private func run(_ request: RunRequest) async throws -> (outcome: Outcome, output: String, said: [String]) {
        let said = Monitor<[String]>([])
        var session = RunSession(request, caches: library, openImage: { _ in throw RunError.invalid("no images here") }, say: { line in said.update { $0.append(line) } })
        session.supervisor.ownsProcess = false
        let outcome = try await session.run()
        let output = (try? Shell.contents(ofFile: files.path + "/out")).map { String(decoding: $0, as: UTF8.self) } ?? ""
        return (outcome, output, said.read { $0 })
    }

    private func run(_ mounts: [String], _ script: String) async throws -> (outcome: Outcome, output: String, said: [String]) {
        var request = request(script)
        request.mounts = mounts
        return try await run(request)
    }

    private func kind(_ path: String) -> mode_t? { HostPlaces.kind(of: Array((files.path + "/" + path).utf8)) }

    @Test func aCacheIsTheStoresOwnDirectoryAndOnlyTheCommandSeesItThere() async throws {
        let result = try await run(["type=cache,id=npm,target=\(files.path)/host/npm"], "echo x >host/npm/file; grep -c \" $PWD/host/npm rw\" /proc/self/mountinfo")
        #expect(result.outcome == .exited(0) && result.output == "1\n")
        #expect(try Shell.contents(ofFile: library.mainPath(of: try #require(CacheName("npm"))) + "/file") == Array("x\n".utf8))
        #expect(kind("host") == nil, "the mount point that was made is gone")
        #expect(try library.leases().isEmpty)
    }

    @Test func theExitCodeAndTheSignalAreTheCommands() async throws {
        #expect(try await run([], "exit 42").outcome == .exited(42))
        #expect(try await run([], "kill -TERM $$").outcome == .signalled(SIGTERM))
        await #expect(throws: RunError.programNotFound("no-such-program")) {
            var request = request("")
            request.command = [Array("no-such-program".utf8)]
            _ = try await run(request)
        }
        await #expect(throws: RunError.programNotExecutable("/etc/passwd", reason: "Permission denied")) {
            var request = request("")
            request.command = [Array("/etc/passwd".utf8)]
            _ = try await run(request)
        }
    }

    @Test func argumentsAndVariablesAreBytes() async throws {
        var request = request("printf %s \"$1$V\" | od -An -tx1")
        request.command += [Array("sh".utf8), [0xff, 0x41]]
        request.environment.set("V", [0xfe])
        #expect(try await run(request).output.split(separator: " ").map { $0.filter { $0 != "\n" } } == ["ff", "41", "fe"])
    }

    @Test func aBindShowsTheCurrentDirectoryAndLetsNobodyWrite() async throws {
        try files.write("src/f", "text")
        let result = try await run(["source=src,target=/mnt/larder-test-b"], "cat /mnt/larder-test-b/f; echo no >/mnt/larder-test-b/f; echo $?")
        #expect(result.output.hasPrefix("text"))
        #expect(result.output.contains("Read-only file system"))
        #expect(HostPlaces.kind(of: Array("/mnt/larder-test-b".utf8)) == nil)
    }

    @Test func whatIsWrittenIntoAWritableBindGoesAway() async throws {
        try files.write("src/f", "old")
        let result = try await run(["source=src,target=d,rw", "source=src/f,target=file,rw"], "echo new >d/f; rm -f d/none; echo one >file; cat d/f file")
        #expect(result.output == "new\none\n")
        #expect(try Shell.contents(ofFile: files.path + "/src/f") == Array("old".utf8))
        #expect(kind("d") == nil && kind("file") == nil)
    }

    @Test func aLinkInASourceLeadsNowhereElse() async throws {
        try files.write("ctx/in", "inside")
        try files.write("secret", "outside")
        #expect(symlink("../secret", files.path + "/ctx/up") == 0)
        #expect(symlink("/in", files.path + "/ctx/abs") == 0)
        await #expect(throws: RunError.self) { try await run(["from=./ctx,source=up,target=t"], "cat t") }
        #expect(try await run(["from=./ctx,source=abs,target=t"], "cat t").output == "inside")
        await #expect(throws: RunError.invalid("\"/none\": not found in ./ctx")) { try await run(["from=./ctx,source=none,target=t"], "") }
    }

    @Test func aTmpfsHasItsSize() async throws {
        let result = try await run(["type=tmpfs,target=t,size=1m"], "df -k --output=size t | tail -1; head -c 2000000 /dev/zero >t/f || echo full; grep -c \"$PWD/t rw,nosuid\" /proc/self/mountinfo")
        #expect(result.output.contains("1024\n") && result.output.contains("full\n") && result.output.hasSuffix("1\n"))
        #expect(try await run(["type=tmpfs,target=t,ro"], "touch t/f || echo refused").output.contains("refused"))
    }

    @Test func aSecretIsAFileForItsOwnerAndAVariableAndIsOnNoDisk() async throws {
        let word = "larder-secret-\(UInt64.random(in: 0 ... .max))"
        var request = request("cat s; stat -c '%a %u:%g' s; printenv T; grep \"$PWD/s \" /proc/self/mountinfo; tr '\\0' ' ' </proc/$PPID/cmdline; cat x")
        request.secrets = ["id=s,env=WORD"]
        request.environment.set("WORD", word)
        request.mounts = ["type=secret,id=s,target=s,mode=0440,uid=7,gid=8", "type=secret,id=s,env=T", "type=secret,id=s,target=x,mode=0500"]
        let result = try await run(request)
        #expect(result.output.hasPrefix("\(word)440 7:8\n\(word)\n"))
        #expect(result.output.contains(" ro,nosuid,nodev,noexec"))
        #expect(result.output.components(separatedBy: word).count == 4, "twice as a file, once as a variable, and not in a command line")
        #expect(kind("s") == nil && kind("x") == nil)
        for path in try Shell.files(below: files.path + "/store") {
            let bytes = try Shell.contents(ofFile: files.path + "/store/" + path)
            #expect(!String(decoding: bytes, as: UTF8.self).contains(word), "\(path)")
        }
    }

    @Test func whatNobodyGaveIsLeftOutAndSaid() async throws {
        let result = try await run(["type=secret,id=none,target=s", "type=ssh"], "ls s; echo ${SSH_AUTH_SOCK-unset}")
        #expect(result.output.contains("unset") && result.said.count == 2)
        await #expect(throws: MountSyntaxError("secret none: not found")) { try await run(["type=secret,id=none,required"], "") }
    }

    @Test func aCacheIsShownAsSomebodyElsesAndStaysWhoseItIs() async throws {
        _ = try await run(["type=cache,id=c,target=t,uid=100,gid=100"], "touch t/root")
        let result = try await run(["type=cache,id=c,target=t,uid=200,mode=0777"], "stat -c '%u:%g %a' t; chown 200 t/root; touch t/mine; chown 200:300 t/mine; stat -c %u:%g t/mine")
        #expect(result.output == "200:100 777\n200:300\n")
        let mine = try library.mainDirectory(of: try #require(CacheName("c"))).status("mine")
        #expect(mine.st_uid == 100 && mine.st_gid == 300)
    }

    @Test func mountsInMountsFindTheirPlaces() async throws {
        var request = request("find t | sort; cat t/c/s")
        request.secrets = ["id=s,env=HOME"]
        request.mounts = ["type=secret,id=s,target=t/c/s", "type=cache,id=n,target=t/c", "type=tmpfs,target=t", "type=tmpfs,target=t/x/y"]
        #expect(try await run(request).output == "t\nt/c\nt/c/s\nt/x\nt/x/y\n/nonexistent")
    }

    @Test func whatIsUnmountedOutsideDoesNotLiveOnInside() async throws {
        // Shared, as systemd makes the mounts of a host.
        let host = files.path + "/host"
        try await Shell.check("sh", ["-c", "mkdir \(host) && mount -t tmpfs none \(host) && mount --make-shared \(host) && mkdir \(host)/mount && mount -t tmpfs none \(host)/mount"])
        async let result = run([], "touch up; for i in $(seq 12000); do mountpoint -q host/mount || { echo gone; exit 0; }; sleep 0.05; done; exit 1")
        while (try? Shell.contents(ofFile: files.path + "/up")) == nil { try await Task.sleep(for: .milliseconds(20)) }
        try await Shell.check("umount", [host + "/mount"])
        let (outcome, output, _) = try await result
        try await Shell.check("umount", ["-l", host])
        #expect(outcome == .exited(0) && output == "gone\n")
    }

    @Test func anIdThatIsAToolsNameTakesItsPreset() async throws {
        var request = request("echo $PIP_CACHE_DIR; touch $PIP_CACHE_DIR/x")
        request.mounts = ["type=cache,id=pip,target=p"]
        request.namespace = "team"
        #expect(try await run(request).output == "\(files.path)/p\n")
        let name = try #require(CacheName("team/pip"))
        #expect(try library.definition(of: name).settings.preset == "pip")
        await #expect(throws: RunError.self) {
            request.presets = ["nothing"]
            _ = try await run(request)
        }
    }

    @Test func aRunWithoutCacheGetsAnEmptyOneAndLeavesTheOld() async throws {
        _ = try await run(["type=cache,id=k,target=t"], "touch t/old")
        var request = request("ls t; touch t/new")
        request.mounts = ["type=cache,id=k,target=t"]
        request.fresh = ["k"]
        #expect(try await run(request).output == "")
        #expect(try await run(["type=cache,id=k,target=t"], "ls t").output == "old\n")
    }

    @Test func aSeedIsCopiedAtTheFirstUseAlone() async throws {
        try files.write("seed/a", "1")
        let mounts = ["type=cache,id=seeded,target=t,from=./seed"]
        #expect(try await run(mounts, "cat t/a; echo 2 >t/a").output == "1")
        #expect(try await run(mounts, "cat t/a").output == "2\n")
    }

    @Test func aKilledCommandLeavesItsCacheMarkedAndTheNextIsTold() async throws {
        _ = try await run(["type=cache,id=u,target=t"], "kill -KILL $$")
        let next = try await run(["type=cache,id=u,target=t"], "true")
        #expect(next.said.count == 1 && next.said[0].contains("'u' was left in the middle"))
        #expect(try await run(["type=cache,id=u,target=t"], "true").said.isEmpty)
    }

    @Test func aRootIsThrownAwayAndLinksInItStayInIt() async throws {
        let programs = ["sh", "cat", "ls", "rm", "touch"]
        try await Shell.check("sh", ["-ec", """
            cd "$1"; mkdir -p root/bin root/etc root/tmp
            for p in \(programs.joined(separator: " ")); do cp -L "$(command -v $p)" root/bin/; done
            for l in $(for p in root/bin/*; do ldd $p; done | grep -o '/[^ ]*' | sort -u); do mkdir -p "root$(dirname $l)"; cp -L $l root$l; done
            echo inside >root/etc/passwd; ln -s /etc root/link; mv root 'ro:o,t'
            """, "sh", files.path])
        var request = request("")
        request.command = ["sh", "-c", "exec >/out/o 2>&1; cat /link/passwd; pwd; ls /cache /proc/self/exe; touch /new; rm /bin/ls; echo x >/dev/null && ls || echo gone"].map { Array($0.utf8) }
        request.root = "ro:o,t"
        request.workingDirectory = "/made"
        request.mounts = ["type=cache,id=r,target=/cache", "type=cache,id=out,target=/out"]
        let result = try await run(request)
        #expect(result.outcome == .exited(0))
        let output = String(decoding: try Shell.contents(ofFile: library.mainPath(of: try #require(CacheName("out"))) + "/o"), as: UTF8.self)
        #expect(output.hasPrefix("inside\n/made\n/proc/self/exe"))
        #expect(output.hasSuffix("gone\n"))
        #expect(kind("ro:o,t/new") == nil && kind("ro:o,t/bin/ls") != nil && kind("ro:o,t/proc") == nil)
    }

    @Test(.enabled(if: Shell.has("ssh-agent", "ssh-add", "ssh-keygen"))) func anAgentListsAndSignsAndDoesNothingElse() async throws {
        try await Shell.check("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", files.path + "/key"])
        try await Shell.check("ssh-keygen", ["-q", "-t", "ed25519", "-N", "pass", "-f", files.path + "/locked"])
        var request = request("""
            ssh-add -l; ssh-add -D 2>/dev/null && echo deleted; ssh-add key 2>/dev/null && echo added; echo x >m
            ssh-keygen -q -Y sign -f key.pub -n file m; head -1 m.sig; stat -c %a $SSH_AUTH_SOCK
            """)
        request.ssh = ["default=\(files.path)/key"]
        request.mounts = ["type=ssh,target=agent"]
        let result = try await run(request)
        #expect(result.output.contains("test (ED25519)") && result.output.contains("BEGIN SSH SIGNATURE") && result.output.hasSuffix("600\n"))
        #expect(!result.output.contains("deleted") && !result.output.contains("added"))
        request.ssh = ["default=\(files.path)/locked"]
        await #expect(throws: RunError.invalid("failed to parse \(files.path)/locked: it is no private key, or has a passphrase")) { try await run(request) }
    }
}
