import Logging
import OCI
import Remote
import Synchronization
import TestSupport
import Testing

@Suite(.enabled(if: Shell.has("docker-registry", "skopeo", "gzip")))
struct TokenTests {
    private func withTokens(
        _ rules: TokenRegistry.Rules = .init(), file: String? = nil, adjust: @Sendable (inout RemoteConfiguration) -> Void = { _ in },
        _ body: (TokenRegistry, any BlobSource, TestImage) async throws -> Void
    ) async throws {
        let image = try await TestImage.make()
        let real = try await image.pushed()
        let server = try await TokenRegistry.start(before: real.host, rules)
        let files = try TemporaryDirectory()
        if let file { try files.write("config.json", file.replacing("HOST", with: server.host)) }
        let configuration = quietConfiguration {
            $0.environment["DOCKER_CONFIG"] = files.path
            adjust(&$0)
        }
        try await withRemote(configuration) { remote in
            try await body(server, try remote.source(for: try repository(server.host)), image)
        }
        await server.stop()
    }

    @Test func anAnonymousTokenIsFetchedOnceForManyRequests() async throws {
        try await withTokens { server, source, image in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<20 { group.addTask { _ = try await source.resolve(.tag("1")) } }
                try await group.waitForAll()
            }
            _ = try await source.manifest(image.manifest)
            #expect(server.tokens.requests.count == 1)
            #expect(server.tokens.requests.first?.method == "GET")
            #expect(server.tokens.requests.first?.headers.contains(name: "Authorization") == false)
        }
    }

    @Test func aRevokedTokenIsRenewedInMidUse() async throws {
        try await withTokens { server, source, image in
            _ = try await source.resolve(.tag("1"))
            server.revoke()
            let got = await drain { () throws(RemoteError) in try await source.blob(image.layers[0], range: nil) }
            #expect(got.error == nil && got.bytes == image.layerBytes[0])
            #expect(server.tokens.requests.count == 2)
        }
    }

    @Test func aTokenThatHasExpiredIsRenewedUnasked() async throws {
        var rules = TokenRegistry.Rules()
        rules.lifetime = 0
        try await withTokens(rules) { server, source, _ in
            _ = try await source.resolve(.tag("1"))
            let refused = server.registry.requests.count
            _ = try await source.resolve(.tag("1"))
            #expect(server.tokens.requests.count == 2)
            #expect(server.registry.requests.count == refused + 1, "no request is sent with a token known to have expired")
        }
    }

    @Test func aPasswordIsSentAsFormAndElseAsBasic() async throws {
        var rules = TokenRegistry.Rules()
        rules.user = "ann"
        rules.password = "pw"
        let file = #"{"auths":{"HOST":{"auth":"YW5uOnB3"}}}"#
        try await withTokens(rules, file: file) { server, source, _ in
            _ = try await source.resolve(.tag("1"))
            #expect(server.tokens.requests.map(\.method) == ["POST"])
        }
        rules.knowsForm = false
        try await withTokens(rules, file: file) { server, source, _ in
            _ = try await source.resolve(.tag("1"))
            #expect(server.tokens.requests.map(\.method) == ["POST", "GET"])
        }
    }

    @Test func identityAndRegistryTokensAreUsed() async throws {
        var rules = TokenRegistry.Rules()
        rules.refreshToken = "refresh-me"
        try await withTokens(rules, file: #"{"auths":{"HOST":{"auth":"PHRva2VuPjo=","identitytoken":"refresh-me"}}}"#) { server, source, _ in
            _ = try await source.resolve(.tag("1"))
            #expect(server.tokens.requests.map(\.method) == ["POST"])
        }
        // A registry token goes to the registry as it is, so the token server never hears of it.
        try await withTokens(file: #"{"auths":{"HOST":{"registrytoken":"abc"}}}"#) { server, source, _ in
            #expect(await kind { _ = try await source.resolve(.tag("1")) } == .unauthorized)
            #expect(server.tokens.requests.isEmpty)
            #expect(server.registry.requests.contains { $0.headers.first(name: "Authorization") == "Bearer abc" })
        }
    }

    @Test func aHelperOfTheHostBeatsTheFile() async throws {
        var rules = TokenRegistry.Rules()
        rules.user = "ann"
        rules.password = "pw"
        let programs = try TemporaryDirectory()
        try programs.write("docker-credential-test", "#!/bin/sh\nread -r server\necho \"$1 $server\" >> \"$0.log\"\necho '{\"ServerURL\":\"x\",\"Username\":\"ann\",\"Secret\":\"pw\"}'\n", mode: 0o755)
        let file = #"{"auths":{"HOST":{"auth":"d3Jvbmc6d3Jvbmc="}},"credHelpers":{"HOST":"test"}}"#
        try await withTokens(rules, file: file, adjust: { $0.environment["PATH"] = programs.path + ":/usr/bin:/bin" }) { server, source, _ in
            _ = try await source.resolve(.tag("1"))
            #expect(try await Shell.check("cat", [programs.path + "/docker-credential-test.log"]).text == "get \(server.host)\n")
        }
    }

    @Test func aTokenServersOutageIsWaitedOut() async throws {
        var rules = TokenRegistry.Rules()
        rules.outage = 503
        try await withTokens(rules, adjust: { $0.retries = 2 }) { server, source, _ in
            #expect(await kind { _ = try await source.resolve(.tag("1")) } == .rateLimited)
            #expect(server.tokens.requests.count == 3)
            server.change { $0.outage = nil }
            #expect(await kind { _ = try await source.resolve(.tag("1")) } == nil)
        }
    }

    @Test func secretsAppearInNoErrorAndNoLogLine() async throws {
        let log = RecordingLog()
        let secrets = ["pw-not-to-be-seen", "refresh-not-to-be-seen", "token-0-secret", "cHctbm90"]
        var rules = TokenRegistry.Rules()
        rules.user = "ann"
        rules.password = "another"
        let files = try TemporaryDirectory()
        let image = try await TestImage.make(largeLayer: 10)
        let real = try await image.pushed()
        for status in [nil, 500, 403, 302] as [Int?] {
            rules.outage = status
            let server = try await TokenRegistry.start(before: real.host, rules)
            for entry in [#""username":"ann","password":"pw-not-to-be-seen""#, #""identitytoken":"refresh-not-to-be-seen""#] {
                try files.write("config.json", #"{"auths":{"\#(server.host)":{\#(entry)}}}"#)
                try await withRemote(quietConfiguration { $0.environment["DOCKER_CONFIG"] = files.path; $0.retries = 1 }, logger: log.logger) { remote in
                    do throws(RemoteError) {
                        _ = try await remote.source(for: repository(server.host)).resolve(.tag("1"))
                        Issue.record("no error for \(entry) with \(String(describing: status))")
                    } catch {
                        for secret in secrets { #expect(!"\(error) \(error.reason) \(String(reflecting: error))".contains(secret)) }
                    }
                }
            }
            await server.stop()
        }
        #expect(!log.text.isEmpty, "a log that records nothing proves nothing")
        for secret in secrets { #expect(!log.text.contains(secret)) }
    }

    private func repository(_ host: String) throws(RemoteError) -> Repository {
        guard let repository = Repository(host: host, path: "team/app") else { throw RemoteError(.configuration, host, "no host") }
        return repository
    }
}

/// Keeps every log line, metadata included.
final class RecordingLog: Sendable {
    private let lines = Mutex<[String]>([])
    var text: String { lines.withLock { $0.joined(separator: "\n") } }

    var logger: Logger {
        var logger = Logger(label: "test", factory: { _ in Handler(log: self) })
        logger.logLevel = .trace
        return logger
    }

    private struct Handler: LogHandler {
        let log: RecordingLog
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.trace
        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }
        func log(event: LogEvent) {
            log.lines.withLock { $0.append("\(event.level) \(event.message) \(event.metadata ?? [:])") }
        }
    }
}
