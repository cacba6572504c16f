import Logging
import OCI
import Synchronization

/// Every place images can come from, as configured. Make one for a process; `shutdown()` it before letting go of it.
public final class Remote: Sendable {
    public let counters = RemoteCounters()

    private struct Key: Hashable {
        let name: String
        let base: Address
        let namespace: String?
    }

    private struct State {
        var hosts: [Key: RegistryHost] = [:]
        var sources: [Repository: any BlobSource] = [:]
    }

    private let configuration: RemoteConfiguration
    private let connections: Connections
    private let credentials: CredentialSources
    private let logger: Logger
    private let state = Mutex(State())

    /// Sources are cheap to make again; a tree of look-ups for names that do not exist must not fill the memory.
    private static let sourceLimit = 4096

    public init(configuration: RemoteConfiguration, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
        credentials = CredentialSources(environment: configuration.environment, helperTimeout: configuration.helperTimeout, logger: logger)
        var identities: [Address.Origin: TLSIdentity] = [:]
        for (name, host) in configuration.hosts where host.hasTLSMaterial {
            if let base = try? Self.base(of: name, host) { identities[base.origin] = TLSIdentity(host) }
        }
        connections = Connections(
            settings: .init(
                connectTimeout: configuration.connectTimeout, stallTimeout: configuration.stallTimeout, headTimeout: configuration.requestDeadline,
                certificateDirectories: configuration.certificateDirectories),
            proxies: ProxyRules(environment: configuration.environment), identities: identities, counters: counters)
    }

    /// The source of a repository, the same for every call.
    /// - Throws: kind `configuration` where the host's settings cannot be used.
    public func source(for repository: Repository) throws(RemoteError) -> any BlobSource {
        if let known = state.withLock({ $0.sources[repository] }) { return known }
        let source: any BlobSource
        let host = configuration.hosts[repository.host]
        if let layout = host?.layout {
            source = LayoutSource(repository: repository, path: layout)
        } else {
            do throws(Fault) {
                source = try registry(repository, host ?? .init())
            } catch {
                throw error.error(about: "host \(repository.host)")
            }
        }
        return state.withLock { state in
            if let first = state.sources[repository] { return first }
            if state.sources.count >= Self.sourceLimit { state.sources = [:] }
            state.sources[repository] = source
            return source
        }
    }

    /// Whether the configuration names this host.
    public func knows(host: String) -> Bool { configuration.hosts[host] != nil }

    /// Whether a host stands for a directory of OCI layouts.
    public func isLayout(host: String) -> Bool { configuration.hosts[host]?.layout != nil }

    /// Closes every connection; what is under way ends with kind `cancelled`. Returns when all is closed.
    public func shutdown() async { await connections.shutdown() }

    private func registry(_ repository: Repository, _ settings: RemoteConfiguration.Host) throws(Fault) -> RegistrySource {
        var hosts: [RegistryHost] = []
        for mirror in settings.mirrors {
            guard let base = Address(mirror) else { throw Fault(.configuration, "the mirror '\(Self.harmless(mirror))' is no http or https URL") }
            hosts.append(self.host(base.origin.authority, at: base, namespace: repository.host))
        }
        hosts.append(host(repository.host, at: try Self.base(of: repository.host, settings), namespace: nil))
        return RegistrySource(repository: repository, hosts: hosts, configuration: configuration, counters: counters, logger: logger)
    }

    private func host(_ name: String, at base: Address, namespace: String?) -> RegistryHost {
        state.withLock { state in
            let key = Key(name: name, base: base, namespace: namespace)
            if let known = state.hosts[key] { return known }
            let authorizer = Authorizer(name: name, origin: base.origin, sources: credentials, connections: connections)
            let host = RegistryHost(name: name, base: base, namespace: namespace, authorizer: authorizer, connections: connections, configuration: configuration)
            state.hosts[key] = host
            return host
        }
    }

    /// Where a host really is. Docker Hub's registry has another name than its images; loopback hosts speak plain HTTP
    /// unless something says TLS: a `url`, `plainHTTP` = false, or certificates.
    private static func base(of name: String, _ settings: RemoteConfiguration.Host) throws(Fault) -> Address {
        if let url = settings.url {
            guard let address = Address(url) else { throw Fault(.configuration, "'\(harmless(url))' is no http or https URL") }
            guard address.origin.isSecure || address.origin.isLoopback || settings.plainHTTP != false else {
                throw Fault(.configuration, "its url is plain HTTP, but plainHTTP is false")
            }
            return address
        }
        let authority = name == Reference.dockerHub ? "registry-1.docker.io" : name
        let isLoopback = Address("https://" + authority)?.origin.isLoopback ?? false
        let isPlain = settings.plainHTTP ?? (isLoopback && !settings.hasTLSMaterial)
        guard let address = Address((isPlain ? "http://" : "https://") + authority) else { throw Fault(.configuration, "no host name") }
        return address
    }

    /// A URL for a message: what stands before an `@` may be a password.
    private static func harmless(_ url: String) -> String { String(url.split(separator: "@").last?.prefix(100) ?? "") }
}
