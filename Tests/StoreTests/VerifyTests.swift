import Archive
import Glibc
import LinuxIO
import OCI
import Store
import Synchronization
import Testing
import TreeIndex

@Suite struct VerifyTests {
    let scratch: ScratchStore
    let store: Store
    let contentKey = Digest(ofText: "content key")
    let treeKey = Digest(ofText: "tree key")
    let blob: Digest
    let object: Digest

    /// One object of every kind: a blob that is a manifest, a large file, an index, a span with a digest (0), one with
    /// chunks (1) and one of which only the length is known (2).
    init() throws {
        scratch = try ScratchStore()
        store = try scratch.open()
        blob = try store.putBlob(Array("manifest".utf8))
        try store.setReference(
            try #require(Reference("host.example/app:1")), Descriptor(mediaType: MediaType.manifest, digest: blob, size: 8))
        let large = [UInt8](repeating: 3, count: 3_000_000)
        object = Digest(of: large)
        let file = try store.temporary("file")
        try file.write(large)
        try store.publishObject(file, object)

        let contents: [[UInt8]] = [[UInt8](repeating: 1, count: 2_500_000), Array("first chunksecond".utf8), Array("third".utf8)]
        var builder = TreeBuilder()
        try builder.append(ContentSpan(contentStart: 0, length: 2_500_000, sourceOffset: 0, sourceLength: 9, digest: Digest(of: contents[0])))
        let chunks = [
            ContentChunk(contentStart: 2_500_000, length: 11, sourceOffset: 9, digest: Digest(ofText: "first chunk")),
            ContentChunk(contentStart: 2_500_011, length: 6, sourceOffset: 10, digest: Digest(ofText: "second")),
        ]
        try builder.append(ContentSpan(contentStart: 2_500_000, length: 17, sourceOffset: 9, sourceLength: 9), chunks: chunks)
        try builder.append(ContentSpan(contentStart: 2_500_017, length: 5, sourceOffset: 18, sourceLength: 9))
        let identity = LayerIdentity(contentKey: contentKey, blobDigest: Digest(ofText: "blob"), diffID: nil, format: .gzip, blobSize: 27)
        #expect(try store.publishTree(builder.finish(identity), treeKey))
        for (number, content) in contents.enumerated() {
            _ = try content.withUnsafeBytes { try store.publishSpan($0, contentKey, UInt32(number)) }
        }
    }

    private func path(_ key: StoreKey) -> String { key.path }

    @Test func aSoundStoreHasNoFindings() async throws {
        let seen = Mutex<[VerifyProgress]>([])
        let report = try await store.verify(repair: true) { progress in seen.withLock { $0.append(progress) } }
        #expect(report.findings == [] && report.isSound)
        #expect(report.checked.objects == 6)
        #expect(report.checked.bytes > 5_500_022)
        #expect(seen.withLock { $0 }.map(\.objects).sorted() == Array(1...6))
        #expect(try store.openTree(treeKey)?.view.spanCount == 3)
    }

    @Test(arguments: ["blob", "object", "tree", "span 0", "span 1"])
    func aFlippedByteIsFoundAndQuarantined(victim: String) async throws {
        let key: StoreKey =
            switch victim {
            case "blob": .blob(blob)
            case "object": .object(object)
            case "tree": .tree(treeKey)
            case "span 0": .span(contentKey, 0)
            default: .span(contentKey, 1)
            }
        try scratch.damage(path(key))

        let looked = try await store.verify(repair: false)
        #expect(looked.findings.filter { $0.kind == .damaged }.map(\.path) == [path(key)])
        #expect(!looked.isSound && store.has(key))

        let repaired = try await store.verify(repair: true)
        #expect(repaired.findings.filter { $0.kind == .damaged && $0.isQuarantined }.map(\.path) == [path(key)])
        #expect(!store.has(key))
        #expect(try scratch.names("quarantine").count == 1)
        #expect(try store.usage().quarantine.count == 1)
        try store.emptyQuarantine()
        #expect(try scratch.names("quarantine") == [])

        let after = try await store.verify(repair: false)
        #expect(after.findings.allSatisfy { $0.kind != .damaged })
        // A manifest that is gone leaves its reference behind, an index its spans.
        #expect(after.findings.map(\.kind) == (victim == "blob" ? [.dangling] : victim == "tree" ? [.unindexed] : []))
    }

    @Test(arguments: [UInt32(0), 1, 2], [-1, 1])
    func aSpanOfTheWrongLengthIsFound(number: UInt32, change: Int) async throws {
        let name = path(.span(contentKey, number))
        chmod("\(scratch.path)/\(name)", 0o644)
        let size = try #require(try store.size(.span(contentKey, number)))
        #expect(truncate("\(scratch.path)/\(name)", Int(size) + change) == 0)
        let report = try await store.verify(repair: false)
        #expect(report.findings.map(\.path) == [name])
        #expect(!report.isSound)
    }

    @Test func aDamagedIndexCountsAsAbsentWhenItIsOpened() throws {
        try scratch.damage(path(.tree(treeKey)))
        #expect(try store.openTree(treeKey) == nil)
        #expect(!store.hasTree(treeKey))
        #expect(try scratch.names("quarantine") == ["trees-sha256-\(treeKey.hex).index"])
    }

    @Test func strayNamesAreFoundAndLeftAlone() async throws {
        try scratch.write("blobs/sha256/notes.txt", "x")
        try scratch.write("trees/sha256/\(blob.hex)", "x")
        try scratch.write("spans/\(contentKey.hex)/07", "x")
        try scratch.write("spans/\(contentKey.hex)/3", "x")
        try scratch.directory().makeDirectories("spans/what")
        let pipe = "files/sha256/\(Digest(ofText: "pipe").hex)"
        mkfifo("\(scratch.path)/\(pipe)", 0o644)
        let link = "blobs/sha256/\(Digest(ofText: "link").hex)"
        symlink("/etc/passwd", "\(scratch.path)/\(link)")
        let report = try await store.verify(repair: true)
        #expect(report.findings.allSatisfy { $0.kind == .stray } && report.isSound)
        #expect(
            report.findings.map(\.path) == [
                "blobs/sha256/notes.txt", link, pipe, "spans/\(contentKey.hex)/07", "spans/\(contentKey.hex)/3", "spans/what",
                "trees/sha256/\(blob.hex)",
            ].sorted())
        #expect(try scratch.names("quarantine") == [])
    }

