import OCI
import Remote
import TestSupport
import Testing

/// Every fault of the network against every call: the right bytes, or an error that says what is wrong.
@Suite(.serialized, .enabled(if: Shell.has("docker-registry", "skopeo", "gzip")))
struct FaultTests {
    enum Call: String, Sendable, CaseIterable {
        case resolveTag, resolveDigest, manifest, config, wholeBlob, partOfBlob

        var readsBlob: Bool { self == .config || self == .wholeBlob || self == .partOfBlob }

        func right(_ image: TestImage) throws -> (digest: Digest?, bytes: [UInt8]?) {
            switch self {
            case .resolveTag: (image.index.digest, nil)
            case .resolveDigest, .manifest: (image.manifest.digest, nil)
            case .config: (image.config.digest, nil)
            case .wholeBlob: (nil, image.layerBytes[0])
            case .partOfBlob: (nil, Array(image.layerBytes[0][1000..<250_000]))
            }
        }

        func perform(_ source: any BlobSource, _ image: TestImage) async -> (bytes: [UInt8], error: RemoteError?) {
            do throws(RemoteError) {
                switch self {
                case .resolveTag: return (try await source.resolve(.tag("1")).bytes, nil)
                case .resolveDigest: return (try await source.resolve(.digest(image.manifest.digest)).bytes, nil)
                case .manifest: return (try await source.manifest(image.manifest), nil)
                case .config: return await drain { () throws(RemoteError) in try await source.blob(image.config, range: nil) }
                case .wholeBlob: return await drain { () throws(RemoteError) in try await source.blob(image.layers[0], range: nil) }
                case .partOfBlob: return await drain { () throws(RemoteError) in try await source.blob(image.layers[0], range: 1000..<250_000) }
                }
            } catch {
                return ([], error)
            }
        }
    }

    /// What a fault that happens once must lead to: nil stands for the right bytes.
    private func expected(_ fault: FaultyProxy.Fault, _ call: Call) -> Set<RemoteError.Kind?> {
        switch fault {
        case .truncates, .resets, .stalls, .hangsUp, .answers429, .answers500, .answers503, .ignoresRange: [nil]
        case .flipsByte: call.readsBlob ? [nil] : [.wrongBytes]
        case .answers400: call == .partOfBlob ? [nil] : [.badAnswer(status: 400)]
        case .answers401: [.unauthorized]
        case .answers403: [.denied]
        case .answers404: [.notFound]
        case .answers416: [.badAnswer(status: 416)]
        case .wrongContentRange, .wrongTotal: call == .partOfBlob ? [.wrongBytes] : [nil]
        case .noContentRange: call == .partOfBlob ? [.badAnswer(status: 206)] : [nil]
        case .overlong: [.wrongBytes]
        case .redirectsForEver: [nil]
        case .encodes: [.badAnswer(status: 200), .badAnswer(status: 206)]
        case .answersPage: call == .resolveTag ? [.badAnswer(status: 200)] : [.wrongBytes]
        }
    }

    /// Only where the network is silent a clock ends the request. A slow answer must not be taken for silence: it would be asked
    /// for again, when the fault has passed.
    private func stallingSoon(_ fault: FaultyProxy.Fault, _ adjust: (inout RemoteConfiguration) -> Void = { _ in }) -> RemoteConfiguration {
        quietConfiguration {
            if fault == .stalls { $0.stallTimeout = .seconds(1) }
            adjust(&$0)
        }
    }

