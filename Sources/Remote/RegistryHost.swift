import AsyncHTTPClient
import Logging
import NIOHTTP1
import Synchronization

/// One registry or mirror: sends single requests with the right credentials, follows redirects, and remembers what the
/// host has shown of itself. Retrying is left to the caller.
final class RegistryHost: Sendable {
    /// As in references; credentials are looked up by it.
    let name: String
    let base: Address
    /// For a mirror, the host it stands in for; sent as `?ns=`, as containerd does.
    let namespace: String?

    private struct State {
        var downUntil: ContinuousClock.Instant?
        var passedOverUntil: ContinuousClock.Instant?
        var redirects: [Route: (address: Address, expires: ContinuousClock.Instant)] = [:]
        /// Repositories that do not honour `Range`, and until when that is believed.
        var rangeless: [String: ContinuousClock.Instant] = [:]
        /// Whether the host has the referrers API, once it has shown it.
        var listsReferrers: Bool?
    }

    private struct Route: Hashable {
        let repository: String
        let place: String
    }

    private let connections: Connections
    private let authorizer: Authorizer
    private let gate: Gate
    private let configuration: RemoteConfiguration
    private let state = Mutex(State())

    private static let redirectLimit = 5
    private static let rememberedLimit = 4096
    /// For how long "ignores Range" is believed: a proxy on the way may have been at fault.
    private static let rangelessTime = Duration.seconds(600)

    init(name: String, base: Address, namespace: String?, authorizer: Authorizer, connections: Connections, configuration: RemoteConfiguration) {
        self.name = name
        self.base = base
        self.namespace = namespace
        self.authorizer = authorizer
        self.connections = connections
        self.configuration = configuration
        gate = Gate(configuration.concurrency)
    }

    /// An answer, and the right to have a request under way, which must live as long as its body is read.
    struct Reply: Sendable {
        let answer: HTTPAnswer
        let permit: Gate.Permit
    }

    /// Sends one request. Any status comes back but 401, 403 and redirects.
    func send(_ request: RegistryRequest) async throws(Fault) -> Reply {
        try refuseIfDown()
        let permit = try await gate.permit()
        do throws(Fault) {
            let answer = try await answer(to: request)
            state.withLock { $0.downUntil = nil }
            return Reply(answer: answer, permit: permit)
        } catch {
            // What a remembered redirect leads to may be what failed.
            if error.kind != .cancelled { forget(request) }
            throw error
        }
    }

    private func answer(to request: RegistryRequest) async throws(Fault) -> HTTPAnswer {
        if let target = rememberedTarget(of: request) {
            let answer = try await send(request, to: target, proof: nil)
            if answer.status < 300 || answer.status == 416 { return answer }
            // A signed URL that has expired: what the registry says now counts.
            forget(request)
            return try await follow(request, mayStartAgain: false)
        }
        return try await follow(request, mayStartAgain: true)
    }

    private func follow(_ request: RegistryRequest, mayStartAgain: Bool) async throws(Fault) -> HTTPAnswer {
        var address = start(of: request)
        var proof = try await authorizer.proof(for: request.repository, request.access)
        var redirects = 0
        var refusals = 0
        while true {
            let isAtHome = address.origin == base.origin
            let answer = try await send(request, to: address, proof: isAtHome ? proof : nil)
            switch answer.status {
            case 401 where isAtHome:
                refusals += 1
                guard refusals <= 2 else { throw authorizer.refusal("the login is refused") }
                await answer.drain()
                proof = try await authorizer.proof(
                    for: request.repository, request.access, answering: Challenge.parse(answer.headers["WWW-Authenticate"]), rejected: proof)
            // Only these two keep method and body.
            case 301 where request.access == .pull, 302 where request.access == .pull, 303 where request.access == .pull, 307, 308:
                redirects += 1
                guard redirects <= Self.redirectLimit else { throw Fault(.badAnswer(status: answer.status), "\(name) redirects without end") }
                await answer.drain()
                address = try target(of: answer, at: address)
                remember(address, for: request)
            case 401 where redirects > 0, 403 where redirects > 0 && mayStartAgain && !isAtHome:
                forget(request)
                guard mayStartAgain else { throw Fault(.denied, "\(address.origin), where \(name) sends us, refuses (status \(answer.status))") }
                return try await follow(request, mayStartAgain: false)
            case 403:
                let hint = proof?.isAnonymous ?? true || request.access == .push ? "; log in with: docker login \(name)" : ""
                throw Fault(.denied, "\(address.origin) does not allow it (status 403)\(hint)")
            default:
                return answer
            }
        }
    }

