/// One challenge of a `WWW-Authenticate` header (RFC 9110 11.6.1): how a registry wants to be shown who is asking.
struct Challenge: Hashable, Sendable {
    /// Lower case, such as `bearer`.
    let scheme: String
    /// By lower-case name.
    let parameters: [String: String]

    var realm: String? { parameters["realm"] }
    var service: String? { parameters["service"] }
    var scope: String? { parameters["scope"] }

    /// Headers are read up to this many bytes, and this many challenges are taken from them.
    static let lengthLimit = 16 << 10
    static let countLimit = 16

    /// Every challenge of every header, in order. One header may hold several; what cannot be read is passed over.
    static func parse(_ headers: [String]) -> [Challenge] {
        var challenges: [Challenge] = []
        for header in headers {
            var scanner = Scanner(bytes: Array(header.utf8.prefix(lengthLimit)))
            while challenges.count < countLimit, let challenge = scanner.challenge() { challenges.append(challenge) }
        }
        return challenges
    }
}

/// Reads the header's grammar. The comma is ambiguous in it, between parameters and between challenges: a word is a
/// parameter's name if `=` follows, and else the next challenge's scheme.
private struct Scanner {
    let bytes: [UInt8]
    var position = 0

    private var current: UInt8? { position < bytes.count ? bytes[position] : nil }

    mutating func challenge() -> Challenge? {
        while let byte = current, !Self.isToken(byte) { position += 1 }
        let scheme = token()
        guard !scheme.isEmpty else { return nil }
        var parameters: [String: String] = [:]
        skipSpaces()
        while true {
            let start = position
            skip { $0 == UInt8(ascii: ",") || Self.isSpace($0) }
            let name = token()
            skipSpaces()
            guard !name.isEmpty, current == UInt8(ascii: "=") else {
                // Not a parameter: either the next scheme, or a token68 right behind this one, which no scheme known here has.
                position = start
                if name.isEmpty || bytes[..<position].last != UInt8(ascii: ",") && current != UInt8(ascii: ",") { skipWord() }
                break
            }
            position += 1
            skipSpaces()
            if let value = value(), parameters[name.lowercased()] == nil { parameters[name.lowercased()] = value }
            skipSpaces()
            guard current == UInt8(ascii: ",") else { break }
        }
        return Challenge(scheme: scheme.lowercased(), parameters: parameters)
    }

    private mutating func value() -> String? {
        guard current == UInt8(ascii: "\"") else {
            // Some registries forget the quotes, also around URLs.
            let start = position
            skip { $0 != UInt8(ascii: ",") && !Self.isSpace($0) }
            return String(decoding: bytes[start..<position], as: UTF8.self)
        }
        position += 1
        var text: [UInt8] = []
        while let byte = current {
            position += 1
            if byte == UInt8(ascii: "\"") { return String(decoding: text, as: UTF8.self) }
            if byte == UInt8(ascii: "\\"), let escaped = current {
                text.append(escaped)
                position += 1
            } else {
                text.append(byte)
            }
        }
        return nil
    }

    private mutating func token() -> String {
        let start = position
        skip(Self.isToken)
        return String(decoding: bytes[start..<position], as: UTF8.self)
    }

    private mutating func skipWord() { skip { $0 != UInt8(ascii: ",") && !Self.isSpace($0) } }
    private mutating func skipSpaces() { skip(Self.isSpace) }
    private mutating func skip(_ condition: (UInt8) -> Bool) { while let byte = current, condition(byte) { position += 1 } }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }

    private static func isToken(_ byte: UInt8) -> Bool {
        (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte) || "!#$%&'*+-.^_`|~".utf8.contains(byte)
    }
}
