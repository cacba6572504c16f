import NIOHTTP1
import OCI
import Remote
import Synchronization
import TestSupport
import Testing

/// A registry that keeps its blobs elsewhere, behind signed URLs, as the large ones do.
@Suite(.enabled(if: Shell.has("docker-registry", "skopeo", "htpasswd", "gzip")))
struct RedirectTests {
    private final class Setting: Sendable {
        let image: TestImage
        let registry: RegistryServer
        let front: HTTPTestServer
        let storage: HTTPTestServer
        let configuration: RemoteConfiguration
        let files: TemporaryDirectory
        /// The signature that the storage takes now.
        let signature: Signature

        final class Signature: Sendable {
            let value = Mutex(1)
            var current: Int { value.withLock { $0 } }
        }

        init() async throws {
            image = try await TestImage.make()
            registry = try await image.pushed(login: (user: "ann", password: "pw"))
            let upstream = registry.host
            let signature = Signature()
            self.signature = signature
            let storage = try await HTTPTestServer.start { request in
                guard request.query.contains("sig=SECRET\(signature.current)") else { return .init(403) }
                var headers = request.headers
                headers.replaceOrAdd(name: "Authorization", value: "Basic YW5uOnB3")
                return try await FaultyProxy.forward(request, headers, to: upstream)
            }
            self.storage = storage
            front = try await HTTPTestServer.start { request in
                guard request.headers.first(name: "Authorization") == "Basic YW5uOnB3" else { return .init(401, headers: ["WWW-Authenticate": "Basic realm=\"x\""]) }
                guard request.path.contains("/blobs/") else { return try await FaultyProxy.forward(request, request.headers, to: upstream) }
                return .init(307, headers: ["Location": "\(storage.url)\(request.path)?sig=SECRET\(signature.current)"])
            }
            files = try TemporaryDirectory()
            try files.write("config.json", #"{"auths":{"\#(front.host)":{"auth":"YW5uOnB3"}}}"#)
            let path = files.path
            configuration = quietConfiguration { $0.environment["DOCKER_CONFIG"] = path }
        }

        func stop() async {
            await front.stop()
            await storage.stop()
        }
    }

    @Test func noCredentialFollowsARedirect() async throws {
        let setting = try await Setting()
        try await withRemote(setting.configuration) { remote in
            let source = try remote.source(for: try repository(setting.front.host))
            let got = await drain { () throws(RemoteError) in try await source.blob(setting.image.layers[0], range: 10..<200_000) }
            #expect(got.error == nil && got.bytes == Array(setting.image.layerBytes[0][10..<200_000]))
            #expect(setting.front.requests.contains { $0.headers.contains(name: "Authorization") })
            #expect(!setting.storage.requests.isEmpty)
            #expect(setting.storage.requests.allSatisfy { !$0.headers.contains(name: "Authorization") })
        }
        await setting.stop()
    }

    @Test func theTargetIsRememberedUntilItIsRefused() async throws {
        let setting = try await Setting()
        try await withRemote(setting.configuration) { remote in
            let source = try remote.source(for: try repository(setting.front.host))
            let layer = setting.image.layers[0]
            for _ in 0..<5 { #expect(await drain { () throws(RemoteError) in try await source.blob(layer, range: 0..<100) }.error == nil) }
            #expect(setting.front.requests.count == 2, "one that was refused, and one that was redirected")
            setting.signature.value.withLock { $0 += 1 }
            let got = await drain { () throws(RemoteError) in try await source.blob(layer, range: 0..<100) }
            #expect(got.error == nil && got.bytes == Array(setting.image.layerBytes[0][..<100]))
            #expect(setting.front.requests.count == 3)
        }
        await setting.stop()
    }

    @Test func aTargetThatAlwaysRefusesIsAskedOnlyTwice() async throws {
        let storage = try await HTTPTestServer.start { _ in .init(403) }
        let front = try await HTTPTestServer.start { _ in .init(307, headers: ["Location": storage.url + "/x?sig=VERYSECRET"]) }
        try await withRemote { remote in
            let source = try remote.source(for: try repository(front.host))
            let got = await drain { () throws(RemoteError) in try await source.blob(Descriptor(mediaType: "x", digest: Digest(of: []), size: 5), range: nil) }
            #expect(got.error?.kind == .denied)
            #expect(got.error?.description.contains("VERYSECRET") == false)
            #expect(storage.requests.count == 2)
        }
        await front.stop()
        await storage.stop()
    }

    @Test(arguments: [301, 302, 303, 307, 308]) func everyKindOfRedirectIsFollowed(_ status: Int) async throws {
        let body = Array("hello".utf8)
        let server = try await HTTPTestServer.start { request in
            // Relative to the path, absolute on the host, and with a fragment, one after the other.
            switch request.path.split(separator: "/").last {
            case "one": .init(status, headers: ["Location": "/two#fragment"])
            case "two": .init(status, headers: ["Location": "three?x=y"])
            case "three": request.query == "x=y" ? .init(200, body: body) : .init(500)
            default: .init(status, headers: ["Location": "one"])
            }
        }
        try await withRemote { remote in
            let source = try remote.source(for: try repository(server.host))
            let got = await drain { () throws(RemoteError) in try await source.blob(Descriptor(mediaType: "x", digest: Digest(of: body), size: 5), range: nil) }
            #expect(got.error == nil && got.bytes == body)
        }
        await server.stop()
    }

    @Test func aRedirectToNowhereIsAnError() async throws {
        for location in ["", "ftp://elsewhere/x", "http://user:password@elsewhere/x", "http://exa mple/", "mailto:someone"] {
            let server = try await HTTPTestServer.start { _ in .init(302, headers: ["Location": location]) }
            try await withRemote { remote in
                let source = try remote.source(for: try repository(server.host))
                #expect(await kind { _ = try await source.resolve(.tag("1")) } == .badAnswer(status: 302), "'\(location)'")
            }
            await server.stop()
        }
    }
}
