import Glibc
import LinuxIO
import Testing
import VirtualFS

@testable import FuseBridge

/// On a kernel that offers passthrough (6.9 and later), as root.
@Suite(.serialized, .enabled(if: FuseDevice.isUsable, FuseDevice.reason), .timeLimit(.minutes(30)))
struct PassthroughTests {
    /// A complete file of `size` random bytes, and the path of its content.
    private func complete(_ fileSystem: MemoryFS, _ name: String, size: Int) throws -> (node: NodeID, path: String) {
        let node = fileSystem.add(name, mode: S_IFREG | 0o644, size: UInt64(size))
        let path = try temporaryDirectory() + "/content"
        var bytes = [UInt8](repeating: 0, count: size)
        var generator = SystemRandomNumberGenerator()
        for index in bytes.indices { bytes[index] = generator.next() }
        try bytes.withUnsafeBytes { try OwnedDescriptor.open(path, O_CREAT | O_WRONLY, mode: 0o644).write($0) }
        fileSystem.change(node) {
            $0.backing = path
            $0.isComplete = true
        }
        return (node, path)
    }

    @Test func aCompleteFileIsReadWithoutUs() async throws {
        let fileSystem = MemoryFS()
        let content = try complete(fileSystem, "f", size: 5_000_011)
        try await withMount(fileSystem) { mount in
            #expect(mount.session.hasPassthrough)
            let requests = await mount.counted {
                #expect(await shell("cmp \(content.path) \(mount.path)/f && echo same").output == "same\n")
                let mapped = await python(
                    """
                    import mmap, hashlib
                    with open("\(mount.path)/f", "rb") as f: print(hashlib.sha256(mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)).hexdigest())
                    """)
                #expect(await shell("sha256sum < \(content.path) | cut -d' ' -f1").output == mapped)
            }
            #expect(requests["OPEN"] == 2)
            #expect(requests["READ"] == nil)
        }
        _ = await shell("rm \(content.path); rmdir $(dirname \(content.path))")
    }

    @Test func withoutPassthroughWeAreAskedForTheContent() async throws {
        let fileSystem = MemoryFS()
        fileSystem.file("f", String(repeating: "content ", count: 1000))
        try await withMount(fileSystem, passthrough: false) { mount in
            #expect(!mount.session.hasPassthrough)
            let requests = await mount.counted { _ = await shell("cat \(mount.path)/f") }
            #expect((requests["READ"] ?? 0) > 0)
        }
    }

    /// Opens of both kinds at every moment of a file's life: never EIO, always the right bytes.
    @Test func aFileThatBecomesCompleteIsPassedThroughOnceNoEarlierOpenIsLeft() async throws {
        let fileSystem = MemoryFS()
        let content = String(repeating: "the same bytes, whoever serves them\n", count: 500)
        let node = fileSystem.file("f", content)
        try await withMount(fileSystem) { mount in
            let early = try await opened(mount, "f")
            fileSystem.change(node) {
                $0.isComplete = true
                $0.backing = "/proc/self/fd/\(backingFile(content))"
            }
            let during = try await opened(mount, "f")
            #expect(await drained(during) == content)
            #expect(await drained(early) == content)
            await closed(early)
            let stillCached = try await opened(mount, "f")
            #expect(await drained(stillCached) == content)
            await closed(during)
            await closed(stillCached)
            try await releases(mount, 3)

            let requests = await mount.counted {
                let late = try? await opened(mount, "f")
                let latest = try? await opened(mount, "f")
                if let late, let latest {
                    // Content gone from us: whoever still asks us gets nothing.
                    fileSystem.change(node) { $0.isComplete = false }
                    let afterEviction = try? await opened(mount, "f")
                    for descriptor in [late, latest, afterEviction ?? -1] {
                        #expect(await drained(descriptor) == content)
                        await closed(descriptor)
                    }
                }
            }
            #expect(requests["READ"] == nil)
            #expect(requests["OPEN"] == 3)
            try await releases(mount, 6)
            #expect(await shell("cat \(mount.path)/f").output == content)
        }
    }

