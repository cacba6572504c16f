import OCI
import Remote
import Store
import Synchronization
import TestSupport
import Testing
@testable import Images

/// Layers from a registry that lies, breaks off or stays silent.
@Suite struct NetworkTests {
    /// A registry of one image, whose answers for the layer a test makes.
    private final class Registry: Sendable {
        let server: HTTPTestServer
        let layer: LayerFixture

        /// How often the layer was asked for.
        var layerRequests: Int { server.requests.filter { $0.method == "GET" && $0.path.hasSuffix(layer.digest.description) }.count }

        private init(_ server: HTTPTestServer, _ layer: LayerFixture) {
            self.server = server
            self.layer = layer
        }

        /// - Parameter answer: what the n-th asking for the layer gets, counted from 0.
        static func start(_ layer: LayerFixture, _ answer: @escaping @Sendable (Int) -> HTTPTestServer.Response) async throws -> Registry {
            let directory = try TemporaryDirectory()
            let manifest = try OCILayout(in: directory).add([layer])
            let count = Counter()
            let server = try await HTTPTestServer.start { request in
                let last = request.path.split(separator: "/").last.map(String.init) ?? ""
                if last == layer.digest.description { return answer(request.method == "HEAD" ? count.value : count.next()) }
                guard request.path.contains("/manifests/") || request.path.contains("/blobs/") else { return .init(200) }
                let digest = last.hasPrefix("sha256:") ? last : "\(manifest.digest)"
                let bytes = try Shell.contents(ofFile: "\(directory.path)/blobs/sha256/\(digest.dropFirst(7))")
                return .init(200, headers: ["Content-Type": request.path.contains("/manifests/") ? MediaType.manifest : "application/octet-stream", "Docker-Content-Digest": digest], body: bytes)
            }
            return Registry(server, layer)
        }
    }

    private final class Counter: Sendable {
        private let count = Mutex(0)
        var value: Int { count.withLock { $0 } }
        func next() -> Int {
            count.withLock { count in
                defer { count += 1 }
                return count
            }
        }
    }

    private func layer() async throws -> LayerFixture {
        try await LayerFixture.gzip([.file("a", "alpha"), .file("b", SeededGenerator(seed: 1).copyBytes(300_000))])
    }

    private func image(_ bench: Bench, _ registry: Registry) async throws -> Image {
        try await bench.library.image(try #require(Reference("\(registry.server.host)/team/app:1")))
    }

    private static func flipped(_ layer: LayerFixture) -> [UInt8] {
        var bytes = layer.blob
        bytes[bytes.count / 2] ^= 0x10
        return bytes
    }

    @Test func wrongBytesAreAskedForAgain() async throws {
        let layer = try await layer()
        let registry = try await Registry.start(layer) { .init(200, body: $0 == 0 ? Self.flipped(layer) : layer.blob) }
        try await Bench().run { bench in
            let tree = ContentTree(layer: try await bench.library.tree(of: try await image(bench, registry).layers[0]))
            #expect(try await tree.content("a") == Array("alpha".utf8))
            #expect(registry.layerRequests == 2)
        }
        await registry.server.stop()
    }

    @Test func garbageIsAskedForAgainThoughItCannotBeUnpacked() async throws {
        let layer = try await layer()
        let registry = try await Registry.start(layer) { .init(200, body: $0 == 0 ? [UInt8](repeating: 0x55, count: layer.blob.count) : layer.blob) }
        try await Bench().run { bench in
            let layer = try await image(bench, registry).layers[0]
            // A reader that follows the stream from its start notices nothing of the first attempt.
            if let stream = try await bench.library.streaming(layer) {
                #expect(try await stream.child(of: 0, named: Array("a".utf8))?.node.size == 5)
            }
            let tree = ContentTree(layer: try await bench.library.tree(of: layer))
            #expect(try await tree.content("a") == Array("alpha".utf8))
            #expect(registry.layerRequests == 2)
        }
        await registry.server.stop()
    }

    @Test func bytesThatStayWrongAreAnErrorAndNothingIsPublished() async throws {
        let layer = try await layer()
        let registry = try await Registry.start(layer) { _ in .init(200, body: Self.flipped(layer)) }
        try await Bench().run { bench in
            let image = try await image(bench, registry)
            await #expect { try await bench.library.tree(of: image.layers[0]) } throws: { $0 is ImageError && "\($0)".contains("\(layer.digest)") }
            #expect(registry.layerRequests == 2)
            #expect(!bench.store.hasBlob(layer.digest) && !bench.store.hasTree(layer.digest))
            #expect(try bench.files("spans", "files") == [])
            #expect(try bench.files("tmp").filter { !$0.hasSuffix(".lock") } == [])
            await #expect { try await bench.library.fetchBlob(layer.digest) } throws: { error in
                if case ImageError.wrongDigest(_, layer.digest, _) = error { true } else { false }
            }
        }
        await registry.server.stop()
    }

    @Test func aLayerThatCannotBeUnpackedIsNotWaitedFor() async throws {
        let layer = try await layer()
        // Garbage, and then silence: only the unpacker's error can end this.
        let registry = try await Registry.start(layer) { _ in
            var response = HTTPTestServer.Response(200, body: [UInt8](repeating: 0x55, count: layer.blob.count))
            response.ending = .stalled(after: 100_000)
            return response
        }
        try await Bench().run { bench in
            let image = try await image(bench, registry)
            await #expect { try await bench.library.tree(of: image.layers[0]) } throws: { error in
                if case ImageError.blob(let descriptor, _) = error { descriptor.digest == layer.digest } else { false }
            }
        }
        await registry.server.stop()
    }

    @Test func aBlobThatIsGoneIsAnErrorForEverybodyWhoWaits() async throws {
        let layer = try await layer()
        let registry = try await Registry.start(layer) { _ in .init(404, text: "gone") }
        try await Bench().run { bench in
            let image = try await image(bench, registry)
            await withTaskGroup(of: Bool.self) { group in
                for _ in 0..<20 {
                    group.addTask {
                        do {
                            _ = try await bench.library.tree(of: image.layers[0])
                            return false
                        } catch {
                            return (error as? RemoteError)?.kind == .notFound
                        }
                    }
                }
                for await isRight in group { #expect(isRight) }
            }
        }
        await registry.server.stop()
    }

    @Test func shutdownDoesNotWaitForADownload() async throws {
        let layer = try await layer()
        let registry = try await Registry.start(layer) { _ in
            var response = HTTPTestServer.Response(200, body: layer.blob)
            response.ending = .stalled(after: 1000)
            return response
        }
        let bench = try Bench()
        let image = try await image(bench, registry)
        let reader = Task { try await bench.library.tree(of: image.layers[0]) }
        while registry.layerRequests == 0 || bench.library.streams[layer.digest] == nil { await Task.yield() }
        await bench.library.shutdown()
        await #expect(throws: (any Error).self) { try await reader.value }
        await registry.server.stop()
    }
}