    @Test func danglingReferencesAndAGarbledIndexAreFound() async throws {
        try store.remove(.blob(blob))
        let dangling = try await store.verify(repair: true)
        #expect(dangling.findings.map(\.kind) == [.dangling] && !dangling.isSound)
        #expect(dangling.findings.first?.description.contains("host.example/app:1") == true)
        try scratch.write("index.json", "garbage")
        let garbled = try await store.verify(repair: true)
        #expect(garbled.findings.map(\.kind) == [.damaged] && !garbled.isSound)
        #expect(try scratch.content("index.json") == Array("garbage".utf8))
    }

    @Test func spansOfALayerThatIsStillStreamingAreNoDamage() async throws {
        _ = try [1].withUnsafeBytes { try store.publishSpan($0, Digest(ofText: "streaming"), 0) }
        let report = try await store.verify(repair: true)
        #expect(report.findings.map(\.kind) == [.unindexed] && report.isSound)
    }

    @Test func whatVanishesMeanwhileIsNoFinding() async throws {
        let blobs = try (0..<300).map { try store.putBlob(Array("blob \($0)".utf8)) }
        let worker = Task.detached { [store, contentKey] in
            for blob in blobs { try store.remove(.blob(blob)) }
            try store.removeSpans(contentKey)
        }
        let report = try await store.verify(repair: true)
        try await worker.value
        #expect(report.findings == [])
        #expect(try await store.verify(repair: true).checked.objects == 3)
    }

    @Test func verifyingCanBeCancelled() async throws {
        let work = Task { [store] in
            try await store.verify(repair: false) { _ in withUnsafeCurrentTask { $0?.cancel() } }
        }
        work.cancel()
        await #expect(throws: CancellationError.self) { try await work.value }
    }
}
