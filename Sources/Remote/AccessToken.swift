import OCI

/// A bearer token and until when it may be used.
struct AccessToken: Sendable, Hashable {
    /// An `Authorization` header's value.
    let header: String
    let expires: ContinuousClock.Instant

    /// Lifetime of a token that does not say (distribution's token specification).
    static let defaultLifetime = 60
    /// A token server's answer is read up to this many bytes.
    static let answerLimit = 1 << 20

    /// Reads a token server's answer; nil where it holds no token that can be sent in a header. The server's clock is not
    /// believed: life begins when the answer came.
    init?(decoding bytes: [UInt8], now: ContinuousClock.Instant = .now) {
        guard let answer = try? JSONText.decode(Answer.self, from: bytes) else { return nil }
        let text = answer.token.flatMap { $0.isEmpty ? nil : $0 } ?? answer.access_token ?? ""
        guard let header = Self.header(text) else { return nil }
        self.header = header
        let lifetime = min(max(answer.expires_in ?? Double(Self.defaultLifetime), 0), 1e6)
        // Slack for the way to the registry, but never so much that a short-lived token is never used.
        let usable = max(lifetime - 10, lifetime * 0.8)
        expires = now.advanced(by: .milliseconds(Int64(usable * 1000)))
    }

    /// The header for a token; nil where the token has bytes that cannot be in one.
    static func header(_ token: String) -> String? {
        guard !token.isEmpty, token.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else { return nil }
        return "Bearer " + token
    }

    private struct Answer: Decodable {
        var token: String?
        var access_token: String?
        var expires_in: Double?
    }
}

extension AccessToken: CustomStringConvertible, CustomReflectable {
    var description: String { "a bearer token" }
    var customMirror: Mirror { Mirror(self, children: []) }
}
