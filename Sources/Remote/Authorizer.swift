import Synchronization

/// Knows how one registry wants to be shown who is asking, and keeps what it was given for that: so that only the very
/// first request, and the first after a token was revoked, has to be turned away with 401.
final class Authorizer: Sendable {
    /// Proof of who is asking, for requests to the registry's own origin only.
    struct Proof: Sendable, Hashable {
        let header: String
        /// Whether anything the user knows is behind it.
        let isAnonymous: Bool
    }

    private struct Wish: Hashable {
        let repository: String
        let access: Access
    }

    private enum Method: Sendable {
        case basic
        case bearer(realm: Address, service: String?)
    }

    private struct State {
        var method: Method?
        /// Set where a registry asked for another scope than the usual.
        var scopes: [Wish: String] = [:]
        var tokens: [TokenRequest: (proof: Proof, expires: ContinuousClock.Instant)] = [:]
        var flights: [TokenRequest: Task<Result<Proof, Fault>, Never>] = [:]
        var basic: [String: Proof] = [:]
    }

    private let name: String
    private let origin: Address.Origin
    private let sources: CredentialSources
    private let connections: Connections
    private let state = Mutex(State())

    /// - Parameter name: the host as users log into it.
    init(name: String, origin: Address.Origin, sources: CredentialSources, connections: Connections) {
        self.name = name
        self.origin = origin
        self.sources = sources
        self.connections = connections
    }

    /// What to send along unasked; nil as long as the registry has not said what it wants.
    func proof(for repository: String, _ access: Access) async throws(Fault) -> Proof? {
        switch state.withLock({ $0.method }) {
        case nil: return nil
        case .basic?: return try await basic(repository)
        case .bearer(let realm, let service)?: return try await bearer(request(realm, service, Wish(repository: repository, access: access)), repository)
        }
    }

    /// What to send after the registry answered 401 to `rejected`.
    /// - Throws: kind `unauthorized` where there is nothing better to send.
    func proof(for repository: String, _ access: Access, answering challenges: [Challenge], rejected: Proof?) async throws(Fault) -> Proof {
        let bearer = challenges.first { $0.scheme == "bearer" && $0.realm != nil }
        if let bearer, let realm = bearer.realm.flatMap({ Address($0) }) {
            guard realm.origin.isSecure || !origin.isSecure || realm.origin.isLoopback && origin.isLoopback else {
                throw Fault(.badAnswer(status: 401), "\(origin) asks to send credentials over plain HTTP to \(realm); refused")
            }
            let wish = Wish(repository: repository, access: access)
            let request = state.withLock { state in
                state.method = .bearer(realm: realm, service: bearer.service)
                if state.scopes.count > 10_000 { state.scopes = [:] }
                state.scopes[wish] = bearer.scope.flatMap { $0.isEmpty ? nil : $0 }
                let request = Self.request(realm, bearer.service, wish, state.scopes)
                if let rejected, state.tokens[request]?.proof == rejected { state.tokens[request] = nil }
                return request
            }
            return try await self.bearer(request, repository)
        }
        guard challenges.contains(where: { $0.scheme == "basic" }) else { throw refusal("it wants a kind of login that is not known here") }
        state.withLock { state in
            state.method = .basic
            if let rejected, state.basic[repository] == rejected { state.basic[repository] = nil }
        }
        guard let proof = try await basic(repository) else { throw refusal("no login is known") }
        guard proof != rejected else { throw refusal("the login is refused") }
        return proof
    }

    /// The error for a 401 that stays.
    func refusal(_ why: String) -> Fault { Fault(.unauthorized, "\(why); log in with: docker login \(name)") }
}

extension Authorizer {
    private func basic(_ repository: String) async throws(Fault) -> Proof? {
        if let known = state.withLock({ $0.basic[repository] }) { return known }
        guard let header = try await sources.credential(host: name, repository: repository)?.basic else { return nil }
        let proof = Proof(header: header, isAnonymous: false)
        state.withLock { state in
            if state.basic.count > 10_000 { state.basic = [:] }
            state.basic[repository] = proof
        }
        return proof
    }

    private func request(_ realm: Address, _ service: String?, _ wish: Wish) -> TokenRequest {
        state.withLock { Self.request(realm, service, wish, $0.scopes) }
    }

    private static func request(_ realm: Address, _ service: String?, _ wish: Wish, _ scopes: [Wish: String]) -> TokenRequest {
        TokenRequest(realm: realm, service: service, scope: scopes[wish] ?? "repository:\(wish.repository):\(wish.access.rawValue)")
    }

    /// A token that is still good, or a new one; asked for once, however many wait for it.
    private func bearer(_ request: TokenRequest, _ repository: String) async throws(Fault) -> Proof {
        let flight: Task<Result<Proof, Fault>, Never>
        switch state.withLock({ join(request, repository, &$0) }) {
        case .ready(let proof): return proof
        case .waiting(let task): flight = task
        }
        guard let result = await flight.resultOrCancellation() else { throw .cancelled }
        return try result.get()
    }

    private enum Boarding {
        case ready(Proof)
        case waiting(Task<Result<Proof, Fault>, Never>)
    }

    private func join(_ request: TokenRequest, _ repository: String, _ state: inout State) -> Boarding {
        if let known = state.tokens[request], known.expires > .now { return .ready(known.proof) }
        if let flight = state.flights[request] { return .waiting(flight) }
        let flight = Task {
            let result: Result<Proof, Fault>
            do throws(Fault) { result = .success(try await fetch(request, repository)) } catch { result = .failure(error) }
            self.state.withLock { $0.flights[request] = nil }
            return result
        }
        state.flights[request] = flight
        return .waiting(flight)
    }

    private func fetch(_ request: TokenRequest, _ repository: String) async throws(Fault) -> Proof {
        let credential = try await sources.credential(host: name, repository: repository)
        if case .registryToken(let token)? = credential {
            guard let header = AccessToken.header(token) else { throw refusal("the stored registry token cannot be sent") }
            return keep(Proof(header: header, isAnonymous: false), for: request, until: .now.advanced(by: .seconds(AccessToken.defaultLifetime)))
        }
        do throws(Fault) {
            let token = try await request.token(with: credential, over: connections)
            return keep(Proof(header: token.header, isAnonymous: credential == nil), for: request, until: token.expires)
        } catch {
            throw error.kind == .unauthorized ? refusal(error.reason) : error
        }
    }

    private func keep(_ proof: Proof, for request: TokenRequest, until expires: ContinuousClock.Instant) -> Proof {
        state.withLock { state in
            if state.tokens.count > 1000 { state.tokens = state.tokens.filter { $0.value.expires > .now } }
            state.tokens[request] = (proof, expires)
        }
        return proof
    }
}

extension Task where Failure == Never {
    /// The task's value, or nil as soon as the *asking* task is cancelled. The task itself goes on for others.
    func resultOrCancellation() async -> Success? {
        let (stream, continuation) = AsyncStream.makeStream(of: Success.self)
        Task<Void, Never> {
            continuation.yield(await value)
            continuation.finish()
        }
        for await value in stream { return value }
        return nil
    }
}
