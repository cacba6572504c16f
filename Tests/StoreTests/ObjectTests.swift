import Glibc
import LinuxIO
import OCI
import Store
import Testing

@Suite struct ObjectTests {
    let scratch: ScratchStore
    let store: Store

    init() throws {
        scratch = try ScratchStore()
        store = try scratch.open()
    }

    @Test func aDamagedBlobIsNotHandedOutAsProven() throws {
        let scratch = try ScratchStore()
        let store = try scratch.open()
        let digest = try store.putBlob(Array(repeating: 7, count: 3 << 20))
        #expect(try store.openProvenBlob(digest) != nil)
        try scratch.damage(StoreKey.blob(digest).path)
        #expect(try store.openProvenBlob(digest) == nil)
        #expect(!store.hasBlob(digest))
        #expect(try !scratch.names("quarantine").isEmpty)
    }

    @Test func aBlobIsReadBackVerified() throws {
        let digest = try store.putBlob(Array("content".utf8))
        #expect(digest == Digest(ofText: "content"))
        #expect(store.hasBlob(digest))
        #expect(try store.blobSize(digest) == 7)
        #expect(try store.blobBytes(digest, limit: 7) == Array("content".utf8))
        #expect(throws: StoreError.tooLarge(path: "\(scratch.path)/blobs/sha256/\(digest.hex)", bytes: 7, limit: 6)) {
            try store.blobBytes(digest, limit: 6)
        }
        try scratch.damage("blobs/sha256/\(digest.hex)")
        let error = try #require(throws: StoreError.self) { try store.blobBytes(digest, limit: 7) }
        guard case .wrongDigest(_, digest, _) = error else { return #expect(Bool(false), "\(error)") }
    }

    @Test func absentObjectsAreNil() throws {
        let digest = Digest(ofText: "nothing")
        #expect(try store.openBlob(digest) == nil)
        #expect(try store.blobBytes(digest, limit: 1) == nil)
        #expect(try store.blobSize(digest) == nil)
        #expect(try store.openSpan(digest, 0) == nil)
        #expect(try store.openObject(digest) == nil)
        #expect(try store.openTree(digest) == nil)
        #expect(try store.presentSpans(digest).isEmpty)
        #expect(try !store.remove(.blob(digest)))
    }

    @Test func publishedObjectsCannotBeWrittenByName() throws {
        let digest = try store.putBlob([1])
        #expect(try scratch.directory().status("blobs/sha256/\(digest.hex)").st_mode & 0o222 == 0)
    }

    @Test func spansComeAndGo() throws {
        let key = Digest(ofText: "layer")
        for number: UInt32 in [10, 2, 0, .max] {
            #expect(try [UInt8(truncatingIfNeeded: number)].withUnsafeBytes { try store.publishSpan($0, key, number) })
        }
        #expect(try [9].withUnsafeBytes { try !store.publishSpan($0, key, 2) })
        #expect(try store.presentSpans(key) == [0, 2, 10, .max])
        #expect(try store.openSpan(key, 2).bytes() == [2])
        try store.removeSpans(key, 1..<3)
        #expect(try store.presentSpans(key) == [0, 10, .max])
        try store.removeSpans(key)
        #expect(try store.presentSpans(key).isEmpty)
        #expect(try scratch.names("spans") == [])
    }

    @Test func aBatchIsPublishedWhole() throws {
        let key = Digest(ofText: "layer")
        let batch = try (0..<50).map { number in
            let file = try store.temporary("span")
            try file.write([UInt8](repeating: UInt8(number), count: 10_000))
            return (file: file, key: StoreKey.span(key, UInt32(number)))
        }
        #expect(try store.publishBatch(batch) == 50)
        #expect(try store.presentSpans(key) == Array(0..<50))
        #expect(try store.openSpan(key, 49).bytes() == [UInt8](repeating: 49, count: 10_000))
        #expect(try scratch.names("tmp") == [".lock"])
    }

    @Test func usageCountsEveryKindOnce() throws {
        let digest = try store.putBlob([UInt8](repeating: 7, count: 10_000))
        _ = try [1, 2, 3].withUnsafeBytes { try store.publishSpan($0, digest, 0) }
        _ = try [1, 2, 3].withUnsafeBytes { try store.publishSpan($0, digest, 1) }
        let file = try store.temporary("file")
        try file.write([5])
        try store.publishObject(file, Digest(of: [5]))
        let tree = try store.temporary("tree")
        try tree.write([UInt8](repeating: 1, count: 5000))
        try store.publishTree(tree, digest)
        let before = try store.usage()
        let second = StoreKey.tree(Digest(ofText: "second name"))
        #expect(link("\(scratch.path)/\(StoreKey.tree(digest).path)", "\(scratch.path)/\(second.path)") == 0)
        let usage = try store.usage()
        #expect([usage.blobs.count, usage.spans.count, usage.objects.count, usage.trees.count] == [1, 2, 1, 2])
        #expect(usage.trees.allocatedBytes == before.trees.allocatedBytes, "two names of one file take its room once")
        #expect(usage.blobs.allocatedBytes >= 8192 && usage.blobs.allocatedBytes < 1 << 20)
    }

    @Test func plantedSymlinksLeadNowhere() throws {
        let outside = Digest(ofText: "outside")
        try scratch.base.makeDirectories("outside")
        let secret = try scratch.base.open("outside/\(outside.hex)", O_WRONLY | O_CREAT)
        try secret.write(Array("outside".utf8))

        // In place of an object, and in place of a folder.
        symlink("\(scratch.base.path)/outside/\(outside.hex)", "\(scratch.path)/blobs/sha256/\(outside.hex)")
        #expect(throws: StoreError.self) { try store.openBlob(outside) == nil }
        symlink("\(scratch.base.path)/outside", "\(scratch.path)/spans/\(outside.hex)")
        #expect(throws: StoreError.self) { try store.openSpan(outside, 0) == nil }
        #expect(throws: StoreError.self) { try [1].withUnsafeBytes { try store.publishSpan($0, outside, 0) } }
        #expect(throws: StoreError.self) { try store.removeSpans(outside) }
        #expect(try scratch.base.directory("outside").list() == [outside.hex])
    }

    @Test(.enabled(if: getuid() == 0, "needs root to mount a small disk"))
    func aFullDiskIsToldAndLeavesTheStoreValid() async throws {
        try scratch.base.makeDirectories("small")
        let mountPoint = scratch.base.path + "/small"
        try #require(mount("tmpfs", mountPoint, "tmpfs", 0, "size=1m") == 0)
        defer { umount2(mountPoint, Int32(MNT_DETACH)) }
        let store = try Store(at: mountPoint, create: true, logger: .silent)
        let kept = try store.putBlob([UInt8](repeating: 1, count: 200_000))
        let error = try #require(throws: StoreError.self) { try store.putBlob([UInt8](repeating: 2, count: 2_000_000)) }
        guard case .noSpace(mountPoint, _) = error else { return #expect(Bool(false), "\(error)") }
        #expect(try Directory(mountPoint + "/tmp").list() == [".lock"], "the half-written file is gone")
        let report = try await store.verify(repair: false)
        #expect(report.findings == [] && report.isSound && report.checked.objects == 1)
        #expect(try store.blobBytes(kept, limit: 1 << 20)?.count == 200_000)
        #expect(throws: Never.self) { try store.putBlob([UInt8](repeating: 3, count: 400_000)) }
    }
}
