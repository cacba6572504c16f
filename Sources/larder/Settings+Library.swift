import Images
import Logging
import Remote
import Store

extension Settings {
    var logger: Logger {
        let level = logLevel
        return Logger(label: "larder") { _ in LineLogHandler(level: level) }
    }

    func openStore(create: Bool) throws -> Store { try Store(at: storePath, create: create, logger: logger) }

    /// Opens everything that is needed to find, fetch and show images, and closes it whatever way `body` ends: a client
    /// with open connections must not be dropped.
    func withLibrary(
        create: Bool, observer: (@Sendable (PullEvent) -> Void)? = nil, _ body: (ImageLibrary) async throws -> Void
    ) async throws {
        let library = try openLibrary(create: create, observer: observer)
        do {
            try await body(library)
        } catch {
            await library.shutdown()
            throw error
        }
        await library.shutdown()
    }

    private func openLibrary(create: Bool, observer: (@Sendable (PullEvent) -> Void)?) throws -> ImageLibrary {
        let store = try openStore(create: create)
        if !limits.isEmpty { store.limit(by: limits) }
        let remote = Remote(configuration: remoteConfiguration, logger: logger)
        var options = ImageLibrary.Options()
        options.platform = platform
        options.tagLifetime = tagLifetime
        options.indexTrust = indexTrust
        options.backgroundFill = backgroundFill
        options.profiles = profileFile.map { .record(file: $0) } ?? profiles
        return ImageLibrary(store: store, remote: remote, options: options, logger: logger, observer: observer)
    }

    private var remoteConfiguration: RemoteConfiguration {
        var configuration = RemoteConfiguration()
        configuration.environment = environment
        configuration.requestDeadline = fetchLimit
        configuration.stallTimeout = min(configuration.stallTimeout, fetchLimit)
        for (name, host) in hosts {
            var settings = RemoteConfiguration.Host()
            settings.url = host.url
            settings.mirrors = host.mirrors
            settings.plainHTTP = host.plainHTTP
            settings.caFile = host.caFile
            settings.clientCertificate = host.clientCertificate
            settings.clientKey = host.clientKey
            settings.layout = host.layout
            configuration.hosts[name] = settings
        }
        return configuration
    }
}
