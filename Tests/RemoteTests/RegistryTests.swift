import OCI
import Remote
import TestSupport
import Testing

/// Against Debian's docker-registry, filled by skopeo.
@Suite(.enabled(if: Shell.has("docker-registry", "skopeo", "htpasswd", "gzip")))
struct RegistryTests {
    @Test func everythingSkopeoPushedComesBack() async throws {
        let image = try await TestImage.make()
        let registry = try await image.pushed()
        try await withRemote { remote in
            let source = try remote.source(for: try repository(registry.host))
            let top = try await source.resolve(.tag("1"))
            #expect(top.descriptor.digest == image.index.digest)
            #expect(top.descriptor.mediaType == MediaType.index)
            #expect(top.descriptor.size == UInt64(top.bytes.count))
            #expect(try await source.resolve(.digest(image.manifest.digest)).descriptor.digest == image.manifest.digest)
            #expect(Digest(of: try await source.manifest(image.manifest)) == image.manifest.digest)
            for (descriptor, bytes) in zip(image.layers, image.layerBytes) {
                let whole = await drain { () throws(RemoteError) in try await source.blob(descriptor, range: nil) }
                #expect(whole.error == nil && whole.bytes == bytes)
                let part = await drain { () throws(RemoteError) in try await source.blob(descriptor, range: 100..<2000) }
                #expect(part.error == nil && part.bytes == Array(bytes[100..<2000]))
            }
        }
    }

    @Test func randomRangesAreExact() async throws {
        let image = try await TestImage.make()
        let registry = try await image.pushed()
        var random = SeededGenerator.named("randomRangesAreExact")
        try await withRemote { remote in
            let source = try remote.source(for: try repository(registry.host))
            let size = image.layers[0].size
            for _ in 0..<100 {
                let start = UInt64.random(in: 0...size, using: &random)
                let end = UInt64.random(in: start...size, using: &random)
                let got = await drain { () throws(RemoteError) in try await source.blob(image.layers[0], range: start..<end) }
                #expect(got.error == nil && got.bytes == Array(image.layerBytes[0][Int(start)..<Int(end)]), "\(start)..<\(end)")
            }
            #expect(source.servesRanges)
        }
    }

    @Test func whatIsNotThereIsNotFound() async throws {
        let image = try await TestImage.make(largeLayer: 10)
        let registry = try await image.pushed()
        try await withRemote { remote in
            let source = try remote.source(for: try repository(registry.host))
            let other = try remote.source(for: try repository(registry.host, "team/other"))
            let unknown = Descriptor(mediaType: MediaType.manifest, digest: Digest(of: [1]), size: 1)
            #expect(await kind { _ = try await source.resolve(.tag("2")) } == .notFound)
            #expect(await kind { _ = try await other.resolve(.tag("1")) } == .notFound)
            #expect(await kind { _ = try await source.resolve(.digest(unknown.digest)) } == .notFound)
            #expect(await kind { _ = try await source.manifest(unknown) } == .notFound)
            #expect(await kind { _ = try await source.blob(unknown, range: nil) } == .notFound)
        }
    }

    @Test func aDescriptorWithTheWrongSizeIsFoundOut() async throws {
        let image = try await TestImage.make()
        let registry = try await image.pushed()
        try await withRemote { remote in
            let source = try remote.source(for: try repository(registry.host))
            var wrong = image.layers[0]
            wrong.size += 1
            let shared = wrong
            #expect(await drain { () throws(RemoteError) in try await source.blob(shared, range: nil) }.error?.kind == .wrongBytes)
            #expect(await drain { () throws(RemoteError) in try await source.blob(shared, range: 5..<10) }.error?.kind == .wrongBytes)
            // Beyond the real end: the registry says 416.
            let beyond = await drain { () throws(RemoteError) in try await source.blob(shared, range: (shared.size - 1)..<shared.size) }
            #expect(beyond.error != nil && beyond.bytes.isEmpty)
            var manifest = image.manifest
            manifest.size -= 1
            let short = manifest
            #expect(await kind { _ = try await source.manifest(short) } == .wrongBytes)
        }
    }

