import Images
import Logging
import OCI
import Remote
import Store
import Synchronization
import TestSupport
import Testing

/// A layout to fetch from, a store, and the library between them.
final class Bench: Sendable {
    let directory: TemporaryDirectory
    let store: Store
    let remote: Remote
    let library: ImageLibrary
    private let events: Events

    /// How many layers this library has begun to stream.
    var streamCount: Int { events.phases.withLock { $0.count { $0 == .started } } }

    private final class Events: Sendable {
        let phases = Mutex<[PullEvent.Phase]>([])
    }

    /// The host that stands for the layouts.
    static let host = "lay.out"

    var layoutPath: String { directory.path + "/layouts" }

    init(sharing other: Bench? = nil, storeName: String = "store", storePath: String? = nil, hosts: [String: RemoteConfiguration.Host] = [:], _ adjust: (inout ImageLibrary.Options) -> Void = { _ in }) throws {
        directory = try other?.directory ?? TemporaryDirectory()
        let logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        store = try Store(at: storePath ?? directory.path + "/" + storeName, create: true, logger: logger)
        var configuration = RemoteConfiguration()
        configuration.environment = Shell.environment
        configuration.certificateDirectories = []
        configuration.firstPause = .milliseconds(1)
        // No clock decides what is asked for again: tests wait for each other on few threads.
        configuration.connectTimeout = .seconds(300)
        configuration.stallTimeout = .seconds(300)
        configuration.requestDeadline = .seconds(600)
        configuration.hosts = hosts
        var host = RemoteConfiguration.Host()
        host.layout = directory.path + "/layouts"
        configuration.hosts[Self.host] = host
        remote = Remote(configuration: configuration, logger: logger)
        events = Events()
        var options = ImageLibrary.Options()
        // Nor what is believed, and what is fetched beside what is read.
        options.revalidationLimit = .seconds(300)
        options.fetchesRest = false
        adjust(&options)
        library = ImageLibrary(store: store, remote: remote, options: options, logger: logger, threads: 2) { [events] event in
            events.phases.withLock { $0.append(event.phase) }
        }
    }

    /// Runs `body` and shuts the library down afterwards.
    func run<Value>(_ body: (Bench) async throws -> Value) async throws -> Value {
        let result: Result<Value, any Error>
        do { result = .success(try await body(self)) } catch { result = .failure(error) }
        await library.shutdown()
        return try result.get()
    }

    func layout(_ repository: String = "app") throws -> OCILayout { try OCILayout(in: directory, "layouts/" + repository) }

    /// Puts an image of these layers into the layout of `repository` under `tag`.
    @discardableResult
    func add(_ layers: [LayerFixture], to repository: String = "app", tag: String = "1", diffIDs: [Digest]? = nil) throws -> Descriptor {
        let layout = try layout(repository)
        let manifest = try layout.add(layers, diffIDs: diffIDs)
        try layout.tag(manifest, tag)
        return manifest
    }

    func reference(_ rest: String = "app:1") throws -> Reference { try #require(Reference("\(Self.host)/\(rest)")) }

    func image(_ rest: String = "app:1", refresh: Bool = false) async throws -> Image { try await library.image(try reference(rest), refresh: refresh) }

    /// Makes the source unreachable.
    func loseSource() throws { try directory.directory().removeTree("layouts") }

    /// Every file of the store below these folders.
    func files(_ folders: String...) throws -> [String] {
        try folders.flatMap { folder in
            try Shell.files(below: store.path + "/" + folder).map { "\(folder)/\($0)" }
        }
    }
}

extension ContentTree {
    /// The content of a file, fetched where needed.
    func content(_ path: String) async throws -> [UInt8] { try await content(Array(path.utf8)) }

    func content(_ path: [UInt8]) async throws -> [UInt8] {
        let ordinal = view.canonical(try #require(view.find(path), "no \(String(decoding: path, as: UTF8.self))"))
        let size = view.node(ordinal).size
        var content: [UInt8] = []
        var rounds = 0
        while UInt64(content.count) < size {
            var block = [UInt8](repeating: 0, count: 100_000)
            if let count = try block.withUnsafeMutableBytes({ try read(ordinal, at: UInt64(content.count), into: $0) }) {
                try #require(count > 0, "short read at \(content.count)")
                content += block.prefix(count)
            } else {
                rounds += 1
                try #require(rounds < 10_000, "fetching does not help")
                try await fetch(ordinal, at: UInt64(content.count), count: block.count)
            }
        }
        return content
    }
}
