import FoundationEssentials
import OCI
import Remote
import Synchronization
import TestSupport
import Testing

/// Puts a blob there; says whether it was new.
private func push(_ bytes: [UInt8], to source: any BlobSource) async throws -> Bool { try await source.push(blob: bytes) }

private func artifact(of subject: Descriptor, kind: String = "application/x-test", _ note: String) -> ImageManifest {
    ImageManifest(
        config: Descriptor(mediaType: MediaType.empty, digest: Digest(of: Array("{}".utf8)), size: 2), layers: [], annotations: ["note": note],
        artifactType: kind, subject: Descriptor(mediaType: subject.mediaType, digest: subject.digest, size: subject.size))
}

/// Against Debian's docker-registry, which has no referrers API: the tag that stands for it.
@Suite(.enabled(if: Shell.has("docker-registry", "skopeo", "htpasswd", "gzip")))
struct ReferrersTests {
    private let kinds: Set = ["application/x-test"]

    @Test func whatRefersToAnImageIsFoundUntilItIsRemoved() async throws {
        let image = try await TestImage.make(largeLayer: 10)
        let registry = try await image.pushed()
        try await withRemote { remote in
            let source = try remote.source(for: try repository(registry.host))
            #expect(try await source.referrers(of: image.manifest.digest, kinds: kinds).isEmpty)
            let isNew = try await source.push(blob: Array("{}".utf8))
            let isNewAgain = try await source.push(blob: Array("{}".utf8))
            #expect(isNew && !isNewAgain)
            let first = try await source.push(manifest: artifact(of: image.manifest, "first"))
            let other = try await source.push(manifest: artifact(of: image.manifest, kind: "application/x-other", "other"))
            let second = try await source.push(manifest: artifact(of: image.manifest, "second"))
            let again = try await source.push(manifest: artifact(of: image.manifest, "first"))
            #expect(again == first)
            let found = try await source.referrers(of: image.manifest.digest, kinds: kinds)
            #expect(found.map(\.digest) == [first.digest, second.digest])
            #expect(found.map { $0.annotations?["note"] } == ["first", "second"])
            #expect(try await source.referrers(of: image.manifest.digest, kinds: ["application/x-other", "application/x-test"]).count == 3)
            #expect(try await source.referrers(of: image.index.digest, kinds: kinds).isEmpty)
            #expect(Digest(of: try await source.manifest(first)) == first.digest)

            try await source.delete(referrer: first.digest, of: image.manifest.digest)
            try await source.delete(referrer: first.digest, of: image.manifest.digest)
            #expect(try await source.referrers(of: image.manifest.digest, kinds: kinds).map(\.digest) == [second.digest])
            #expect(await kind { _ = try await source.manifest(first) } == .notFound)
            #expect(try await source.referrers(of: image.manifest.digest, kinds: ["application/x-other"]).map(\.digest) == [other.digest])
        }
    }

    /// More of them than requests are let through at a time: none may keep its place while it waits for another.
    @Test(.timeLimit(.minutes(30))) func manyBlobsArePushedAtOnce() async throws {
        let image = try await TestImage.make(largeLayer: 10)
        let registry = try await image.pushed()
        try await withRemote { remote in
            let source = try remote.source(for: try repository(registry.host))
            let new = try await withThrowingTaskGroup(of: Bool.self) { group in
                for number in 0..<20 { group.addTask { try await push(Array("blob \(number)".utf8), to: source) } }
                return try await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
            }
            #expect(new == 20)
        }
    }

    @Test func manyWhoPushAtOnceAreAllListed() async throws {
        let image = try await TestImage.make(largeLayer: 10)
        let registry = try await image.pushed()
        try await withRemote { remote in
            let source = try remote.source(for: try repository(registry.host))
            try await source.push(blob: Array("{}".utf8))
            let pushed = try await withThrowingTaskGroup(of: Digest.self) { group in
                for number in 0..<3 { group.addTask { try await source.push(manifest: artifact(of: image.manifest, "\(number)")).digest } }
                return try await group.reduce(into: Set<Digest>()) { $0.insert($1) }
            }
            #expect(Set(try await source.referrers(of: image.manifest.digest, kinds: kinds).map(\.digest)).isSubset(of: pushed))
            // The protocol has no lock: what got lost is listed by pushing it again.
            for number in 0..<3 { _ = try await source.push(manifest: artifact(of: image.manifest, "\(number)")) }
            #expect(Set(try await source.referrers(of: image.manifest.digest, kinds: kinds).map(\.digest)) == pushed)
        }
    }

