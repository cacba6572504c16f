import FoundationEssentials
import OCI

/// Docker's `config.json` and containers' `auth.json`, as far as they say how to log in. The two differ in that the
/// keys of the latter may have a path, `host/namespace/repo`, and the longest that fits counts.
struct CredentialFile: Sendable {
    /// What the file says for one repository.
    enum Entry: Hashable, Sendable {
        case credential(Credential)
        /// Ask the program `docker-credential-NAME`, and take `otherwise` if it has nothing.
        case helper(name: String, server: String, otherwise: Credential?)
    }

    private var credentials: [String: Credential] = [:]
    private var helpers: [String: String] = [:]
    private var store: String?
    /// Keys as the file spells them, because that is what helpers know servers by.
    private var spelling: [String: String] = [:]

    /// A file is read up to this many bytes.
    static let sizeLimit = 1 << 20

    /// nil where the bytes are not such a file. An entry that makes no sense is passed over, the others count.
    init?(decoding bytes: [UInt8]) {
        guard bytes.count <= Self.sizeLimit, let file = try? JSONText.decode(Layout.self, from: bytes) else { return nil }
        for (key, entry) in file.auths ?? [:] {
            spelling[Self.normalized(key)] = key
            if let credential = entry.value?.credential { credentials[Self.normalized(key)] = credential }
        }
        for (key, name) in file.credHelpers ?? [:] {
            spelling[Self.normalized(key)] = key
            if let name = name.value, Self.isHelperName(name) { helpers[Self.normalized(key)] = name }
        }
        store = file.credsStore.flatMap { Self.isHelperName($0) ? $0 : nil }
    }

    /// A helper of the host beats the store for all hosts, which beats what stands in the file itself.
    func entry(host: String, repository: String) -> Entry? {
        let keys = Self.keys(host: Self.normalized(host), repository: repository)
        let stored = keys.lazy.compactMap { credentials[$0] }.first
        if let key = keys.first(where: { helpers[$0] != nil }), let name = helpers[key] {
            return .helper(name: name, server: server(key), otherwise: stored)
        }
        if let store, let key = keys.last { return .helper(name: store, server: server(key), otherwise: stored) }
        return stored.map { .credential($0) }
    }

    private func server(_ key: String) -> String { spelling[key] ?? (key == "docker.io" ? Self.legacyHub : key) }

    /// Docker Hub is logged into under the name of its first index.
    static let legacyHub = "https://index.docker.io/v1/"

    /// `host/a/b`, `host/a`, `host`.
    private static func keys(host: String, repository: String) -> [String] {
        var keys: [String] = []
        var path = Substring(repository)
        while !path.isEmpty {
            keys.append(host + "/" + path)
            path = path.lastIndex(of: "/").map { path[..<$0] } ?? ""
        }
        return keys + [host]
    }

    /// The key without scheme, API version and trailing slash, and with one name for Docker Hub.
    static func normalized(_ key: String) -> String {
        var key = key
        var isURL = false
        for scheme in ["https://", "http://"] where key.hasPrefix(scheme) {
            key.removeFirst(scheme.count)
            isURL = true
        }
        while key.hasSuffix("/") { key.removeLast() }
        if isURL { for version in ["/v1", "/v2"] where key.hasSuffix(version) { key.removeLast(version.count) } }
        let slash = key.firstIndex(of: "/") ?? key.endIndex
        let host = key[..<slash].lowercased()
        let isHub = host == "index.docker.io" || host == "registry-1.docker.io"
        if isHub && key[slash...] == "/v1" { return "docker.io" }
        return (isHub ? "docker.io" : host) + key[slash...]
    }

    /// A helper is a program on PATH: no name may lead elsewhere.
    static func isHelperName(_ name: String) -> Bool {
        !name.isEmpty && name.utf8.count <= 64
            && name.utf8.allSatisfy { (48...57).contains($0) || (65...90).contains($0) || (97...122).contains($0) || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: ".") }
    }
}

extension CredentialFile {
    private struct Layout: Decodable {
        var auths: [String: Lenient<Login>]?
        var credHelpers: [String: Lenient<String>]?
        var credsStore: String?
    }

    /// A value that may be of any other type without spoiling the whole file.
    private struct Lenient<Value: Decodable>: Decodable {
        let value: Value?
        init(from decoder: any Decoder) { value = try? Value(from: decoder) }
    }

    private struct Login: Decodable {
        var auth: String?
        var username: String?
        var password: String?
        var identitytoken: String?
        var registrytoken: String?

        var credential: Credential? {
            if let token = registrytoken, !token.isEmpty { return .registryToken(token) }
            if let token = identitytoken, !token.isEmpty { return .identityToken(token) }
            if let auth, !auth.isEmpty {
                guard let data = Data(base64Encoded: auth), let colon = data.firstIndex(of: UInt8(ascii: ":")) else { return nil }
                // Docker pads the secret with NUL.
                let secret = data[data.index(after: colon)...].prefix { $0 != 0 }
                return .password(user: String(decoding: data[..<colon], as: UTF8.self), secret: String(decoding: secret, as: UTF8.self))
            }
            guard let username, let password else { return nil }
            return .password(user: username, secret: password)
        }
    }
}