    @Test func aFaultThatPassesIsSurvivedOrNamed() async throws {
        let image = try await TestImage.make()
        let registry = try await image.pushed()
        let proxy = try await FaultyProxy.start(before: registry.host)
        for fault in FaultyProxy.Fault.allCases {
            for call in Call.allCases {
                try await withRemote(stallingSoon(fault)) { remote in
                    let source = try remote.source(for: try repository(proxy.host))
                    proxy.inject(fault, into: "/", count: 1)
                    let got = await call.perform(source, image)
                    #expect(expected(fault, call).contains(got.error?.kind), "\(fault) \(call): \(got.error.map { "\($0)" } ?? "no error")")
                    try check(got, call, image, mayDiffer: fault == .flipsByte || fault == .overlong && !call.readsBlob, "\(fault) \(call)")
                    if let error = got.error { #expect(error.description.contains("team/app"), "\(error)") }
                    proxy.heal()
                    let again = await call.perform(source, image)
                    #expect(again.error == nil, "after \(fault) \(call): \(again.error.map { "\($0)" } ?? "")")
                }
            }
        }
        await proxy.stop()
    }

    @Test func aFaultThatStaysEndsInACleanError() async throws {
        let image = try await TestImage.make()
        let registry = try await image.pushed()
        let proxy = try await FaultyProxy.start(before: registry.host)
        for fault in FaultyProxy.Fault.allCases {
            for call in Call.allCases {
                try await withRemote(stallingSoon(fault) { $0.retries = 2 }) { remote in
                    let source = try remote.source(for: try repository(proxy.host))
                    proxy.inject(fault, into: "/")
                    let got = await call.perform(source, image)
                    try check(got, call, image, mayDiffer: fault == .flipsByte, "\(fault) \(call)")
                    let harmless = fault == .ignoresRange || fault == .flipsByte && call.readsBlob
                        || [.wrongContentRange, .wrongTotal, .noContentRange].contains(fault) && call != .partOfBlob
                    #expect((got.error == nil) == harmless, "\(fault) \(call): \(got.error.map { "\($0)" } ?? "no error")")
                }
            }
        }
        await proxy.stop()
    }

    /// Without an error exactly the right bytes; with one, none but right ones before it.
    private func check(_ got: (bytes: [UInt8], error: RemoteError?), _ call: Call, _ image: TestImage, mayDiffer: Bool, _ what: String) throws {
        let right = try call.right(image)
        if let bytes = right.bytes {
            if mayDiffer {
                #expect(got.error != nil || got.bytes.count == bytes.count, "\(what)")
            } else if got.error == nil {
                #expect(got.bytes == bytes, "\(what)")
            } else {
                #expect(bytes.starts(with: got.bytes), "\(what)")
            }
        } else if let digest = right.digest, got.error == nil, !mayDiffer {
            #expect(Digest(of: got.bytes) == digest, "\(what)")
        }
    }

    @Test func aBrokenStreamGoesOnWhereItBroke() async throws {
        let image = try await TestImage.make()
        let registry = try await image.pushed()
        let proxy = try await FaultyProxy.start(before: registry.host)
        proxy.inject(.truncates, into: "/blobs/", count: 2)
        try await withRemote { remote in
            let source = try remote.source(for: try repository(proxy.host))
            let got = await drain { () throws(RemoteError) in try await source.blob(image.layers[0], range: nil) }
            #expect(got.error == nil && got.bytes == image.layerBytes[0])
            let ranges = proxy.requests.map { $0.headers.first(name: "Range") }
            #expect(ranges.count == 3 && ranges[0] == nil && ranges[1] != nil && ranges[2] != nil, "\(ranges)")
            #expect(remote.counters.values.retries == 2)
        }
        await proxy.stop()
    }

    @Test func aServerThatIgnoresRangeIsRemembered() async throws {
        let image = try await TestImage.make()
        let registry = try await image.pushed()
        let proxy = try await FaultyProxy.start(before: registry.host)
        proxy.inject(.answers400, into: "/blobs/", count: 1)
        try await withRemote { remote in
            let source = try remote.source(for: try repository(proxy.host))
            #expect(source.servesRanges)
            for _ in 0..<3 {
                let got = await drain { () throws(RemoteError) in try await source.blob(image.layers[0], range: 5..<5000) }
                #expect(got.error == nil && got.bytes == Array(image.layerBytes[0][5..<5000]))
            }
            #expect(!source.servesRanges)
            #expect(proxy.requests.map { $0.headers.contains(name: "Range") } == [true, false, false, false])
        }
        await proxy.stop()
    }

    @Test func retryAfterBeyondTheDeadlineIsNotWaitedFor() async throws {
        let server = try await HTTPTestServer.start { _ in .init(429, headers: ["Retry-After": "86400"]) }
        try await withRemote { remote in
            let source = try remote.source(for: try repository(server.host))
            #expect(await kind { _ = try await source.resolve(.tag("1")) } == .rateLimited)
            #expect(server.requests.count == 1)
        }
        await server.stop()
    }

    @Test func retriesAreCounted() async throws {
        let server = try await HTTPTestServer.start { _ in .init(500) }
        try await withRemote(quietConfiguration { $0.retries = 3 }) { remote in
            let source = try remote.source(for: try repository(server.host))
            #expect(await kind { _ = try await source.resolve(.tag("1")) } == .badAnswer(status: 500))
            #expect(server.requests.count == 4)
            let values = remote.counters.values
            #expect(values.requests == 4 && values.retries == 3 && values.failures == 1)
        }
        await server.stop()
    }

    @Test func anEndlessManifestIsCutOff() async throws {
        let server = try await HTTPTestServer.start { request in
            var response = HTTPTestServer.Response(200, body: Array(repeating: UInt8(ascii: " "), count: ManifestDocument.sizeLimit + 1))
            if request.number == 1 { response.length = nil }
            return response
        }
        try await withRemote { remote in
            let source = try remote.source(for: try repository(server.host))
            #expect(await kind { _ = try await source.resolve(.tag("1")) } == .tooLarge)
            #expect(await kind { _ = try await source.resolve(.tag("1")) } == .tooLarge)
        }
        await server.stop()
    }
}
