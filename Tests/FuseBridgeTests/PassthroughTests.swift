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
        let table = PassthroughTable(device: -1, isWanted: true, logger: .init(label: "test"))
        let node = NodeID(serial: 1, ordinal: 2)
        for _ in 0..<3 { #expect(table.open(node) { nil } == nil) }
        #expect(table.openFiles == 1)
        for _ in 0..<3 { table.close(node) }
        #expect(table.openFiles == 0)
        table.close(node)
        #expect(table.openFiles == 0)
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