    /// Many threads open and close one file while it becomes complete. An open that mixes modes, or loses count,
    /// shows as EIO.
    @Test func noOpenFailsWhileManyRace() async throws {
        let fileSystem = MemoryFS()
        let content = String(repeating: "racing\n", count: 10)
        let node = fileSystem.file("f", content)
        try await withMount(fileSystem) { mount in
            let path = mount.path + "/f"
            let failures = await withTaskGroup(of: [String].self) { group in
                for _ in 0..<8 {
                    group.addTask {
                        await onThread {
                            var failures: [String] = []
                            for _ in 0..<300 {
                                let descriptor = Glibc.open(path, O_RDONLY)
                                if descriptor < 0 { failures.append("open: \(errno)") } else {
                                    if readWhole(descriptor) != content { failures.append("content") }
                                    close(descriptor)
                                }
                            }
                            return failures
                        }
                    }
                }
                group.addTask {
                    fileSystem.change(node) {
                        $0.backing = "/proc/self/fd/\(backingFile(content))"
                        $0.isComplete = true
                    }
                    return []
                }
                return await group.reduce(into: []) { $0 += $1 }
            }
            #expect(failures == [])
            if failures.isEmpty { try await releases(mount, 8 * 300) }
        }
    }

    @Test func aFileWhoseContentHasGoneIsServedByUs() async throws {
        let fileSystem = MemoryFS()
        let node = fileSystem.file("f", "from memory")
        fileSystem.change(node) {
            $0.isComplete = true
            $0.backing = "/nonexistent/content"
        }
        try await withMount(fileSystem) { mount in
            #expect(await shell("cat \(mount.path)/f").output == "from memory")
        }
    }

    /// procfs files have no `read_iter` that a backing file needs, or lie on a stack too deep: one refusal for good.
    @Test func aStoreThatCannotBackFilesTurnsPassthroughOffQuietly() async throws {
        let fileSystem = MemoryFS()
        for name in ["f", "g"] {
            let node = fileSystem.file(name, "from memory")
            fileSystem.change(node) {
                $0.isComplete = true
                $0.backing = "/proc/self/mem"
            }
        }
        try await withMount(fileSystem) { mount in
            #expect(await shell("cat \(mount.path)/f \(mount.path)/g").output == "from memoryfrom memory")
        }
    }