    @Test func aLargeBlobComesBackAsItWas() async throws {
        let image = try await TestImage.make(largeLayer: 10)
        let registry = try await image.pushed()
        var random = SeededGenerator(seed: 3)
        let bytes = random.bytes(5 << 20)
        try await withRemote { remote in
            let source = try remote.source(for: try repository(registry.host, "team/new"))
            let isNew1 = try await push(bytes, to: source)
            #expect(isNew1)
            let got = await drain { () throws(RemoteError) in
                try await source.blob(Descriptor(mediaType: "application/octet-stream", digest: Digest(of: bytes), size: UInt64(bytes.count)), range: nil)
            }
            #expect(got.error == nil && got.bytes == bytes)
            let isNew2 = try await push([], to: source)
            #expect(isNew2, "nothing at all is a blob, too")
        }
    }

    @Test func whoMayNotWriteIsToldWhatToDo() async throws {
        let login = (user: "ann", password: "s3cret")
        let image = try await TestImage.make(largeLayer: 10)
        let registry = try await image.pushed(login: login)
        let files = try TemporaryDirectory()
        try await withRemote { remote in
            let source = try remote.source(for: try repository(registry.host))
            do throws(RemoteError) {
                try await source.push(blob: [1, 2, 3])
                Issue.record("written without a login")
            } catch {
                #expect(error.kind == .unauthorized && error.description.contains("docker login \(registry.host)"))
            }
        }
        try files.write("config.json", #"{"auths":{"\#(registry.host)":{"username":"ann","password":"s3cret"}}}"#)
        try await withRemote(quietConfiguration { $0.environment["DOCKER_CONFIG"] = files.path }) { remote in
            let source = try remote.source(for: try repository(registry.host))
            let isNew3 = try await push([1, 2, 3], to: source)
            #expect(isNew3)
        }
    }

    @Test func tokensToWriteAreAskedForByWhoWrites() async throws {
        let image = try await TestImage.make(largeLayer: 10)
        let real = try await image.pushed()
        let server = try await TokenRegistry.start(before: real.host)
        try await withRemote { remote in
            let source = try remote.source(for: try repository(server.host))
            _ = try await source.resolve(.tag("1"))
            #expect(server.tokens.requests.allSatisfy { !$0.target.contains("push") })
            try await source.push(blob: [1, 2, 3])
            #expect(server.tokens.requests.last?.target.contains("pull%2Cpush") == true)
        }
        await server.stop()
    }

    @Test(arguments: [FaultyProxy.Fault.answers404, .answers401, .answers403, .answers500, .answers429, .answersPage, .hangsUp, .redirectsForEver, .truncates])
    func aRegistryThatFailsIsNotAskedTwice(fault: FaultyProxy.Fault) async throws {
        let image = try await TestImage.make(largeLayer: 10)
        let registry = try await image.pushed()
        let proxy = try await FaultyProxy.start(before: registry.host)
        proxy.inject { $0.path.contains("/referrers/") || $0.path.contains("sha256-") ? fault : nil }
        try await withRemote { remote in
            let source = try remote.source(for: try repository(proxy.host))
            let kind = await kind { _ = try await source.referrers(of: image.manifest.digest, kinds: kinds) }
            #expect(kind == nil || kind != .cancelled)
            if fault != .redirectsForEver { #expect(proxy.requests.count <= 4, "\(proxy.requests.map(\.target))") }
            #expect(await self.answers(source))
        }
        await proxy.stop()
    }

    private func answers(_ source: any BlobSource) async -> Bool { await kind { _ = try await source.resolve(.tag("1")) } == nil }
}

/// A registry as the distribution-spec describes it, in memory: with the referrers API, in pages.
@Suite struct ReferrersAPITests {
    private final class Registry: Sendable {
        struct State {
            var blobs: [String: [UInt8]] = [:]
            var manifests: [String: [UInt8]] = [:]
            var referrers: [String: [Descriptor]] = [:]
        }

        struct List: Encodable {
            var schemaVersion = 2
            var mediaType = MediaType.index
            let manifests: [Descriptor]
        }

        let state = Mutex(State())
        /// Where uploads are to go on; nil for a path on this host.
        let uploads: Mutex<String?> = Mutex(nil)
        let page = 2

        func answer(_ request: HTTPTestServer.Request) -> HTTPTestServer.Response {
            let last = request.path.split(separator: "/").last.map(String.init) ?? ""
            switch (request.method, request.path) {
            case ("POST", let path) where path.hasSuffix("/blobs/uploads/"):
                return .init(202, headers: ["Location": uploads.withLock { $0 } ?? "/v2/team/app/blobs/uploads/1?state=x%2Fy"])
            case ("PUT", let path) where path.contains("/blobs/uploads/"):
                let digest = String(request.query.split(separator: "&").first { $0.hasPrefix("digest=") }?.dropFirst(7) ?? "").replacing("%3A", with: ":")
                guard request.query.contains("state=x%2Fy"), "\(Digest(of: request.body))" == digest else { return .init(400) }
                state.withLock { $0.blobs[digest] = request.body }
                return .init(201)
            case ("PUT", let path) where path.contains("/manifests/"):
                guard case .manifest(let manifest)? = try? ManifestDocument(decoding: request.body, mediaType: nil) else { return .init(400) }
                let descriptor = Descriptor(
                    mediaType: MediaType.manifest, digest: Digest(of: request.body), size: UInt64(request.body.count), annotations: manifest.annotations,
                    artifactType: manifest.kind)
                state.withLock { state in
                    state.manifests["\(descriptor.digest)"] = request.body
                    if let subject = manifest.subject { state.referrers["\(subject.digest)", default: []].append(descriptor) }
                }
                return .init(201, headers: manifest.subject.map { ["OCI-Subject": "\($0.digest)"] } ?? [:])
            case ("GET", let path) where path.contains("/referrers/"):
                let all = state.withLock { $0.referrers[last] ?? [] }
                let start = request.query.split(separator: "=").last.flatMap { Int($0) } ?? 0
                let rest = all.dropFirst(start)
                let body = (try? JSONEncoder().encode(List(manifests: Array(rest.prefix(page))))) ?? Data()
                let next: [(String, String)] = rest.count > page ? [("Link", "<\(request.path)?from=\(start + page)>; rel=\"next\"")] : []
                return .init(200, headers: .init([("Content-Type", MediaType.index)] + next), body: Array(body))
            case ("DELETE", let path) where path.contains("/manifests/"):
                state.withLock { state in
                    state.manifests[last] = nil
                    for subject in state.referrers.keys { state.referrers[subject]?.removeAll { "\($0.digest)" == last } }
                }
                return .init(202)
            default:
                return .init(404)
            }
        }
    }

    private let subject = Descriptor(mediaType: MediaType.manifest, digest: Digest(of: [1]), size: 1)

    private func withRegistry(_ configuration: RemoteConfiguration = quietConfiguration(), _ body: (Registry, HTTPTestServer, any BlobSource) async throws -> Void) async throws {
        let registry = Registry()
        let server = try await HTTPTestServer.start { registry.answer($0) }
        try await withRemote(configuration) { remote in try await body(registry, server, try remote.source(for: try repository(server.host))) }
        await server.stop()
    }

    @Test func listsComeInPagesAndNoTagIsWritten() async throws {
        try await withRegistry { _, server, source in
            var pushed: [Digest] = []
            for number in 0..<7 {
                pushed.append(try await source.push(manifest: artifact(of: subject, kind: number == 3 ? "application/x-other" : "application/x-test", "\(number)")).digest)
            }
            #expect(!server.requests.contains { $0.target.contains("sha256-") })
            let found = try await source.referrers(of: subject.digest, kinds: ["application/x-test"])
            // A server need not filter, whatever it is asked.
            #expect(found.map(\.digest) == pushed.enumerated().filter { $0.offset != 3 }.map(\.element))
            try await source.delete(referrer: pushed[0], of: subject.digest)
            #expect(try await source.referrers(of: subject.digest, kinds: ["application/x-test"]).map(\.digest) == pushed.enumerated().filter { ![0, 3].contains($0.offset) }.map(\.element))
        }
    }

    @Test func aBlobGoesWhereTheRegistrySays() async throws {
        try await withRegistry { registry, server, source in
            let isNew4 = try await push([1, 2, 3], to: source)
            #expect(isNew4)
            registry.uploads.withLock { $0 = "\(server.url)/v2/team/app/blobs/uploads/2?state=x%2Fy" }
            let isNew5 = try await push([4, 5, 6], to: source)
            #expect(isNew5)
            #expect(Set(registry.state.withLock { $0.blobs.values.map { $0 } }) == [[1, 2, 3], [4, 5, 6]])
        }
    }

    /// Where an upload goes on another host, nobody's password goes with it.
    @Test func aLoginStaysAtHome() async throws {
        let elsewhere = Registry()
        let storage = try await HTTPTestServer.start { elsewhere.answer($0) }
        let files = try TemporaryDirectory()
        let registry = Registry()
        registry.uploads.withLock { $0 = "\(storage.url)/v2/team/app/blobs/uploads/2?state=x%2Fy" }
        let server = try await HTTPTestServer.start { request in
            request.headers.contains(name: "Authorization") ? registry.answer(request) : .init(401, headers: ["WWW-Authenticate": "Basic realm=\"x\""])
        }
        try files.write("config.json", #"{"auths":{"\#(server.host)":{"username":"ann","password":"s3cret"}}}"#)
        try await withRemote(quietConfiguration { $0.environment["DOCKER_CONFIG"] = files.path }) { remote in
            let source = try remote.source(for: try repository(server.host))
            let isNew6 = try await push([1, 2, 3], to: source)
            #expect(isNew6)
            #expect(storage.requests.count == 1 && storage.requests.allSatisfy { !$0.headers.contains(name: "Authorization") })
        }
        await server.stop()
        await storage.stop()
    }

    @Test func aRegistryWithTheAPIIsAskedOnceFromThenOn() async throws {
        try await withRegistry { _, server, source in
            for _ in 0..<3 { _ = try await source.referrers(of: subject.digest, kinds: ["application/x-test"]) }
            #expect(server.requests.count { $0.path.contains("/referrers/") } == 3)
            // The tag is asked for once, beside the first; whether that comes before it is given up is chance.
            #expect(server.requests.count { $0.path.contains("sha256-") } <= 1)
        }
    }
}

/// A layout on disk.
@Suite struct LayoutReferrersTests {
    @Test func aLayoutKeepsReferrersInItsIndex() async throws {
        let files = try TemporaryDirectory()
        let layout = try OCILayout(in: files, "team/app")
        let image = try layout.add(image: [[1]])
        try layout.tag(image.manifest, "1")
        try await withRemote(quietConfiguration { $0.hosts["local", default: .init()].layout = files.path }) { remote in
            let source = try remote.source(for: try repository("local"))
            let isNew = try await source.push(blob: Array("{}".utf8))
            let isNewAgain = try await source.push(blob: Array("{}".utf8))
            #expect(isNew && !isNewAgain)
            let pushed = try await source.push(manifest: artifact(of: image.manifest, "first"))
            #expect(try await source.push(manifest: artifact(of: image.manifest, "first")) == pushed)
            #expect(try await source.referrers(of: image.manifest.digest, kinds: ["application/x-test"]).map(\.digest) == [pushed.digest])
            #expect(try await source.referrers(of: image.manifest.digest, kinds: ["application/x-other"]).isEmpty)
            #expect(try await source.referrers(of: image.config.digest, kinds: ["application/x-test"]).isEmpty)
            #expect(try await source.resolve(.tag("1")).descriptor.digest == image.manifest.digest, "the image is still what it was")
            try await source.delete(referrer: pushed.digest, of: image.manifest.digest)
            #expect(try await source.referrers(of: image.manifest.digest, kinds: ["application/x-test"]).isEmpty)
        }
    }
}
