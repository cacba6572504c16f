import OCI
import Store
import TestSupport
import Testing
@testable import Images

/// Whole blobs, large ones in pieces side by side.
@Suite struct BlobPieceTests {
    /// Neither compressible nor a multiple of a piece.
    private static let layer = LayerFixture.plain((0..<23).map { .file("f\($0)", SeededGenerator(seed: UInt64($0 % 3) + 60).copyBytes(1_000_003)) })

    private func run(_ answer: @escaping @Sendable (HTTPTestServer.Request, _ number: Int) -> HTTPTestServer.Response?, _ body: (Bench, Image, HTTPTestServer) async throws -> Void) async throws {
        let directory = try TemporaryDirectory()
        let layer = Self.layer
        let manifest = try OCILayout(in: directory).add([layer])
        let count = Shared(0)
        let server = try await HTTPTestServer.start { request in
            let last = request.path.split(separator: "/").last.map(String.init) ?? ""
            if last == "\(layer.digest)" {
                let number = count.change { count in
                    count += 1
                    return count - 1
                }
                return answer(request, number) ?? Self.part(request, layer.blob)
            }
            guard request.path.contains("/manifests/") || request.path.contains("/blobs/") else { return .init(200) }
            let digest = last.hasPrefix("sha256:") ? last : "\(manifest.digest)"
            return .init(200, headers: ["Content-Type": MediaType.manifest, "Docker-Content-Digest": digest], body: try Shell.contents(ofFile: "\(directory.path)/blobs/sha256/\(digest.dropFirst(7))"))
        }
        try await Bench().run { bench in try await body(bench, try await bench.library.image(try #require(Reference("\(server.host)/team/app:1"))), server) }
        await server.stop()
    }

    /// What an honest server sends.
    private static func part(_ request: HTTPTestServer.Request, _ blob: [UInt8]) -> HTTPTestServer.Response {
        guard let range = request.headers.first(name: "Range") else { return .init(200, body: blob) }
        let ends = range.dropFirst(6).split(separator: "-").compactMap { Int($0) }
        return .init(206, headers: ["Content-Range": "bytes \(ends[0])-\(ends[1])/\(blob.count)"], body: Array(blob[ends[0]...ends[1]]))
    }

    private func check(_ bench: Bench, _ image: Image) async throws {
        let tree = ContentTree(layer: try await bench.library.tree(of: image.layers[0]))
        for number in [0, 11, 22] { #expect(try await tree.content("f\(number)") == SeededGenerator(seed: UInt64(number % 3) + 60).copyBytes(1_000_003)) }
        #expect(bench.store.hasBlob(Self.layer.digest) && bench.store.hasTree(Self.layer.digest))
    }

    private func ranges(_ server: HTTPTestServer) -> [String?] {
        server.requests.filter { $0.path.hasSuffix("\(Self.layer.digest)") }.map { $0.headers.first(name: "Range") }
    }

    @Test func aLargeBlobComesInPieces() async throws {
        try await run({ _, _ in nil }) { bench, image, server in
            try await check(bench, image)
            let ranges = ranges(server)
            #expect(ranges.count == (Self.layer.blob.count + Int(BlobPieces.pieceSize) - 1) / Int(BlobPieces.pieceSize))
            #expect(ranges.allSatisfy { $0 != nil } && Set(ranges).count == ranges.count)
            #expect(bench.library.fetchCounters[.stream].bytes == UInt64(Self.layer.blob.count))
        }
    }

    @Test func aServerWithoutRangesIsReadInOneStream() async throws {
        try await run({ _, _ in .init(200, body: Self.layer.blob) }) { bench, image, server in
            try await check(bench, image)
            #expect(ranges(server).contains(nil))
        }
    }

    @Test func aServerThatLosesItsRangesHalfWayIsReadOnFromThere() async throws {
        try await run({ _, number in number < 2 ? nil : .init(200, body: Self.layer.blob) }) { bench, image, _ in try await check(bench, image) }
    }

    @Test func aWrongByteInAnyPieceIsFoundAndTheBlobAskedForAgain() async throws {
        try await run({ request, number in
            guard number == 3 else { return nil }
            var response = Self.part(request, Self.layer.blob)
            response.body[response.body.count / 2] ^= 1
            return response
        }) { bench, image, server in
            try await check(bench, image)
            #expect(ranges(server).count > 6)
        }
    }

    @Test func bytesThatStayWrongArePublishedByNobody() async throws {
        try await run({ request, _ in
            var response = Self.part(request, Self.layer.blob)
            response.body[response.body.count / 2] ^= 1
            return response
        }) { bench, image, _ in
            await #expect(throws: ImageError.self) { try await bench.library.tree(of: image.layers[0]) }
            #expect(!bench.store.hasBlob(Self.layer.digest) && !bench.store.hasTree(Self.layer.digest))
            let published = try bench.files("spans", "files")
            #expect(published == [])
        }
    }

    @Test func aPieceThatBreaksOffIsTakenUpWhereItEnded() async throws {
        try await run({ request, number in
            guard number % 2 == 1, number < 8 else { return nil }
            var response = Self.part(request, Self.layer.blob)
            response.ending = .closed(after: response.body.count / 3)
            return response
        }) { bench, image, _ in
            try await check(bench, image)
            #expect(bench.library.fetchCounters[.stream].bytes == UInt64(Self.layer.blob.count))
        }
    }

    @Test func aPieceThatIsGoneEndsThemAll() async throws {
        try await run({ _, number in number == 2 ? .init(404, text: "gone") : nil }) { bench, image, _ in
            await #expect(throws: (any Error).self) { try await bench.library.tree(of: image.layers[0]) }
            #expect(!bench.store.hasBlob(Self.layer.digest))
            // And now it is there again.
            try await check(bench, image)
        }
    }

    @Test func shutdownDoesNotWaitForPieces() async throws {
        try await run({ request, _ in
            var response = Self.part(request, Self.layer.blob)
            response.ending = .stalled(after: 1000)
            return response
        }) { bench, image, server in
            let reader = Task { try await bench.library.tree(of: image.layers[0]) }
            while ranges(server).count < BlobPieces.width { try await Task.sleep(for: .milliseconds(1)) }
            await bench.library.shutdown()
            await #expect(throws: (any Error).self) { try await reader.value }
        }
    }
}
