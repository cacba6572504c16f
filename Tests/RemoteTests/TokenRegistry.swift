import NIOHTTP1
import Synchronization
import TestSupport

/// A registry behind bearer tokens and the server that gives them out, as Docker Hub has it. What is behind the login comes
/// from a real registry.
final class TokenRegistry: Sendable {
    struct Rules: Sendable {
        var user: String?
        var password = ""
        var refreshToken: String?
        /// 404 to the OAuth form, as servers do that know only GET.
        var knowsForm = true
        var lifetime: Double? = 300
        /// Answered to every 401 in place of the usual scope.
        var scope: String?
        /// What a token request gets while it is not nil.
        var outage: Int?
    }

    let registry: HTTPTestServer
    let tokens: HTTPTestServer
    private let state: TokenState

    var host: String { registry.host }

    private init(registry: HTTPTestServer, tokens: HTTPTestServer, state: TokenState) {
        self.registry = registry
        self.tokens = tokens
        self.state = state
    }

    static func start(before upstream: String, _ rules: Rules = Rules()) async throws -> TokenRegistry {
        let state = TokenState(rules)
        let tokens = try await HTTPTestServer.start { state.answer($0) }
        let realm = tokens.url + "/token"
        let registry = try await HTTPTestServer.start { request in
            guard let token = request.headers.first(name: "Authorization"), state.isGood(token) else {
                let scope = state.rules.withLock { $0.scope } ?? "repository:team/app:pull"
                return .init(401, headers: ["WWW-Authenticate": "Bearer realm=\"\(realm)\",service=\"test, \\\"quoted\\\"\",scope=\"\(scope)\""])
            }
            var headers = request.headers
            headers.remove(name: "Authorization")
            return try await FaultyProxy.forward(request, headers, to: upstream)
        }
        return TokenRegistry(registry: registry, tokens: tokens, state: state)
    }

    /// Makes every token that was given out so far worthless.
    func revoke() { state.good.withLock { $0 = [] } }
    func change(_ body: (inout Rules) -> Void) { state.rules.withLock { body(&$0) } }

    func stop() async {
        await registry.stop()
        await tokens.stop()
    }
}

private final class TokenState: Sendable {
    let rules: Mutex<TokenRegistry.Rules>
    let good = Mutex<Set<String>>([])

    init(_ rules: TokenRegistry.Rules) { self.rules = Mutex(rules) }

    func isGood(_ header: String) -> Bool { good.withLock { $0.contains(header) } }

    func answer(_ request: HTTPTestServer.Request) -> HTTPTestServer.Response {
        let rules = rules.withLock { $0 }
        if let status = rules.outage { return .init(status) }
        if request.method == "POST" && !rules.knowsForm { return .init(404) }
        guard mayHave(request, rules) else { return .init(401) }
        let token = "token-\(request.number)-secret"
        _ = good.withLock { $0.insert("Bearer \(token)") }
        let lifetime = rules.lifetime.map { ",\"expires_in\":\($0)" } ?? ""
        return .init(200, text: request.method == "POST" ? #"{"access_token":"\#(token)"\#(lifetime)}"# : #"{"token":"\#(token)"\#(lifetime)}"#)
    }

    private func mayHave(_ request: HTTPTestServer.Request, _ rules: TokenRegistry.Rules) -> Bool {
        if request.method == "POST" {
            let form = fields(String(decoding: request.body, as: UTF8.self))
            if let refresh = rules.refreshToken { return form["grant_type"] == "refresh_token" && form["refresh_token"] == refresh }
            return form["grant_type"] == "password" && form["username"] == rules.user && form["password"] == rules.password && form["client_id"] == "larder"
        }
        guard rules.refreshToken == nil else { return false }
        guard fields(request.query)["service"] == "test%2C%20%22quoted%22" else { return false }
        guard let user = rules.user else { return true }
        // Basic of USER:PASSWORD, where tests keep to one login.
        return user == "ann" && request.headers.first(name: "Authorization") == "Basic YW5uOnB3"
    }

    private func fields(_ text: String) -> [String: String] {
        text.split(separator: "&").reduce(into: [:]) { all, pair in
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            all[String(parts[0])] = parts.count > 1 ? String(parts[1]) : ""
        }
    }
}
