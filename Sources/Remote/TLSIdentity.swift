import LinuxIO
import NIOSSL

/// Whom to trust and who to be in a TLS handshake. Names files rather than holding their content, so that it can key a
/// cache of connections.
struct TLSIdentity: Hashable, Sendable {
    var authorities: [String] = []
    var certificate: String?
    var key: String?
    var verifies = true

    /// The material a user configured for a host.
    init(_ host: RemoteConfiguration.Host) {
        authorities = host.caFile.map { [$0] } ?? []
        certificate = host.clientCertificate
        key = host.clientKey
        verifies = !host.insecureTLS
    }

    /// The material in a docker-style directory `DIR/HOST[:PORT]`: `*.crt` are authorities, `NAME.cert` with `NAME.key` is
    /// the client's. nil where no directory has the host.
    init?(host: String, directories: [String]) {
        for path in directories {
            // The host's grammar has no slash, but the directory makes sure that nothing leads out of it.
            guard let directory = try? Directory(path + "/" + host), let names = try? directory.list() else { continue }
            authorities = names.filter { $0.hasSuffix(".crt") }.map { path + "/" + host + "/" + $0 }
            if let name = names.first(where: { $0.hasSuffix(".cert") && names.contains($0.dropLast(5) + ".key") }) {
                certificate = path + "/" + host + "/" + name
                key = path + "/" + host + "/" + name.dropLast(5) + ".key"
            }
            return
        }
        return nil
    }

    /// Reads the files.
    func configuration() throws(Fault) -> TLSConfiguration {
        var configuration = TLSConfiguration.makeClientConfiguration()
        if !verifies { configuration.certificateVerification = .none }
        for path in authorities {
            configuration.additionalTrustRoots.append(.certificates(try Self.reading(path) { try NIOSSLCertificate.fromPEMFile(path) }))
        }
        guard (certificate == nil) == (key == nil) else { throw Fault(.configuration, "a client certificate needs its key, and a key its certificate") }
        if let certificate, let key {
            configuration.certificateChain = try Self.reading(certificate) { try NIOSSLCertificate.fromPEMFile(certificate) }.map { .certificate($0) }
            configuration.privateKey = .privateKey(try Self.reading(key) { try NIOSSLPrivateKey(file: key, format: .pem) })
        }
        return configuration
    }

    private static func reading<Value>(_ path: String, _ body: () throws -> Value) throws(Fault) -> Value {
        do { return try body() } catch { throw Fault(.configuration, "\(path) cannot be used as a PEM file") }
    }
}