    @Test func basicLoginsComeFromDockersFile() async throws {
        let login = (user: "ann", password: "s3cret:with:colons")
        let image = try await TestImage.make(largeLayer: 10)
        let registry = try await image.pushed(login: login)
        let files = try TemporaryDirectory()
        let auth = try await Shell.check("base64", ["-w0"], input: Array("\(login.user):\(login.password)".utf8)).text
        try files.write("config.json", #"{"auths":{"\#(registry.host)":{"auth":"\#(auth)"}}}"#)
        let configuration = quietConfiguration { $0.environment["DOCKER_CONFIG"] = files.path }
        try await withRemote(configuration) { remote in
            let source = try remote.source(for: try repository(registry.host))
            #expect(try await source.resolve(.tag("1")).descriptor.digest == image.index.digest)
            let before = remote.counters.values.requests
            _ = try await source.manifest(image.manifest)
            #expect(remote.counters.values.requests == before + 1, "a known login is sent without being asked for")
        }
        try await withRemote { remote in
            let source = try remote.source(for: try repository(registry.host))
            do throws(RemoteError) {
                _ = try await source.resolve(.tag("1"))
                Issue.record("no login, and no error")
            } catch {
                #expect(error.kind == .unauthorized)
                #expect(error.description.contains("docker login \(registry.host)"))
            }
        }
        try files.write("config.json", #"{"auths":{"\#(registry.host)":{"username":"ann","password":"wrong-password"}}}"#)
        try await withRemote(configuration) { remote in
            let source = try remote.source(for: try repository(registry.host))
            do throws(RemoteError) {
                _ = try await source.resolve(.tag("1"))
                Issue.record("a wrong login, and no error")
            } catch {
                #expect(error.kind == .unauthorized)
                #expect(!error.description.contains("wrong-password"))
            }
        }
    }

    @Test func aLoginThatIsMadeLaterCounts() async throws {
        let login = (user: "ann", password: "pw")
        let image = try await TestImage.make(largeLayer: 10)
        let registry = try await image.pushed(login: login)
        let files = try TemporaryDirectory()
        try await withRemote(quietConfiguration { $0.environment["REGISTRY_AUTH_FILE"] = files.path + "/auth.json" }) { remote in
            let source = try remote.source(for: try repository(registry.host))
            #expect(await kind { _ = try await source.resolve(.tag("1")) } == .unauthorized)
            try files.write("auth.json", #"{"auths":{"\#(registry.host)/team":{"username":"ann","password":"pw"}}}"#)
            #expect(await kind { _ = try await source.resolve(.tag("1")) } == nil)
        }
    }

    @Test func cancellingEndsAtOnce() async throws {
        let image = try await TestImage.make()
        let registry = try await image.pushed()
        let proxy = try await FaultyProxy.start(before: registry.host)
        proxy.inject(.stalls, into: "/")
        try await withRemote(quietConfiguration { $0.stallTimeout = .seconds(3600); $0.requestDeadline = .seconds(7200) }) { remote in
            let source = try remote.source(for: try repository(proxy.host))
            let layer = image.layers[0]
            let calls: [@Sendable () async throws -> Void] = [
                { _ = try await source.resolve(.tag("1")) },
                { _ = try await source.manifest(image.manifest) },
                { for try await _ in try await source.blob(layer, range: nil) {} },
                { for try await _ in try await source.blob(layer, range: 10..<200_000) {} },
            ]
            for call in calls {
                let seen = proxy.requests.count
                let task = Task { await kind { try await call() } }
                while proxy.requests.count == seen { await Task.yield() }
                task.cancel()
                #expect(await task.value == .cancelled)
            }
            // Nine stalled streams would fill the eight places of the gate for ever if cancelling leaked one.
            for _ in 0..<9 {
                let task = Task { await kind { for try await _ in try await source.blob(layer, range: nil) {} } }
                task.cancel()
                #expect(await task.value == .cancelled)
            }
            proxy.heal()
            #expect(await kind { _ = try await source.resolve(.tag("1")) } == nil)
        }
        await proxy.stop()
    }

    @Test func aStreamThatIsLetGoOfFreesItsPlace() async throws {
        let image = try await TestImage.make()
        let registry = try await image.pushed()
        try await withRemote(quietConfiguration { $0.concurrency = 1 }) { remote in
            let source = try remote.source(for: try repository(registry.host))
            for _ in 0..<5 {
                let stream = try await source.blob(image.layers[0], range: nil)
                var parts = stream.makeAsyncIterator()
                #expect(try await parts.next() != nil)
            }
            for _ in 0..<5 { _ = try await source.blob(image.layers[0], range: 0..<10) }
            #expect(await kind { _ = try await source.resolve(.tag("1")) } == nil)
        }
    }

    @Test func manyReadersShareFewConnections() async throws {
        let image = try await TestImage.make()
        let registry = try await image.pushed()
        try await withRemote(quietConfiguration { $0.concurrency = 3 }) { remote in
            let source = try remote.source(for: try repository(registry.host))
            let bytes = image.layerBytes[0]
            try await withThrowingTaskGroup(of: Bool.self) { group in
                for number in 0..<60 {
                    group.addTask {
                        let range = UInt64(number * 1000)..<UInt64(number * 1000 + 5000)
                        let got = await drain { () throws(RemoteError) in try await source.blob(image.layers[0], range: range) }
                        return got.error == nil && got.bytes == Array(bytes[Int(range.lowerBound)..<Int(range.upperBound)])
                    }
                }
                for try await isRight in group { #expect(isRight) }
            }
        }
    }
}
