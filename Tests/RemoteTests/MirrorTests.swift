import OCI
import Remote
import TestSupport
import Testing

@Suite(.enabled(if: Shell.has("docker-registry", "skopeo", "gzip")))
struct MirrorTests {
    @Test func aMirrorIsAskedFirstAndTheHostOnlyForTheRest() async throws {
        let image = try await TestImage.make()
        let registry = try await image.pushed()
        let mirror = try await FaultyProxy.start(before: registry.host)
        let host = try await FaultyProxy.start(before: registry.host)
        try await withRemote(quietConfiguration { $0.hosts[host.host, default: .init()].mirrors = [mirror.url + "/"] }) { remote in
            let source = try remote.source(for: try repository(host.host))
            #expect(try await source.resolve(.tag("1")).descriptor.digest == image.index.digest)
            #expect(mirror.requests.count == 1 && host.requests.isEmpty)
            #expect(mirror.requests.first?.query == "ns=" + host.host.replacing(":", with: "%3A"))
            // The mirror lacks something: asked again the next time.
            mirror.inject(.answers404, into: "/blobs/")
            let got = await drain { () throws(RemoteError) in try await source.blob(image.layers[0], range: nil) }
            #expect(got.error == nil && got.bytes == image.layerBytes[0])
            #expect(host.requests.count == 1)
            mirror.heal()
            _ = try await source.manifest(image.manifest)
            #expect(host.requests.count == 1)
            #expect(host.requests.allSatisfy { $0.query.isEmpty })
        }
        await mirror.stop()
        await host.stop()
    }

    @Test(arguments: [FaultyProxy.Fault.hangsUp, .truncates, .resets, .answers500, .answers401, .answers403, .answersPage, .wrongTotal])
    func aMirrorThatFailsIsPassedOver(_ fault: FaultyProxy.Fault) async throws {
        let image = try await TestImage.make()
        let registry = try await image.pushed()
        let mirror = try await FaultyProxy.start(before: registry.host)
        mirror.inject(fault, into: "/")
        try await withRemote(quietConfiguration { $0.hosts[registry.host, default: .init()].mirrors = [mirror.url] }) { remote in
            let source = try remote.source(for: try repository(registry.host))
            var asked: [Int] = []
            for _ in 0..<3 {
                let got = await drain { () throws(RemoteError) in try await source.blob(image.layers[0], range: 3..<250_000) }
                #expect(got.error == nil && got.bytes == Array(image.layerBytes[0][3..<250_000]))
                asked.append(mirror.requests.count)
            }
            // As long as a mirror that breaks off gives some bytes, it is asked for the rest: five times for every 64 KiB that came,
            // and of those are three in the 250,000 bytes. How many bytes come before a reset is chance.
            let most = fault == .truncates || fault == .resets ? 20 : 2
            #expect((1...most).contains(asked[0]), "\(asked)")
            #expect(asked[1] == asked[0] && asked[2] == asked[0], "then it is left alone: \(asked)")
        }
        await mirror.stop()
    }

    @Test func theMirrorsLogLineComesOnce() async throws {
        let image = try await TestImage.make()
        let registry = try await image.pushed()
        let port = try LoopbackPort.free()
        let log = RecordingLog()
        let configuration = quietConfiguration { $0.hosts[registry.host, default: .init()].mirrors = ["http://127.0.0.1:\(port)"] }
        try await withRemote(configuration, logger: log.logger) { remote in
            let source = try remote.source(for: try repository(registry.host))
            for _ in 0..<3 { _ = try await source.resolve(.tag("1")) }
        }
        #expect(log.text.split(separator: "\n").count { $0.contains("passed over") } == 1)
    }
}

struct OfflineTests {
    @Test func aHostThatIsDownFailsFastTheSecondTime() async throws {
        let port = try LoopbackPort.free()
        try await withRemote(quietConfiguration { $0.retries = 3 }) { remote in
            let source = try remote.source(for: try repository("127.0.0.1:\(port)"))
            #expect(await kind { _ = try await source.resolve(.tag("1")) } == .unreachable)
            let tried = remote.counters.values
            #expect(tried.requests == 4)
            let descriptor = Descriptor(mediaType: "x", digest: Digest(of: []), size: 5)
            #expect(await kind { _ = try await source.resolve(.tag("1")) } == .unreachable)
            #expect(await kind { _ = try await source.manifest(descriptor) } == .unreachable)
            #expect(await kind { _ = try await source.blob(descriptor, range: nil) } == .unreachable)
            #expect(remote.counters.values.requests == tried.requests, "no request is made to a host that is known to be down")
        }
    }

    @Test func aNameThatCannotBeResolvedIsNotTriedTwice() async throws {
        try await withRemote { remote in
            let source = try remote.source(for: try repository("registry.invalid"))
            #expect(await kind { _ = try await source.resolve(.tag("1")) } == .unreachable)
            #expect(remote.counters.values.requests == 1)
        }
    }

    @Test func afterShutdownNothingIsSent() async throws {
        let server = try await HTTPTestServer.start { _ in .init(200, text: "{}") }
        let remote = Remote(configuration: quietConfiguration(), logger: quiet)
        let source = try remote.source(for: try repository(server.host))
        #expect(await kind { _ = try await source.resolve(.tag("1")) } == nil)
        await remote.shutdown()
        #expect(await kind { _ = try await source.resolve(.tag("1")) } == .cancelled)
        #expect(server.requests.count == 1)
        await server.stop()
    }

    @Test func settingsThatCannotBeUsedAreNamed() async throws {
        let configuration = quietConfiguration {
            $0.hosts["a.example", default: .init()].url = "ftp://a"
            $0.hosts["b.example", default: .init()].mirrors = ["http://user:hidden@b"]
        }
        try await withRemote(configuration) { remote in
            #expect(await kind { _ = try remote.source(for: try repository("a.example")) } == .configuration)
            do {
                _ = try remote.source(for: try repository("b.example"))
                Issue.record("a mirror with a password in its URL was taken")
            } catch {
                #expect("\(error)".contains("b.example") && !"\(error)".contains("hidden"))
            }
        }
    }
}