    @Test func passthroughCountsEndAtZero() {
        let table = OpenFiles(device: -1, isWanted: true, logger: .init(label: "test"))
        let node = NodeID(serial: 1, ordinal: 2)
        for number in 0..<3 { #expect(table.open(node, stays: false) { _ in nil } == .pages(hold: number > 0)) }
        #expect(table.reopen(node) == nil)
        #expect(table.openCount == 1)
        for _ in 0..<3 { table.close(node) }
        #expect(table.openCount == 0)
        table.close(node)
        #expect(table.openCount == 0 && table.stayingCount == 0)
    }

    @Test func pagesThatStayAreGivenUpByWhoeverWantsTheFileOtherwise() {
        let (table, node) = (OpenFiles(device: -1, isWanted: true, logger: .init(label: "test")), NodeID(serial: 1, ordinal: 2))
        #expect(table.open(node, stays: true) { _ in nil } == .pages(hold: false))
        #expect(table.reopen(node) == .pages(hold: true))
        // A writer beside readers goes their way, and after it nothing stays.
        #expect(table.open(node, stays: false) { _ in 7 } == .pages(hold: true))
        for _ in 0..<3 { table.close(node) }
        #expect(table.stayingCount == 0 && table.reopen(node) == nil)
        // One after them goes its own.
        #expect(table.open(node, stays: true) { _ in nil } == .pages(hold: false))
        table.close(node)
        #expect(table.stayingCount == 1)
        #expect(table.open(node, stays: false) { _ in 7 } == .below(7))
        table.close(node)
        #expect(table.open(node, stays: true) { _ in nil } == .pages(hold: false))
        #expect(table.forgetStaying() == [node])
        #expect(table.reopen(node) == nil)
        table.close(node)
        #expect(table.openCount == 0 && table.stayingCount == 0)
    }

    @Test func pagesStayForAnHourAndRegistrationsLonger() {
        let (pages, below) = (NodeID(serial: 1, ordinal: 2), NodeID(serial: 1, ordinal: 3))
        let table = OpenFiles(device: -1, isWanted: true, pageAge: 0, logger: .init(label: "test"))
        #expect(table.open(pages, stays: true) { _ in nil } == .pages(hold: false))
        #expect(table.open(below, stays: true) { _ in 7 } == .below(7))
        for node in [pages, below] { table.close(node) }
        #expect(table.reopen(pages) == nil)
        #expect(table.open(pages, stays: true) { _ in nil } == .pages(hold: false))
        #expect(table.reopen(below) == .below(7))
    }

    /// Without a device nothing can be registered, so this is done with a live mount's own.
    @Test func whatStaysIsBounded() async throws {
        try await withStaying { mount, path, below in
            // Larger than what is read through the page cache.
            _ = await shell("cd \(below) && seq 6000 | xargs -n 1000 truncate -s 132000")
            #expect(await shell("cd \(path) && head -q -c 1 $(seq 6000) | wc -c").output == "6000\n")
            let kept = mount.session.stayingFiles
            #expect(kept > 2000 && kept <= 4096)
            // They are read again, some from what stayed, some anew.
            _ = await shell("cd \(below) && for f in $(seq 6000); do echo $f > $f; done")
            mount.session.forgetNames()
            #expect(mount.session.stayingFiles == 0)
            let sum = await shell("cat $(seq -f '\(below)/%.0f' 6000) | md5sum").output
            for _ in 0..<2 { #expect(await shell("cat $(seq -f '\(path)/%.0f' 6000) | md5sum").output == sum) }
        }
    }

    @Test func aFileThatIsOpenedAgainAndAgainIsOneFile() async throws {
        try await withStaying { mount, path, below in
            _ = await shell("echo one > \(path)/f; cat \(path)/f")
            try await settled(mount) { $0 == 1 }
            // Written in place, appended to, cut, renamed, linked, made another's: what is open for reading sees it.
            #expect(await shell("echo two > \(path)/f; cat \(path)/f").output == "two\n")
            #expect(await shell("cat \(path)/f; echo more >> \(path)/f; cat \(path)/f; truncate -s 3 \(path)/f; cat \(path)/f").output == "two\ntwo\nmore\ntwo")
            #expect(await shell("cat \(path)/f; ln \(path)/f \(path)/g; rm \(path)/f; cat \(path)/g; echo new > \(path)/h; mv \(path)/h \(path)/g; cat \(path)/g \(below)/g").output == "twotwonew\nnew\n")
            #expect(await shell("chmod 755 \(path); cat \(path)/g; chmod 600 \(path)/g; chown 1:1 \(path)/g; setpriv --reuid 2 --clear-groups cat \(path)/g 2>/dev/null; setpriv --reuid 1 --clear-groups cat \(path)/g").output == "new\nnew\n")
        }
    }

    /// One OPEN for each time: what the kernel reads below by itself it would ask the attributes of after each read.
    @Test func aSmallFileThatWasReadIsOnlyOpenedAgain() async throws {
        try await withStaying { mount, path, below in
            _ = await shell("seq 2000 > \(path)/f; cat \(path)/f; dd if=/dev/zero of=\(path)/large bs=1M count=1 2>/dev/null")
            // A kernel that wants the memory forgets by itself: then it is tried again.
            var requests: [String: UInt64] = [:]
            for _ in 0..<20 where requests != ["OPEN": 5] {
                _ = await shell("stat \(path)/f; cat \(path)/f")
                requests = await mount.session.counted { _ = await shell("for i in 1 2 3 4 5; do cat \(path)/f; stat \(path)/f; done") }
            }
            #expect(requests == ["OPEN": 5])
            // One that is not small is the kernel's.
            #expect(await mount.session.counted { _ = await shell("cat \(path)/large \(path)/large") }["READ"] == nil)
        }
    }

    /// Readers, writers and mappings of one small file, one beside the other and one after the other: as it ought to be, above as
    /// below. `LARDER_SEED` repeats a run.
    @Test func pagesNeverOutliveAChange() async throws {
        let seed = getenv("LARDER_SEED").flatMap { UInt64(String(cString: $0)) } ?? .random(in: 0...UInt64.max)
        try await withStaying { mount, path, below in
            let output = await python(
                """
                import mmap, os, random
                path, below = "\(path)/f", "\(below)/f"
                source = random.Random(\(seed))
                open(path, "wb").write(b"x" * 9000)
                held, differ, log, model = [], 0, [], bytearray(b"x" * 9000)
                def put(place, data):
                    if place > len(model): model.extend(bytes(place - len(model)))
                    model[place:place + len(data)] = data
                def check(what):
                    global differ
                    real = open(below, "rb").read()
                    seen = [open(path, "rb").read()] + [os.pread(f, 1 << 20, 0) for f, m in held] + [m[:] for f, m in held if m and len(m) == len(real)]
                    if real != model or any(s != real for s in seen): differ += 1; print(what, log[-12:])
                for step in range(3000):
                    choice = source.randrange(9)
                    log.append(choice)
                    data, place = source.randbytes(source.randrange(1, 6000)), source.randrange(9000)
                    if choice == 0 and len(held) < 4:
                        f = os.open(path, os.O_RDONLY); held.append((f, mmap.mmap(f, 0, prot=mmap.PROT_READ) if source.random() < 0.5 and os.fstat(f).st_size else None))
                    elif choice == 1 and held:
                        f, m = held.pop(source.randrange(len(held)))
                        if m: m.close()
                        os.close(f)
                    elif choice == 2: f = os.open(path, os.O_WRONLY); os.pwrite(f, data, place); os.close(f); put(place, data)
                    elif choice == 3: f = os.open(path, os.O_WRONLY | os.O_APPEND); os.write(f, data[:500]); os.close(f); put(len(model), data[:500])
                    elif choice == 4: size = source.randrange(1, 12000); os.truncate(path, size); put(size, b""); del model[size:]
                    elif choice == 5:
                        f = os.open(path, os.O_RDWR); m = mmap.mmap(f, 0); at = source.randrange(len(m)); m[at:at + 9] = b"mapped..."[:len(m) - at]; m.flush(); put(at, b"mapped..."[:len(m) - at])
                        if source.random() < 0.5: m.close(); os.close(f)
                        else: held.append((f, m))
                    elif choice == 6: open(path, "wb").write(data); model[:] = data
                    elif choice == 7: os.chmod(path, source.choice([0o600, 0o644])); os.utime(path, ns=(10**9, source.randrange(10**18)))
                    elif choice == 8:
                        new = open(path + ".new", "wb"); new.write(data); new.close()
                        for f, m in held:
                            if m: m.close()
                            os.close(f)
                        held.clear(); os.rename(path + ".new", path); model[:] = data
                    check(step)
                print("differ", differ)
                """)
            #expect(output == "differ 0\n", "seed \(seed)")
        }
    }

    /// Who has a small file open when others come reads what they write from then on, and so does whoever opens it while they are there or
    /// when they have left.
    @Test func whatIsOpenWhenOthersComeShowsTheirChanges() async throws {
        let gate = CrowdedGate()
        try await withLiveMount(gate: gate) { mount in
            guard mount.session.hasPassthrough, mount.session.canForgetNames else { return print("SKIPPED: needs passthrough and Linux 6.16") }
            let (path, below) = (mount.path + "/f", mount.below + "/f")
            _ = await shell("echo first > \(path); cat \(path) \(path)")
            let held = open(path, O_RDONLY)
            defer { close(held) }
            #expect(await drained(held) == "first\n")
            gate.othersCome()
            mount.tree.closeUnused()
            mount.session.forgetNames()
            for text in ["second\n", "third, and longer\n", "four\n", "five\n"] {
                _ = await shell("printf '\(text.dropLast())\\n' > \(below)")
                #expect(await drained(held) == text)
                #expect(await shell("cat \(path); stat -c %s \(path)").output == "\(text)\(text.utf8.count)\n")
                #expect(await onThread { lseek(held, 0, SEEK_END) } == text.utf8.count)
                #expect(await shell("stat -L -c %s /proc/$PPID/fd/\(held)").output == "\(text.utf8.count)\n")
            }
            gate.othersLeave()
            mount.tree.closeUnused()
            mount.session.forgetNames()
            #expect(await shell("cat \(path)").output == "five\n")
            #expect(await drained(held) == "five\n")
        }
    }

    /// A kept descriptor would hold its blocks.
    @Test func whatIsRemovedFreesItsSpace() async throws {
        try await withStaying { mount, path, below in
            _ = await shell("dd if=/dev/zero of=\(path)/large bs=1M count=64 2>/dev/null; cat \(path)/large \(path)/large | wc -c")
            try await settled(mount) { $0 == 1 }
            #expect(Self.held(below) == ["large"])
            _ = await shell("rm \(path)/large")
            try await settled(mount) { $0 == 0 && Self.held(below) == [] }
            // By somebody else, of whom we are told.
            _ = await shell("echo > \(path)/other; cat \(path)/other")
            try await settled(mount) { $0 == 1 }
            _ = await shell("rm \(below)/other")
            #expect(Self.held(below) == ["other (deleted)"])
            mount.session.forgetNames()
            mount.tree.closeUnused()
            try await settled(mount) { $0 == 0 && Self.held(below) == [] }
        }
    }

    /// execve(2) refuses what anybody has open for writing.
    @Test func aProgramThatWasReadCanBeExecutedBelow() async throws {
        try await withLiveMount { mount in
            guard mount.session.hasPassthrough else { return }
            _ = await shell("cp /bin/true \(mount.path)/program; cat \(mount.path)/program > /dev/null")
            try await settled(mount) { $0 <= 1 }
            #expect(await shell("\(mount.below)/program && \(mount.path)/program && \(mount.below)/program && echo ran").output == "ran\n")
        }
    }

    @Test func withOthersNothingStays() async throws {
        try await withLiveMount(gate: OthersGate()) { mount in
            guard mount.session.hasPassthrough else { return }
            _ = await shell("echo 1 > \(mount.path)/f; cat \(mount.path)/f \(mount.path)/f")
            try await settled(mount) { $0 == 0 }
        }
    }

    /// A mount where what was read stays open; says so where the kernel has no such thing.
    private func withStaying(_ body: (LiveMount, String, String) async throws -> Void) async throws {
        try await withLiveMount { mount in
            guard mount.session.hasPassthrough, mount.session.canForgetNames else { return print("SKIPPED: needs passthrough and Linux 6.16") }
            try await body(mount, mount.path, mount.below)
        }
    }

    /// Files of the directory that this process has open.
    private static func held(_ below: String) -> [String] {
        (0..<20_000).compactMap { number in
            var target = [CChar](repeating: 0, count: 4096)
            let count = readlink("/proc/self/fd/\(number)", &target, target.count)
            guard count > 0 else { return nil }
            let path = String(decoding: target.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
            return path.hasPrefix(below + "/") ? String(path.dropFirst(below.utf8.count + 1)) : nil
        }
    }

    /// RELEASE and FORGET come when the kernel likes.
    private func settled(_ mount: LiveMount, sourceLocation: SourceLocation = #_sourceLocation, _ isReached: (Int) -> Bool) async throws {
        for _ in 0..<2000 {
            if mount.session.openFiles == 0 && isReached(mount.session.stayingFiles) { return }
            try await Task.sleep(for: .milliseconds(5))
        }
        Issue.record("\(mount.session.openFiles) files are open, \(mount.session.stayingFiles) stay", sourceLocation: sourceLocation)
    }
}

/// A descriptor of an unlinked file; left open until the process ends.
private func backingFile(_ content: String) -> Int32 {
    var template = Array("/tmp/larder-backing-XXXXXX".utf8CString)
    let descriptor = mkstemp(&template)
    unlink(template)
    _ = content.withCString { write(descriptor, $0, content.utf8.count) }
    return descriptor
}

private func opened(_ mount: Served, _ name: String) async throws -> Int32 {
    let path = mount.path + "/" + name
    let (descriptor, code) = await onThread { () -> (Int32, Int32) in
        let descriptor = Glibc.open(path, O_RDONLY)
        return (descriptor, errno)
    }
    try #require(descriptor >= 0, "open failed with errno \(code)")
    return descriptor
}

private func closed(_ descriptor: Int32) async { _ = await onThread { close(descriptor) } }

private func drained(_ descriptor: Int32) async -> String { await onThread { readWhole(descriptor) } }

private func readWhole(_ descriptor: Int32) -> String {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while true {
        let count = pread(descriptor, &chunk, chunk.count, bytes.count)
        if count <= 0 { return count < 0 ? "errno \(errno)" : String(decoding: bytes, as: UTF8.self) }
        bytes += chunk[..<count]
    }
}

/// RELEASE comes after close(2) has returned, so it is waited for; a lost one ends the test after minutes.
private func releases(_ mount: Served, _ count: Int) async throws {
    for _ in 0..<150_000 {
        if mount.fileSystem.state.withLock({ $0.releases }) >= count { return }
        try await Task.sleep(for: .milliseconds(2))
    }
    Issue.record("fewer than \(count) releases came")
}
