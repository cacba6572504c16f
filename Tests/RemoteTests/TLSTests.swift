import Remote
import TestSupport
import Testing

/// A registry behind nginx, which speaks TLS with certificates of a test authority, HTTP/2 included.
@Suite(.enabled(if: Shell.has("docker-registry", "skopeo", "nginx", "openssl", "gzip")))
struct TLSTests {
    /// Certificates and the front.
    private final class Front: Sendable {
        let files: TemporaryDirectory
        let port: Int
        let process: ChildProcess
        var host: String { "localhost:\(port)" }
        var authority: String { files.path + "/ca.crt" }

        init(before upstream: String, asksForCertificate: Bool) async throws {
            files = try TemporaryDirectory()
            let path = files.path
            try await Shell.check("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", path + "/ca.key", "-out", path + "/ca.crt", "-days", "2", "-subj", "/CN=Larder test authority"])
            for (name, extensions) in [("server", "subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\n"), ("client", "extendedKeyUsage=clientAuth\n")] {
                let request = "\(path)/\(name)"
                try await Shell.check("openssl", ["req", "-newkey", "rsa:2048", "-nodes", "-keyout", request + ".key", "-out", request + ".csr", "-subj", "/CN=\(name)"])
                let extensionsPath = try files.write("\(name).ext", extensions)
                try await Shell.check("openssl", ["x509", "-req", "-in", request + ".csr", "-CA", path + "/ca.crt", "-CAkey", path + "/ca.key", "-CAcreateserial", "-days", "2", "-extfile", extensionsPath, "-out", request + ".cert"])
            }
            port = try LoopbackPort.free()
            let client = asksForCertificate ? "ssl_client_certificate \(path)/ca.crt; ssl_verify_client on;" : ""
            let configuration = try files.write("nginx.conf", """
                daemon off; worker_processes 1; pid \(path)/pid; error_log \(path)/error.log;
                events {}
                http {
                    access_log \(path)/access.log;
                    client_body_temp_path \(path)/t1; proxy_temp_path \(path)/t2; fastcgi_temp_path \(path)/t3; uwsgi_temp_path \(path)/t4; scgi_temp_path \(path)/t5;
                    server {
                        listen 127.0.0.1:\(port) ssl http2;
                        server_name localhost;
                        ssl_certificate \(path)/server.cert; ssl_certificate_key \(path)/server.key; \(client)
                        location / { proxy_pass http://\(upstream); proxy_set_header Host $http_host; }
                    }
                }

                """)
            process = try ChildProcess("nginx", ["-c", configuration, "-e", path + "/error.log", "-p", path], logPath: path + "/log")
            try await LoopbackPort.wait(for: port, of: process)
        }

        deinit { process.terminate() }
    }

    private static func pull(_ host: String, _ image: TestImage, _ adjust: (inout RemoteConfiguration.Host) -> Void = { _ in }, directories: [String] = []) async throws -> RemoteError? {
        var settings = RemoteConfiguration.Host()
        // A loopback host would else be taken for plain HTTP.
        settings.plainHTTP = false
        adjust(&settings)
        let configuration = quietConfiguration {
            $0.hosts[host] = settings
            $0.certificateDirectories = directories
        }
        return try await withRemote(configuration) { remote in
            let source = try remote.source(for: try repository(host))
            let got = await drain { () throws(RemoteError) in try await source.blob(image.layers[0], range: 7..<250_000) }
            if got.error == nil { #expect(got.bytes == Array(image.layerBytes[0][7..<250_000])) }
            return got.error
        }
    }

    @Test func onlyAnAuthorityThatIsNamedIsTrusted() async throws {
        let image = try await TestImage.make()
        let registry = try await image.pushed()
        let front = try await Front(before: registry.host, asksForCertificate: false)
        let stranger = try await Self.pull(front.host, image)
        #expect(stranger?.kind == .unreachable)
        #expect(stranger?.description.contains("not trusted") == true, "\(String(describing: stranger))")
        #expect(try await Self.pull(front.host, image, { $0.caFile = front.authority }) == nil)
        #expect(try await Self.pull(front.host, image, { $0.insecureTLS = true }) == nil)
        // The certificate is for localhost only.
        let other = try await Self.pull("127.0.0.1:\(front.port)", image, { $0.caFile = front.authority })
        #expect(other?.description.contains("not trusted") == true, "\(String(describing: other))")
        // A line comes a moment after the last byte of an answer.
        while try await !Shell.check("cat", [front.files.path + "/access.log"]).text.contains("\n") { try await Task.sleep(for: .milliseconds(20)) }
        #expect(try await Shell.check("cat", [front.files.path + "/access.log"]).text.contains("HTTP/2.0"))
    }

    @Test func dockersCertificateDirectoriesAreRead() async throws {
        let image = try await TestImage.make()
        let registry = try await image.pushed()
        let front = try await Front(before: registry.host, asksForCertificate: true)
        let directories = try TemporaryDirectory()
        for (from, name) in [("ca.crt", "ca.crt"), ("client.cert", "client.cert"), ("client.key", "client.key")] {
            try directories.write("\(front.host)/\(name)", try await Shell.check("cat", ["\(front.files.path)/\(from)"]).bytes)
        }
        #expect(try await Self.pull(front.host, image, directories: [directories.path + "/absent", directories.path]) == nil)
    }

    @Test func aClientCertificateIsShown() async throws {
        let image = try await TestImage.make()
        let registry = try await image.pushed()
        let front = try await Front(before: registry.host, asksForCertificate: true)
        let nameless = try await Self.pull(front.host, image, { $0.caFile = front.authority })
        #expect(nameless != nil)
        let named = try await Self.pull(front.host, image) {
            $0.caFile = front.authority
            $0.clientCertificate = front.files.path + "/client.cert"
            $0.clientKey = front.files.path + "/client.key"
        }
        #expect(named == nil, "\(String(describing: named))")
        let half = try await Self.pull(front.host, image) { $0.clientCertificate = front.files.path + "/client.cert" }
        #expect(half?.kind == .configuration)
        let absent = try await Self.pull(front.host, image) { $0.caFile = "/nonexistent/ca.pem" }
        #expect(absent?.kind == .configuration)
        #expect(absent?.description.contains("/nonexistent/ca.pem") == true)
    }

    @Test func plainHTTPWhereTLSWasMeantSaysSo() async throws {
        let image = try await TestImage.make()
        let registry = try await image.pushed()
        let error = try await Self.pull(registry.host, image)
        #expect(error?.description.contains("plainHTTP for \(registry.host)") == true, "\(String(describing: error))")
    }
}
