import Logging
import NIOCore
import OCI
import Remote
import TestSupport
import Testing

/// A configuration for tests: nothing of the developer's environment, no waiting, and no clock that decides what is asked for
/// again or forgotten. Tests wait for each other on few threads.
func quietConfiguration(_ adjust: (inout RemoteConfiguration) -> Void = { _ in }) -> RemoteConfiguration {
    var configuration = RemoteConfiguration()
    configuration.environment = Shell.environment
    configuration.certificateDirectories = []
    configuration.firstPause = .milliseconds(1)
    configuration.connectTimeout = .seconds(300)
    configuration.stallTimeout = .seconds(300)
    configuration.requestDeadline = .seconds(600)
    configuration.helperTimeout = .seconds(300)
    configuration.downTime = .seconds(3600)
    configuration.mirrorPause = .seconds(3600)
    adjust(&configuration)
    return configuration
}

/// Runs `body` with a remote that is shut down afterwards.
func withRemote<Value>(_ configuration: RemoteConfiguration = quietConfiguration(), logger: Logger = quiet, _ body: (Remote) async throws -> Value) async throws -> Value {
    let remote = Remote(configuration: configuration, logger: logger)
    let result: Result<Value, any Error>
    do { result = .success(try await body(remote)) } catch { result = .failure(error) }
    await remote.shutdown()
    return try result.get()
}

var quiet: Logger { Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }) }

/// The kind of the error `body` throws; nil where it throws none.
func kind(of body: () async throws -> Void) async -> RemoteError.Kind? {
    do {
        try await body()
        return nil
    } catch let error as RemoteError {
        return error.kind
    } catch {
        Issue.record("not a RemoteError: \(error)")
        return nil
    }
}

/// What a stream gave before it ended or threw.
func drain(_ open: () async throws(RemoteError) -> BlobStream) async -> (bytes: [UInt8], error: RemoteError?) {
    var bytes: [UInt8] = []
    do throws(RemoteError) {
        for try await part in try await open() { bytes += part.readableBytesView }
        return (bytes, nil)
    } catch {
        return (bytes, error)
    }
}

/// An image in a layout on disk, of a large and a small layer whose bytes are random.
struct TestImage: Sendable {
    let directory: TemporaryDirectory
    let layout: String
    let index: Descriptor
    let manifest: Descriptor
    let config: Descriptor
    let layers: [Descriptor]
    let layerBytes: [[UInt8]]

    static func make(largeLayer: Int = 300_000, seed: UInt64 = 1) async throws -> TestImage {
        var random = SeededGenerator(seed: seed)
        var layers: [[UInt8]] = []
        for size in [largeLayer, 3000] { layers.append(try await Shell.check("gzip", ["-1nc"], input: random.bytes(size)).bytes) }
        let directory = try TemporaryDirectory()
        let layout = try OCILayout(in: directory)
        let image = try layout.add(image: layers)
        let index = try layout.add(index: [image.manifest])
        try layout.tag(index, "1")
        return TestImage(directory: directory, layout: layout.path, index: index, manifest: image.manifest, config: image.config, layers: image.layers, layerBytes: layers)
    }

    /// Pushes it as `team/app:1` to a new registry.
    func pushed(login: (user: String, password: String)? = nil) async throws -> RegistryServer {
        let registry = try await RegistryServer.start(login: login)
        try await registry.push(layout, tag: "1", to: "team/app", login: login)
        return registry
    }
}

func repository(_ host: String, _ path: String = "team/app") throws -> Repository { try #require(Repository(host: host, path: path)) }
