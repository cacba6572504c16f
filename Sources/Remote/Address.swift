import OCI

/// An http or https URL in the parts that matter here. Fragments are dropped and user information is refused, so an
/// address never carries credentials except in its query, which `description` leaves out.
struct Address: Hashable, Sendable, CustomStringConvertible {
    /// Who is talked to: what decides whether a credential, a certificate or a cookie may be sent.
    struct Origin: Hashable, Sendable, CustomStringConvertible {
        let isSecure: Bool
        /// Lower case; an IPv6 address in brackets.
        let host: String
        let port: UInt16

        var hasDefaultPort: Bool { port == (isSecure ? 443 : 80) }

        /// Host and port as a registry is named.
        var authority: String { hasDefaultPort ? host : "\(host):\(port)" }

        /// On this very machine, where nobody can listen in: plain HTTP is fine and no proxy is asked.
        var isLoopback: Bool {
            if host == "localhost" || host.hasSuffix(".localhost") || host == "[::1]" { return true }
            return IPAddress(host).map { $0.bytes.count == 4 && $0.bytes[0] == 127 } ?? false
        }

        var description: String { (isSecure ? "https://" : "http://") + authority }
    }

    let origin: Origin
    /// Path and query; begins with `/`.
    let target: String

    static let lengthLimit = 16 << 10

    private init(origin: Origin, target: String) {
        self.origin = origin
        self.target = target
    }

    /// nil where the text is no http(s) URL of at most `lengthLimit` bytes.
    init?(_ text: String) {
        guard text.utf8.count <= Self.lengthLimit, let colon = text.firstRange(of: "://") else { return nil }
        let isSecure: Bool
        switch text[..<colon.lowerBound].lowercased() {
        case "http": isSecure = false
        case "https": isSecure = true
        default: return nil
        }
        let rest = text[colon.upperBound...]
        let end = rest.firstIndex { $0 == "/" || $0 == "?" || $0 == "#" } ?? rest.endIndex
        guard let origin = Origin(authority: rest[..<end], isSecure: isSecure) else { return nil }
        self.init(origin: origin, target: Self.encoded(rest[end...]))
    }

    /// The address a `Location` header names, relative to this one (RFC 9110 10.2.2).
    func resolving(_ location: String) -> Address? {
        guard location.utf8.count <= Self.lengthLimit else { return nil }
        if location.hasPrefix("//") { return Address((origin.isSecure ? "https:" : "http:") + location) }
        if location.hasPrefix("/") { return Address(origin: origin, target: Self.encoded(location[...])) }
        if location.firstRange(of: "://") != nil, let absolute = Address(location) { return absolute }
        guard !location.isEmpty, !location.prefix(while: { $0 != "/" && $0 != "?" }).contains(":") else { return nil }
        let path = target.prefix { $0 != "?" }
        let base = location.hasPrefix("?") ? path : path[...(path.lastIndex(of: "/") ?? path.startIndex)]
        return Address(origin: origin, target: Self.encoded(base + location))
    }

    /// The address with `path` put behind its own path, which loses a trailing `/`. `path` begins with `/`.
    func appending(_ path: String) -> Address {
        var base = target.prefix { $0 != "?" }
        while base.hasSuffix("/") { base.removeLast() }
        return Address(origin: origin, target: base + path)
    }

    /// The address with one more parameter, already encoded, behind those it has; nil where it gets too long.
    func adding(query: String) -> Address? {
        guard target.utf8.count + query.utf8.count < Self.lengthLimit else { return nil }
        return Address(origin: origin, target: target + (target.contains("?") ? "&" : "?") + query)
    }

    /// As HTTP libraries want it.
    var url: String { origin.description + target }

    var description: String { origin.description + target.prefix { $0 != "?" } }

    /// Path and query with whatever may not stand in a request line percent-encoded.
    private static func encoded(_ text: Substring) -> String {
        var bytes: [UInt8] = text.utf8.first == UInt8(ascii: "/") ? [] : [UInt8(ascii: "/")]
        for byte in text.utf8 {
            if byte == UInt8(ascii: "#") { break }
            if byte > 0x20 && byte < 0x7f && !"\"<>\\^`{|}".utf8.contains(byte) {
                bytes.append(byte)
            } else {
                let digits = Array("0123456789ABCDEF".utf8)
                bytes += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

extension Address.Origin {
    /// Parses `HOST[:PORT]`; user information makes it nil.
    init?(authority: some StringProtocol, isSecure: Bool) {
        let text = String(authority).lowercased()
        guard Repository.isHost(text) else { return nil }
        self.isSecure = isSecure
        if let colon = text.lastIndex(of: ":"), text.last != "]" {
            guard let port = UInt16(text[text.index(after: colon)...]), port > 0 else { return nil }
            host = String(text[..<colon])
            self.port = port
        } else {
            host = text
            port = isSecure ? 443 : 80
        }
    }
}
