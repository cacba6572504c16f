import Archive
import LinuxIO
import NIOCore
import OCI
import Remote
import Store
import Synchronization
import TestSupport
import Testing
import TreeIndex
@testable import Images

/// Readers behind the head of a stream: nothing before the blob is verified, and then without waiting for its end.
@Suite struct FollowingTests {
    /// Gives a blob only as far as the test lets it.
    private final class Valve: BlobSource, ByteReader, Sendable {
        let bytes: [UInt8]
        private let allowed = Monitor(0)
        private let steps = Progress()
        private let position = Mutex(0)
        let fails = Mutex(false)

        init(_ bytes: [UInt8]) { self.bytes = bytes }

        func allow(_ count: Int) {
            allowed.update { $0 = count }
            steps.advance()
        }

        func allowAll() { allow(bytes.count) }

        /// For the unpacker's thread: blocks.
        func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
            let start = position.withLock { $0 }
            guard start < bytes.count else { return 0 }
            let limit = allowed.wait { $0 > start ? $0 : nil }
            let part = bytes[start..<min(limit, start + buffer.count)]
            buffer.copyBytes(from: part)
            position.withLock { $0 += part.count }
            return part.count
        }

        // As a source.
        var name: String { "valve" }
        var servesRanges: Bool { true }
        func resolve(_ selector: Reference.Selector) async throws(RemoteError) -> FetchedManifest { throw RemoteError(.notFound, "valve", "no manifests") }
        func manifest(_ descriptor: Descriptor) async throws(RemoteError) -> [UInt8] { throw RemoteError(.notFound, "valve", "no manifests") }
        func blob(_ descriptor: Descriptor, range: Range<UInt64>?) async throws(RemoteError) -> BlobStream {
            BlobStream { () async throws(RemoteError) in
                while true {
                    let seen = self.steps.count
                    if self.fails.withLock({ $0 }) { throw RemoteError(.unreachable, "valve", "broken") }
                    let start = self.position.withLock { $0 }
                    guard start < self.bytes.count else { return nil }
                    let limit = min(self.allowed.read { $0 }, start + 100_000)
                    if limit > start {
                        self.position.withLock { $0 = limit }
                        return ByteBuffer(bytes: self.bytes[start..<limit])
                    }
                    do { _ = try await self.steps.next(after: seen) } catch { throw RemoteError(.cancelled, "valve", "cancelled") }
                }
            }
        }
    }

    private struct Setting: Sendable {
        let bench: Bench
        let layer: ImageLayer
        let stream: LayerStream

        init(_ bench: Bench, _ fixture: LayerFixture) throws {
            self.bench = bench
            let descriptor = Descriptor(mediaType: fixture.mediaType, digest: fixture.digest, size: UInt64(fixture.blob.count))
            layer = ImageLayer(descriptor: descriptor, diffID: fixture.diffID, repository: try bench.reference().repository)
            stream = LayerStream(layer: layer, store: bench.store)
        }

        func unpack(_ download: BlobDownload, _ bytes: (any ByteReader & Sendable)? = nil) async throws {
            let (layer, store, stream) = (layer, bench.store, stream)
            try await bench.library.unpackers.runIfActive {
                try LayerUnpacker(layer: layer, store: store, download: download, stream: stream, hidesBookkeeping: false, bytes: bytes).run()
            }
        }

        func download(into temporary: TemporaryFile) throws -> BlobDownload {
            BlobDownload(layer.descriptor, into: try temporary.descriptor.duplicate())
        }
    }

    /// Ten large files, so that a batch of them is published, and something behind them.
    private static func members() -> [TarMember] {
        var random = SeededGenerator(seed: 5)
        let files: [TarMember] = (0..<10).map { .file("large\($0)", random.bytes(4 << 20)) }
        return files + [.symlink("link", to: "large3"), .file("last", "the end")]
    }

    @Test func readersBehindTheHeadAreServedBeforeTheStreamHasEnded() async throws {
        let members = Self.members()
        let fixture = LayerFixture.plain(members)
        try await Bench().run { bench in
            let setting = try Setting(bench, fixture)
            let valve = Valve(fixture.blob)
            let present = try bench.store.temporary("blob")
            try present.write(fixture.blob)
            let download = BlobDownload(present: setting.layer.descriptor, file: try present.descriptor.duplicate())
            setting.stream.begin(download)
            async let unpacking: Void = setting.unpack(download, valve)
            // The head stops in the middle of large9.
            valve.allow(9 * ((4 << 20) + 512) + (1 << 20))
            let (ordinal, node) = try #require(try await setting.stream.child(of: 0, named: Array("large3".utf8)))
            #expect(node.size == 4 << 20)
            #expect(try await setting.stream.read(ordinal, at: 1000, count: 5000) == Array(members[3].content[1000..<6000]))
            #expect(setting.stream.finished == nil)
            #expect(!bench.store.hasTree(fixture.digest))
            // What lies beyond the head is waited for, and nothing is held up by who waits.
            let beyond = Task { try await setting.stream.child(of: 0, named: Array("link".utf8)) }
            #expect(try await setting.stream.read(ordinal, at: 0, count: 10) == Array(members[3].content.prefix(10)))
            valve.allowAll()
            try await unpacking
            let tree = try #require(try bench.library.storedTree(of: setting.layer))
            setting.stream.end(.success(tree))
            let link = try #require(try await beyond.value)
            #expect(try await setting.stream.linkTarget(link.ordinal) == Array("large3".utf8))
            #expect(try await setting.stream.child(of: 0, named: Array("absent".utf8)) == nil)
            // Ordinals of the stream are those of the finished tree.
            #expect(try await ContentTree(layer: tree).content("large3") == members[3].content)
            #expect(tree.view.find(Array("large3".utf8)) == ordinal)
        }
    }

    @Test func nothingIsVisibleBeforeTheBlobIsVerified() async throws {
        let fixture = LayerFixture.plain(Self.members())
        try await Bench().run { bench in
            let setting = try Setting(bench, fixture)
            let valve = Valve(fixture.blob)
            let temporary = try bench.store.temporary("blob")
            let download = try setting.download(into: temporary)
            setting.stream.begin(download)
            async let unpacking: Void = setting.unpack(download)
            async let fetching: Void = download.run(from: valve) { _ in }
            valve.allow(fixture.blob.count - 1)
            let reader = Task { try await setting.stream.child(of: 0, named: Array("large3".utf8)) }
            // The unpacker has every file, and none of it has a name in the store.
            while bench.store.temporaryCount(of: "object") < 10 { await Task.yield() }
            #expect(!download.verified)
            #expect(try bench.files("files", "spans") == [])
            valve.allowAll()
            try await fetching
            setting.stream.advance()
            try await unpacking
            setting.stream.end(.success(try #require(try bench.library.storedTree(of: setting.layer))))
            #expect(try await reader.value?.node.size == 4 << 20)
        }
    }

    @Test func wrongBytesAreNeverShown() async throws {
        let fixture = LayerFixture.plain(Self.members())
        try await Bench().run { bench in
            let setting = try Setting(bench, fixture)
            var wrong = fixture.blob
            wrong[3000] ^= 1
            let valve = Valve(wrong)
            valve.allowAll()
            let temporary = try bench.store.temporary("blob")
            let download = try setting.download(into: temporary)
            setting.stream.begin(download)
            let unpacking = Task { try await setting.unpack(download) }
            await #expect { try await download.run(from: valve) { _ in } } throws: { error in
                if case ImageError.wrongDigest(_, fixture.digest, _) = error { true } else { false }
            }
            await #expect(throws: (any Error).self) { try await unpacking.value }
            #expect(!download.verified)
            #expect(try bench.files("files", "spans", "trees").filter { $0.contains("sha256") } == [])
        }
    }

    @Test func aFailingDownloadEndsTheUnpacker() async throws {
        let fixture = LayerFixture.plain(Self.members())
        try await Bench().run { bench in
            let setting = try Setting(bench, fixture)
            let valve = Valve(fixture.blob)
            let temporary = try bench.store.temporary("blob")
            let download = try setting.download(into: temporary)
            setting.stream.begin(download)
            let unpacking = Task { try await setting.unpack(download) }
            let fetching = Task { try await download.run(from: valve) { _ in } }
            valve.allow(200_000)
            valve.fails.withLock { $0 = true }
            valve.allow(200_001)
            await #expect(throws: RemoteError.self) { try await fetching.value }
            await #expect { try await unpacking.value } throws: { (($0 as? ArchiveError)?.underlying ?? $0) is RemoteError }
        }
    }

    @Test func aReaderOfAFailedStreamGetsItsError() async throws {
        let fixture = LayerFixture.plain(Self.members())
        try await Bench().run { bench in
            let setting = try Setting(bench, fixture)
            let reader = Task { try await setting.stream.child(of: 0, named: Array("large3".utf8)) }
            let follower = Task { try await setting.stream.whole() }
            setting.stream.end(.failure(ImageError.unknownBlob(fixture.digest)))
            await #expect(throws: ImageError.self) { try await reader.value }
            await #expect(throws: ImageError.self) { try await follower.value }
        }
    }

    @Test func aReaderBehindTheHeadCanBeInterrupted() async throws {
        try await Bench().run { bench in
            let setting = try Setting(bench, .plain([.file("a", "x")]))
            let reader = Task { try await setting.stream.child(of: 0, named: Array("a".utf8)) }
            reader.cancel()
            await #expect(throws: CancellationError.self) { try await reader.value }
        }
    }
}

extension Store {
    /// Files in `tmp/` that were made under this label.
    func temporaryCount(of label: String) -> Int {
        (try? Shell.files(below: path + "/tmp").filter { $0.hasPrefix(label) }.count) ?? 0
    }
}
