import AsyncHTTPClient
import FoundationEssentials
import NIOCore

/// Asks a token server for an access token (distribution's token and OAuth2 specifications).
struct TokenRequest: Sendable, Hashable {
    let realm: Address
    let service: String?
    let scope: String

    /// With a secret, the form of OAuth2 is tried first, and where a server has no such thing, `GET` with Basic.
    func token(with credential: Credential?, over connections: Connections) async throws(Fault) -> AccessToken {
        if let form = form(for: credential) {
            var request = HTTPClientRequest(url: "")
            request.method = .POST
            request.headers.add(name: "Content-Type", value: "application/x-www-form-urlencoded")
            request.body = .bytes(ByteBuffer(string: form))
            let answer = try await connections.send(request, to: realm)
            guard [401, 404, 405].contains(answer.status), credential?.basic != nil else { return try await token(from: answer) }
        }
        var request = HTTPClientRequest(url: "")
        if let basic = credential?.basic { request.headers.add(name: "Authorization", value: basic) }
        let query = ([("service", service), ("scope", scope)] + (credential?.basic == nil ? [] : [("client_id", "larder")]))
            .compactMap { name, value in value.map { name + "=" + Self.encoded($0) } }.joined(separator: "&")
        let mark = realm.target.contains("?") ? "&" : "?"
        guard let address = realm.resolving(realm.target + mark + query) else { throw Fault(.badAnswer(status: nil), "the token realm \(realm) is no URL") }
        return try await token(from: try await connections.send(request, to: address))
    }

    private func form(for credential: Credential?) -> String? {
        var fields: [(String, String)]
        switch credential {
        case .password(let user, let secret)?: fields = [("grant_type", "password"), ("username", user), ("password", secret)]
        case .identityToken(let token)?: fields = [("grant_type", "refresh_token"), ("refresh_token", token)]
        case .registryToken?, nil: return nil
        }
        if let service { fields.append(("service", service)) }
        fields += [("scope", scope), ("client_id", "larder")]
        return fields.map { $0 + "=" + Self.encoded($1) }.joined(separator: "&")
    }

    private func token(from answer: HTTPAnswer) async throws(Fault) -> AccessToken {
        switch answer.status {
        case 200...299:
            guard let bytes = try await answer.bytes(limit: AccessToken.answerLimit), let token = AccessToken(decoding: bytes) else {
                throw Fault(.badAnswer(status: nil), "the token server \(realm) gave no token")
            }
            return token
        case 401, 403, 400:
            throw Fault(.unauthorized, "the token server \(realm) refuses (status \(answer.status))")
        default:
            throw Fault(status: answer.status, of: "the token server \(realm)", retryAfter: answer.retryAfter)
        }
    }

    /// Percent-encodes all but the unreserved characters of RFC 3986.
    static func encoded(_ text: String) -> String {
        let digits = Array("0123456789ABCDEF".utf8)
        var bytes: [UInt8] = []
        for byte in text.utf8 {
            let isPlain = (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte) || "-._~".utf8.contains(byte)
            bytes += isPlain ? [byte] : [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
