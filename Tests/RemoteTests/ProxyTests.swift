import Remote
import TestSupport
import Testing

/// Through a real squid that asks for a login and alone knows where `registry.test` is.
@Suite(.enabled(if: Shell.has("docker-registry", "skopeo", "squid", "htpasswd", "gzip")))
struct ProxyTests {
    @Test func theEnvironmentsProxyIsUsedWithItsLogin() async throws {
        let image = try await TestImage.make()
        let registry = try await image.pushed()
        let files = try TemporaryDirectory()
        let port = try LoopbackPort.free()
        try files.write("hosts", "127.0.0.1 registry.test\n")
        try files.write("passwords", try await Shell.check("htpasswd", ["-nbd", "ann", "p@ss"]).bytes)
        try files.write("squid.conf", """
            http_port 127.0.0.1:\(port)
            hosts_file \(files.path)/hosts
            auth_param basic program /usr/lib/squid/basic_ncsa_auth \(files.path)/passwords
            acl known proxy_auth REQUIRED
            http_access allow known
            http_access deny all
            access_log stdio:\(files.path)/access.log
            cache_log \(files.path)/cache.log
            pid_filename none
            cache deny all
            shutdown_lifetime 0 seconds

            """)
        try await Shell.check("chmod", ["-R", "a+rwX", files.path])
        let squid = try ChildProcess("squid", ["-N", "-f", files.path + "/squid.conf"], logPath: files.path + "/log")
        try await LoopbackPort.wait(for: port, of: squid)

        let host = "registry.test:\(registry.port)"
        func pull(_ environment: [String: String]) async throws -> RemoteError? {
            let configuration = quietConfiguration {
                $0.environment.merge(environment) { $1 }
                $0.hosts[host, default: .init()].plainHTTP = true
            }
            return try await withRemote(configuration) { remote in
                let source = try remote.source(for: try repository(host))
                let got = await drain { () throws(RemoteError) in try await source.blob(image.layers[0], range: 1..<200_000) }
                if got.error == nil { #expect(got.bytes == Array(image.layerBytes[0][1..<200_000])) }
                return got.error
            }
        }
        let good = try await pull(["http_proxy": "http://ann:p%40ss@127.0.0.1:\(port)"])
        #expect(good == nil, "\(String(describing: good)) \(squid.log)")
        #expect(try await pull(["ALL_PROXY": "http://ann:p%40ss@127.0.0.1:\(port)/"]) == nil)
        // A line comes a moment after the end of a tunnel.
        while try await !Shell.check("cat", [files.path + "/access.log"]).text.contains("CONNECT \(host)") { try await Task.sleep(for: .milliseconds(20)) }
        // Without the proxy nobody knows the name.
        #expect(try await pull([:])?.kind == .unreachable)
        #expect(try await pull(["http_proxy": "http://ann:p%40ss@127.0.0.1:\(port)", "no_proxy": ".test"])?.kind == .unreachable)
        let wrong = try await pull(["http_proxy": "http://ann:wrong-secret@127.0.0.1:\(port)"])
        #expect(wrong?.kind == .configuration, "\(String(describing: wrong))")
        #expect(wrong?.description.contains("wrong-secret") == false)
        #expect(try await pull(["http_proxy": "https://127.0.0.1:\(port)"])?.kind == .configuration)
        squid.kill()
    }
}
