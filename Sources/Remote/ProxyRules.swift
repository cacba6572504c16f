/// Which proxy a request goes through, by the environment's `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`,
/// lower or upper case. Loopback hosts never go through one.
struct ProxyRules: Sendable {
    struct Proxy: Hashable, Sendable {
        enum Scheme: Hashable, Sendable { case http, socks }
        let scheme: Scheme
        let host: String
        let port: Int
        let login: Credential?
    }

    private let environment: [String: String]
    private let exceptions: [Exception]
    private let exceptsAll: Bool

    init(environment: [String: String]) {
        self.environment = environment
        let words = (Self.value("no_proxy", environment) ?? "").split { $0 == "," || $0 == " " || $0 == "\t" }
        exceptsAll = words.contains("*")
        exceptions = words.compactMap { Exception(String($0)) }
    }

    /// - Throws: kind `configuration` where the variable that counts is no proxy that can be used.
    func proxy(for origin: Address.Origin) throws(Fault) -> Proxy? {
        if origin.isLoopback || exceptsAll || exceptions.contains(where: { $0.covers(origin) }) { return nil }
        for name in [origin.isSecure ? "https_proxy" : "http_proxy", "all_proxy"] {
            if let text = Self.value(name, environment) {
                guard let proxy = Proxy(text) else { throw Fault(.configuration, "\(name) is no proxy that can be used; write http://HOST:PORT or socks5://HOST:PORT") }
                return proxy
            }
        }
        return nil
    }

    private static func value(_ name: String, _ environment: [String: String]) -> String? {
        [name, name.uppercased()].lazy.compactMap { environment[$0] }.first { !$0.isEmpty }
    }
}

extension ProxyRules.Proxy {
    /// Parses `[SCHEME://][USER[:PASSWORD]@]HOST[:PORT][/]`. TLS to the proxy itself (`https://`) is not to be had.
    init?(_ text: String) {
        var rest = text[...]
        scheme = text.hasPrefix("socks") ? .socks : .http
        if let colon = text.firstRange(of: "://") {
            guard ["http", "socks5", "socks5h"].contains(text[..<colon.lowerBound].lowercased()) else { return nil }
            rest = text[colon.upperBound...]
        }
        rest = rest.prefix { $0 != "/" }
        if let at = rest.lastIndex(of: "@") {
            let parts = rest[..<at].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(Self.percentDecoded)
            login = .password(user: parts[0], secret: parts.count > 1 ? parts[1] : "")
            rest = rest[rest.index(after: at)...]
        } else {
            login = nil
        }
        guard let origin = Address.Origin(authority: rest, isSecure: false) else { return nil }
        host = origin.host.hasPrefix("[") ? String(origin.host.dropFirst().dropLast()) : origin.host
        port = scheme == .socks && origin.hasDefaultPort && !rest.hasSuffix(":80") ? 1080 : Int(origin.port)
    }

    private static func percentDecoded(_ text: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%"), let code = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16), rest.count >= 2 {
                bytes.append(code)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// One word of `no_proxy`: a name with all names below it, an address, or a network; each with an optional port.
private struct Exception: Sendable {
    private enum Form: Sendable {
        case name(String)
        case network(IPAddress, bits: Int)
    }

    private let form: Form
    private let port: UInt16?

    init?(_ word: String) {
        var word = word.lowercased()
        if let slash = word.firstIndex(of: "/") {
            guard let address = IPAddress(word[..<slash]), let bits = Int(word[word.index(after: slash)...]), (0...address.bytes.count * 8).contains(bits) else { return nil }
            form = .network(address, bits: bits)
            port = nil
            return
        }
        if let address = IPAddress(word) {
            form = .network(address, bits: address.bytes.count * 8)
            port = nil
            return
        }
        if let colon = word.lastIndex(of: ":"), let number = UInt16(word[word.index(after: colon)...]) {
            port = number
            word = String(word[..<colon])
        } else {
            port = nil
        }
        if let address = IPAddress(word) {
            form = .network(address, bits: address.bytes.count * 8)
            return
        }
        if word.hasPrefix("*.") { word.removeFirst(2) } else if word.hasPrefix(".") { word.removeFirst() }
        guard !word.isEmpty else { return nil }
        form = .name(word)
    }

    func covers(_ origin: Address.Origin) -> Bool {
        if let port, port != origin.port { return false }
        switch form {
        case .name(let name): return origin.host == name || origin.host.hasSuffix("." + name)
        case .network(let network, let bits): return IPAddress(origin.host)?.isInside(network, bits: bits) ?? false
        }
    }
}