    private func send(_ request: RegistryRequest, to address: Address, proof: Authorizer.Proof?) async throws(Fault) -> HTTPAnswer {
        var message = HTTPClientRequest(url: "")
        message.method = request.method
        if let body = request.body {
            message.headers.add(name: "Content-Type", value: body.mediaType)
            if let tag = body.replaces { message.headers.add(name: "If-Match", value: tag) }
            message.body = .bytes(body.bytes)
        }
        for type in request.accept { message.headers.add(name: "Accept", value: type) }
        if let range = request.range { message.headers.add(name: "Range", value: "bytes=\(range.lowerBound)-\(range.upperBound - 1)") }
        if let proof { message.headers.add(name: "Authorization", value: proof.header) }
        do throws(Fault) {
            return try await connections.send(message, to: address, bodyBytes: request.body?.bytes.readableBytes ?? 0)
        } catch {
            // Only the registry's own silence says something about the registry.
            if error.isHostDown && address.origin == base.origin { noteDown(error) }
            throw error
        }
    }

    private func start(of request: RegistryRequest) -> Address {
        if let address = request.address { return address }
        let query = namespace.map { (request.place.contains("?") ? "&ns=" : "?ns=") + TokenRequest.encoded($0) } ?? ""
        return base.appending("/v2/\(request.repository)/\(request.place)\(query)")
    }

    /// Where an answer to `request` says to go on.
    func target(of answer: HTTPAnswer, to request: RegistryRequest) throws(Fault) -> Address { try target(of: answer, at: start(of: request)) }

    /// What a link in an answer to `request` leads to.
    func address(_ link: String, after request: RegistryRequest) -> Address? { start(of: request).resolving(link) }

    private func target(of answer: HTTPAnswer, at address: Address) throws(Fault) -> Address {
        guard let location = answer.headers.first(name: "Location"), let target = address.resolving(location) else {
            throw Fault(.badAnswer(status: answer.status), "\(address.origin) sends us to nowhere that can be read")
        }
        // From TLS down to plain HTTP anybody could answer, and see what is asked for.
        guard target.origin.isSecure || !address.origin.isSecure else {
            throw Fault(.badAnswer(status: answer.status), "\(address.origin) sends us to plain HTTP on \(target.origin); refused")
        }
        return target
    }
}

// MARK: - What the host has shown of itself

extension RegistryHost {
    /// Fails at once where a connection was refused moments ago, so that a look-up offline costs no time.
    private func refuseIfDown() throws(Fault) {
        let isDown = state.withLock { $0.downUntil.map { $0 > .now } ?? false }
        if isDown { throw Fault(.unreachable, "\(base.origin) could not be reached a moment ago") }
    }

    /// A host that may be back in a moment is noted only when its retries are used up.
    private func noteDown(_ fault: Fault) {
        if fault.remedy == .none { markDown() }
    }

    func markDown() { state.withLock { $0.downUntil = .now.advanced(by: configuration.downTime) } }

    var isPassedOver: Bool { state.withLock { $0.passedOverUntil.map { $0 > .now } ?? false } }

    /// Leaves a mirror out for a while. False where that was so already.
    func passOver() -> Bool {
        state.withLock { state in
            let isNew = state.passedOverUntil.map { $0 <= .now } ?? true
            state.passedOverUntil = .now.advanced(by: configuration.mirrorPause)
            return isNew
        }
    }

    func honoursRanges(_ repository: String) -> Bool { state.withLock { $0.rangeless[repository].map { $0 <= .now } ?? true } }

    /// nil as long as nobody knows.
    var listsReferrers: Bool? { state.withLock { $0.listsReferrers } }

    func note(listsReferrers: Bool) { state.withLock { $0.listsReferrers = listsReferrers } }

    func noteRangeIgnored(_ repository: String) {
        state.withLock { state in
            if state.rangeless.count >= Self.rememberedLimit { state.rangeless = [:] }
            state.rangeless[repository] = .now.advanced(by: Self.rangelessTime)
        }
    }

    private func rememberedTarget(of request: RegistryRequest) -> Address? {
        guard request.remembersRedirect else { return nil }
        return state.withLock { state in
            guard let known = state.redirects[Route(repository: request.repository, place: request.place)], known.expires > .now else { return nil }
            return known.address
        }
    }

    private func remember(_ address: Address, for request: RegistryRequest) {
        guard request.remembersRedirect, address.origin != base.origin else { return }
        state.withLock { state in
            if state.redirects.count >= Self.rememberedLimit { state.redirects = state.redirects.filter { $0.value.expires > .now } }
            if state.redirects.count >= Self.rememberedLimit { state.redirects = [:] }
            state.redirects[Route(repository: request.repository, place: request.place)] = (address, .now.advanced(by: configuration.redirectLifetime))
        }
    }

    func forget(_ request: RegistryRequest) {
        guard request.remembersRedirect else { return }
        _ = state.withLock { $0.redirects.removeValue(forKey: Route(repository: request.repository, place: request.place)) }
    }
}
