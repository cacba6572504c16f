import Glibc
import LinuxIO
import OCI
import Store
import Testing

/// What several processes, some of them killed, do to one store. The children are real processes (exit tests).
@Suite(.serialized) struct ProcessTests {
    let scratch: ScratchStore
    init() throws { scratch = try ScratchStore(onDisk: true) }

    private func inProcesses(_ count: Int, _ body: @escaping @Sendable (Int) async -> Void) async {
        await withTaskGroup(of: Void.self) { group in
            for number in 0..<count { group.addTask { await body(number) } }
        }
    }

    @Test func serialsOfManyProcessesAreUniqueAndDense() async throws {
        let store = try scratch.open()
        let path = scratch.path
        await inProcesses(8) { number in
            await #expect(processExitsWith: .success) { [path = path as String, number = number as Int] in
                let store = try Store(at: path, create: false, logger: .silent)
                for key in 0..<40 {
                    // Half of the keys are everybody's, half are one's own.
                    let name = key % 2 == 0 ? "common-\(key)" : "own-\(number)-\(key)"
                    let serial = try store.serial(for: name)
                    try #require(try store.key(ofSerial: serial) == name)
                }
            }
        }
        let keys = try store.serialKeys()
        #expect(keys.count == 20 + 8 * 20)
        #expect(Set(keys).count == keys.count)
        for (position, key) in keys.enumerated() { #expect(try store.serial(for: key) == UInt32(position + 1)) }
    }

    @Test func writersOfReferencesLoseNothing() async throws {
        let store = try scratch.open()
        let path = scratch.path
        await inProcesses(4) { number in
            await #expect(processExitsWith: .success) { [path = path as String, number = number as Int] in
                let store = try Store(at: path, create: false, logger: .silent)
                for tag in 0..<15 {
                    let text = "\(number)-\(tag)"
                    let descriptor = Descriptor(mediaType: MediaType.manifest, digest: Digest(ofText: text), size: 1)
                    try store.setReference(try #require(Reference("host.example/app:\(text)")), descriptor)
                    if tag % 3 == 2 { try store.removeReference(try #require(Reference("host.example/app:\(number)-\(tag - 1)"))) }
                }
            }
        }
        let expected = (0..<4).flatMap { number in (0..<15).filter { $0 % 3 != 1 }.map { "host.example/app:\(number)-\($0)" } }
        #expect(try store.references().map(\.0.description).sorted() == expected.sorted())
        for (reference, descriptor) in try store.references() {
            #expect(descriptor.digest == Digest(ofText: String(reference.selectorText)))
        }
    }

    @Test func oneOfManyProcessesPublishesFirst() async throws {
        let store = try scratch.open()
        let path = scratch.path
        await inProcesses(10) { number in
            await #expect(processExitsWith: .success) { [path = path as String, number = number as Int] in
                let store = try Store(at: path, create: false, logger: .silent)
                for round in 0..<20 {
                    let content = [UInt8](repeating: UInt8(round), count: 100_000)
                    let file = try store.temporary("race")
                    try file.write(content)
                    if try store.publishBlob(file, Digest(of: content)) {
                        // Each first leaves a witness of its own.
                        try [UInt8(number)].withUnsafeBytes { _ = try store.publishSpan($0, Digest(of: content), UInt32(number)) }
                    }
                    try #require(try store.blobBytes(Digest(of: content), limit: 100_000) == content)
                }
            }
        }
        for round in 0..<20 {
            let digest = Digest(of: [UInt8](repeating: UInt8(round), count: 100_000))
            #expect(try store.presentSpans(digest).count == 1, "exactly one process was told that it was first")
        }
        #expect(try scratch.names("tmp") == [".lock"])
    }

    @Test func killedProcessesLeaveNothingHalfWritten() async throws {
        // In memory: a kill does not lose what is not yet on disk, and without waits for the disk most kills hit a write.
        let scratch = try ScratchStore()
        var generator = SeededGenerator()
        let path = scratch.path
        _ = try scratch.open()
        for round in 0..<16 {
            // When the kill comes is chance; what must hold does not depend on it.
            let (seed, delay) = (generator.next(), UInt32.random(in: 0..<60_000, using: &generator))
            await #expect(processExitsWith: .signal(SIGKILL)) { [path = path as String, seed = seed as UInt64, delay = delay as UInt32] in
                try publishForEver(try Store(at: path, create: false, logger: .silent), seed: seed, killedAfter: delay)
            }
            let isSwept = try becomes {
                _ = try scratch.open()
                return try scratch.names("tmp") == [".lock"]
            }
            #expect(isSwept, "round \(round): the next one alone has swept")
            let store = try scratch.open()
            let report = try await store.verify(repair: false)
            #expect(report.checked.objects > 0)
            #expect(report.isSound, "round \(round): \(report.findings)")
            #expect(report.findings.allSatisfy { $0.kind == .unindexed })
            for hex in try scratch.names("spans") {
                let key = try #require(Digest(hex: hex))
                for number in try store.presentSpans(key) {
                    #expect(Digest(of: try #require(try store.openSpan(key, number).bytes())) == key)
                }
                try store.removeSpans(key)
            }
            for hex in try scratch.names("blobs/sha256") { try store.remove(.blob(try #require(Digest(hex: hex)))) }
            let keys = try store.serialKeys()
            #expect(Set(keys).count == keys.count && keys.allSatisfy { $0.hasPrefix("tree-") })
        }
    }

    @Test func aKilledHolderLosesItsLease() async throws {
        let store = try scratch.open()
        let path = scratch.path
        await #expect(processExitsWith: .signal(SIGKILL)) { [path = path as String] in
            let store = try Store(at: path, create: false, logger: .silent)
            let lease = try await store.exclusive("work")
            kill(getpid(), SIGKILL)
            lease.release()
        }
        let lease = try await store.exclusive("work")
        lease.release()
    }
}

/// Publishes objects of every kind until the end, which comes so long after the first of them. Keeps the last few only.
private func publishForEver(_ store: Store, seed: UInt64, killedAfter delay: UInt32) throws {
    let reference = try #require(Reference("host.example/app:latest"))
    var previous: Digest?
    for number in (seed >> 1)... {
        let content = withUnsafeBytes(of: number) { Array($0) } + [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: 6_000_000)
        let blob = try store.putBlob(content)
        let piece = Array(content.prefix(100_000))
        let key = Digest(of: piece)
        let batch = try (UInt32(0)..<4).map { span in
            let file = try store.temporary("span")
            for start in stride(from: 0, to: piece.count, by: 10_000) { try file.write(Array(piece[start..<start + 10_000])) }
            return (file: file, key: StoreKey.span(key, span))
        }
        try store.publishBatch(batch)
        _ = try store.serial(for: "tree-\(number)")
        try store.setReference(reference, Descriptor(mediaType: MediaType.manifest, digest: blob, size: UInt64(content.count)))
        if let previous { try store.remove(.blob(previous)) } else { dieSoon(microseconds: delay) }
        previous = blob
        try store.removeSpans(key)
    }
}

/// Kills this process from another thread, at whatever this one is by then.
private func dieSoon(microseconds: UInt32) {
    let delay = UnsafeMutablePointer<UInt32>.allocate(capacity: 1)
    delay.pointee = microseconds
    var thread = pthread_t()
    pthread_create(&thread, nil, { delay in
        usleep(delay?.assumingMemoryBound(to: UInt32.self).pointee ?? 0)
        kill(getpid(), SIGKILL)
        return nil
    }, delay)
}
