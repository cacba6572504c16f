import AsyncHTTPClient
import Logging
import NIOCore
import NIOPosix
import Synchronization

/// Sends HTTP requests: one pool of connections for each proxy and TLS identity. Knows nothing of registries; follows no
/// redirect and retries nothing.
final class Connections: Sendable {
    struct Settings: Sendable {
        var connectTimeout: Duration
        var stallTimeout: Duration
        /// The longest until the head of an answer is there.
        var headTimeout: Duration
        var certificateDirectories: [String]
    }

    private struct Key: Hashable {
        let proxy: ProxyRules.Proxy?
        let identity: TLSIdentity?
    }

    private struct State {
        var clients: [Key: HTTPClient] = [:]
        /// What certs.d said, which is looked up once per host.
        var found: [Address.Origin: TLSIdentity?] = [:]
        var isShutDown = false
    }

    let counters: RemoteCounters
    private let settings: Settings
    private let proxies: ProxyRules
    private let identities: [Address.Origin: TLSIdentity]
    private let state = Mutex(State())

    init(settings: Settings, proxies: ProxyRules, identities: [Address.Origin: TLSIdentity], counters: RemoteCounters) {
        self.settings = settings
        self.proxies = proxies
        self.identities = identities
        self.counters = counters
    }

    /// The slowest that a body may go out, in bytes a second, before the answer counts as late.
    private static let slowestUpload = 32 << 10

    /// Sends one request and returns as soon as the answer's head is there.
    func send(_ request: HTTPClientRequest, to address: Address, bodyBytes: Int = 0) async throws(Fault) -> HTTPAnswer {
        let client = try client(for: address.origin)
        var request = request
        request.url = address.url
        request.headers.replaceOrAdd(name: "User-Agent", value: "larder/0.1")
        // Digests are over the bytes as they are stored: a body somebody compressed on the way is of no use.
        request.headers.replaceOrAdd(name: "Accept-Encoding", value: "identity")
        counters.requests.wrappingAdd(1, ordering: .relaxed)
        do {
            let response = try await client.execute(request, timeout: TimeAmount(settings.headTimeout + .seconds(bodyBytes / Self.slowestUpload)))
            return HTTPAnswer(response, from: address.origin, counters: counters)
        } catch {
            throw Fault(transport: error, origin: address.origin)
        }
    }

    func shutdown() async {
        let clients = state.withLock { state in
            state.isShutDown = true
            defer { state.clients = [:] }
            return Array(state.clients.values)
        }
        for client in clients { try? await client.shutdown() }
    }

    private func client(for origin: Address.Origin) throws(Fault) -> HTTPClient {
        let key = Key(proxy: try proxies.proxy(for: origin), identity: origin.isSecure ? identity(for: origin) : nil)
        if let client = try known(key) { return client }
        var configuration = HTTPClient.Configuration(redirectConfiguration: .disallow)
        configuration.timeout = .init(connect: TimeAmount(settings.connectTimeout), read: TimeAmount(settings.stallTimeout))
        // Retries and the number of requests at a time are counted above, where cancelling and failing over are known.
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 256
        configuration.tlsConfiguration = try key.identity?.configuration()
        configuration.proxy = key.proxy.map { proxy in
            switch (proxy.scheme, proxy.login) {
            case (.socks, _): .socksServer(host: proxy.host, port: proxy.port)
            case (.http, .password(let user, let secret)?): .server(host: proxy.host, port: proxy.port, authorization: .basic(username: user, password: secret))
            case (.http, _): .server(host: proxy.host, port: proxy.port)
            }
        }
        let made = HTTPClient(eventLoopGroup: MultiThreadedEventLoopGroup.singleton, configuration: configuration)
        let kept = state.withLock { state in
            if state.isShutDown { return nil as HTTPClient? }
            if let first = state.clients[key] { return first }
            state.clients[key] = made
            return made
        }
        // Someone else was faster, or all is over: a client that never connected goes quietly.
        if kept !== made { made.shutdown { _ in } }
        guard let kept else { throw .cancelled }
        return kept
    }

    private func known(_ key: Key) throws(Fault) -> HTTPClient? {
        let (client, isShutDown) = state.withLock { ($0.clients[key], $0.isShutDown) }
        guard !isShutDown else { throw Fault(.cancelled, "shut down") }
        return client
    }

    private func identity(for origin: Address.Origin) -> TLSIdentity? {
        if let configured = identities[origin] { return configured }
        if let found = state.withLock({ $0.found[origin] }) { return found }
        let names = origin.hasDefaultPort ? [origin.host, "\(origin.host):\(origin.port)"] : [origin.authority]
        let found = names.lazy.compactMap { TLSIdentity(host: $0, directories: self.settings.certificateDirectories) }.first
        state.withLock { $0.found[origin] = .some(found) }
        return found
    }
}

extension TimeAmount {
    init(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        self = .nanoseconds(min(seconds, 1 << 32) * 1_000_000_000 + attoseconds / 1_000_000_000)
    }
}
