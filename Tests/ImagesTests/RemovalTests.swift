import OCI
import Store
import TestSupport
import Testing
@testable import Images

/// What a removal takes, and what it leaves to others.
@Suite struct RemovalTests {
    private static let shared = SeededGenerator(seed: 21).copyBytes(4 << 20)
    private let common = LayerFixture.plain([.file("common", "c"), .file("big", SeededGenerator(seed: 22).copyBytes(4 << 20))])
    private let own = LayerFixture.plain([.file("own", "o"), .file("shared", RemovalTests.shared)])
    private let others = LayerFixture.plain([.file("others", "p"), .file("copy", RemovalTests.shared)])

    @Test func onlyWhatNobodyElseNeedsGoes() async throws {
        try await Bench().run { bench in
            try bench.add([common, own])
            try bench.add([common, others], to: "other")
            _ = try await bench.library.pull(try bench.reference())
            let kept = try await bench.library.pull(try bench.reference("other:1"))
            let report = try await bench.library.remove(try bench.reference())
            #expect(report.bytes > 0)
            #expect(!bench.store.hasBlob(own.digest) && !bench.store.hasTree(own.digest))
            #expect(try bench.store.presentSpans(LayerUnpacker.contentKey(of: own.digest)) == [])
            #expect(bench.store.hasBlob(common.digest) && bench.store.hasTree(common.digest))
            #expect(bench.store.hasObject(Digest(of: Self.shared)))
            #expect(bench.library.status(of: kept).complete)
            try bench.loseSource()
            let tree = try await bench.library.snapshot(of: kept)
            for (name, content) in [("common", Array("c".utf8)), ("copy", Self.shared), ("others", Array("p".utf8))] { #expect(try await tree.content(name) == content) }
            await #expect(throws: ImageError.self) { try await bench.library.remove(try bench.reference()) }
        }
    }

    @Test func theLastImageLeavesNothing() async throws {
        try await Bench().run { bench in
            try bench.add([common, own])
            try bench.add([LazyLayer([.file("lazy", "l")]).layer()], to: "lazy")
            let image = try await bench.library.pull(try bench.reference())
            let lazy = try await bench.image("lazy:1")
            _ = try await bench.library.snapshot(of: lazy).content("lazy")
            _ = try await bench.library.snapshot(of: image, count: 1)
            // What is read is on its way to the disk for a while.
            await bench.library.settle()
            for reference in try bench.library.references() { _ = try await bench.library.remove(reference) }
            #expect(try bench.files("blobs", "files", "spans") == [])
            #expect(try bench.files("trees").filter { $0.hasSuffix(".index") } == [])
            #expect(try await bench.library.knownLayers() == [])
            #expect(try await bench.library.knownBlobs().isEmpty)
        }
    }

    @Test func imagesOfOtherPlatformsAreSpared() async throws {
        let (mine, foreign) = (Platform(os: "linux", architecture: "amd64"), Platform(os: "linux", architecture: "s390x"))
        try await Bench { $0.platform = mine }.run { bench in
            try bench.add([common])
            try bench.layout("foreign").tag(try bench.layout("foreign").add([common], platform: foreign), "0")
            let layout = try bench.layout("foreign")
            try layout.tag(try layout.add(index: [try layout.add([common, others], platform: foreign), try layout.add([own], platform: Platform(os: "linux", architecture: "ppc64le"))]), "1")
            _ = try await bench.library.pull(try bench.reference())
            try await Bench(sharing: bench) { $0.platform = foreign }.run { other in
                let image = try await other.library.pull(try other.reference("foreign:1"))
                _ = try await bench.library.remove(try bench.reference())
                #expect(other.library.status(of: image).complete)
            }
        }
    }

    @Test func whatWasRemovedIsFetchedAgain() async throws {
        try await Bench().run { bench in
            try bench.add([common])
            _ = try await bench.library.pull(try bench.reference())
            _ = try await bench.library.remove(try bench.reference())
            let image = try await bench.image()
            let tree = try await bench.library.snapshot(of: image)
            #expect(try await tree.content("big") == SeededGenerator(seed: 22).copyBytes(4 << 20))
            #expect(try await tree.content("common") == Array("c".utf8))
        }
    }
}
