import Images
import LinuxIO
import Logging
import OCI
import Remote
import Store
import TestSupport
import Testing
@testable import VirtualFS

/// A filesystem over a layout, without a kernel.
final class Mount: Sendable {
    static let host = "lay.out"
    let directory: TemporaryDirectory
    let store: Store
    let library: ImageLibrary
    let fileSystem: LarderFileSystem

    init(sharing other: Mount? = nil, _ adjust: (inout ImageLibrary.Options) -> Void = { _ in }) throws {
        directory = try other?.directory ?? TemporaryDirectory()
        let logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        store = try Store(at: directory.path + "/store", create: true, logger: logger)
        var configuration = RemoteConfiguration()
        configuration.environment = Shell.environment
        configuration.certificateDirectories = []
        configuration.firstPause = .milliseconds(1)
        // No clock decides what is asked for again, what is believed, and what is fetched beside what is read.
        configuration.connectTimeout = .seconds(300)
        configuration.stallTimeout = .seconds(300)
        configuration.requestDeadline = .seconds(600)
        configuration.hosts[Self.host] = RemoteConfiguration.Host()
        configuration.hosts[Self.host]?.layout = directory.path + "/layouts"
        var options = ImageLibrary.Options()
        options.revalidationLimit = .seconds(300)
        options.fetchesRest = false
        adjust(&options)
        library = ImageLibrary(store: store, remote: Remote(configuration: configuration, logger: logger), options: options, logger: logger, threads: 2)
        fileSystem = LarderFileSystem(library: library, caches: nil, logger: logger, started: 1_700_000_000, status: { "{\"up\":true}\n" }) {
            [Metric("larder_test", "A figure.", .gauge, labels: [("kind", "a\"b")], value: 2)]
        }
    }

    func run<Value>(_ body: (Mount) async throws -> Value) async throws -> Value {
        let result: Result<Value, any Error>
        do { result = .success(try await body(self)) } catch { result = .failure(error) }
        await library.shutdown()
        return try result.get()
    }

    @discardableResult
    func add(_ layers: [LayerFixture], to repository: String = "team/app", tag: String = "1") throws -> Descriptor {
        let layout = try OCILayout(in: directory, "layouts/" + repository)
        let manifest = try layout.add(layers)
        try layout.tag(manifest, tag)
        return manifest
    }

    /// An image of everything.
    func addSample() throws -> Descriptor {
        let base = LayerFixture.plain([
            .directory("etc", mode: 0o700), .file("etc/name", "base"), .file("etc/gone", "x"), .symlink("etc/link", to: "name"), .hardLink("hard", to: "etc/name"),
            .directory("opaque"), .file("opaque/low", "x"), .file("with", "attributes").with(attribute: "user.colour", Array("blue".utf8)),
            .file(bytes: Array("by".utf8) + [0xff, 0x0a, 0xfe], Array("tes".utf8)),
        ])
        var random = SeededGenerator(seed: 1)
        let top = LazyLayer([
            .file("etc/.wh.gone", []), .file("opaque/.wh..wh..opq", []), .file("opaque/high", "h"), .file("large", random.bytes((1 << 20) + 5)), .file("set", Array("uid".utf8), mode: 0o4755),
        ]).layer()
        return try add([base, top])
    }
}

// MARK: - As the kernel asks: hot, and cold where hot has no answer
extension Mount {
    func lookup(_ parent: NodeID, _ name: [UInt8]) async throws -> Entry {
        switch try name.withUnsafeBytes({ try fileSystem.lookup(parent, $0) }) {
        case .ready(let entry): entry
        case .cold: try await fileSystem.coldLookup(parent, name)
        }
    }

    func attributes(_ node: NodeID) async throws -> Entry {
        switch try fileSystem.attributes(node) {
        case .ready(let entry): entry
        case .cold: try await fileSystem.coldAttributes(node)
        }
    }

    func readLink(_ node: NodeID) async throws -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let answer = try buffer.withUnsafeMutableBytes { try fileSystem.readLink(node, into: $0) }
        switch answer {
        case .ready(let count): return Array(buffer.prefix(count))
        case .cold: return try await fileSystem.coldReadLink(node)
        }
    }

    func open(_ node: NodeID, flags: Int32 = 0) async throws -> OpenedFile {
        switch try fileSystem.open(node, flags: flags) {
        case .ready(let file): file
        case .cold: try await fileSystem.coldOpen(node, flags: flags)
        }
    }

    func read(_ node: NodeID, handle: UInt64, at offset: UInt64, count: Int) async throws -> [UInt8] {
        var buffer = [UInt8](repeating: 0xaa, count: count)
        let answer = try buffer.withUnsafeMutableBytes { try fileSystem.read(node, handle: handle, at: offset, into: $0) }
        switch answer {
        case .ready(let count): return Array(buffer.prefix(count))
        case .cold: return try await fileSystem.coldRead(node, handle: handle, at: offset, count: count)
        }
    }

    func content(_ node: NodeID, block: Int = 100_000) async throws -> [UInt8] {
        let file = try await open(node)
        defer { fileSystem.release(node, handle: file.handle) }
        var content: [UInt8] = []
        while true {
            let part = try await read(node, handle: file.handle, at: UInt64(content.count), count: block)
            content += part
            if part.count < block { return content }
        }
    }

    struct Item: Hashable {
        let name: [UInt8]
        let node: NodeID
        let mode: UInt32
    }

    /// Lists a directory with replies that hold at most `limit` entries.
    func list(_ node: NodeID, limit: Int = .max, counting: Bool = false) async throws -> [Item] {
        var items: [Item] = []
        var offset: UInt64 = 0
        while true {
            var page: [(Item, UInt64)] = []
            let answer = try fileSystem.readDirectory(node, from: offset, wantsEntries: counting) { name, entry, next in
                guard page.count < limit else { return false }
                page.append((Item(name: Array(name), node: entry.attributes.node, mode: entry.attributes.mode), next))
                return true
            }
            if case .cold = answer {
                page = try await fileSystem.coldReadDirectory(node, from: offset, wantsEntries: counting, limit: limit).items.map {
                    (Item(name: $0.name, node: $0.entry.attributes.node, mode: $0.entry.attributes.mode), $0.next)
                }
            }
            guard let last = page.last else { return items }
            items += page.map(\.0)
            offset = last.1
        }
    }

    func find(_ path: String) async throws -> Entry {
        var entry = try await attributes(fileSystem.root)
        for name in path.split(separator: "/") {
            entry = try await lookup(entry.attributes.node, Array(name.utf8))
            if entry.isAbsent { return entry }
        }
        return entry
    }

    func text(_ path: String) async throws -> String { String(decoding: try await content(try await find(path).attributes.node), as: UTF8.self) }

    func names(_ path: String) async throws -> [String] {
        try await list(try await find(path).attributes.node).map { String(decoding: $0.name, as: UTF8.self) }
    }

    func attribute(_ node: NodeID, _ name: String, limit: Int = 1000) throws -> String {
        var buffer = [UInt8](repeating: 0, count: limit)
        let count = try Array(name.utf8).withUnsafeBytes { name in
            try buffer.withUnsafeMutableBytes { try fileSystem.attribute(node, name, into: $0) }
        }
        return limit == 0 ? "\(count)" : String(decoding: buffer.prefix(count), as: UTF8.self)
    }

    func attributeNames(_ node: NodeID) throws -> Set<String> {
        var buffer = [UInt8](repeating: 0, count: 1000)
        let count = try buffer.withUnsafeMutableBytes { try fileSystem.attributeNames(node, into: $0) }
        return Set(buffer.prefix(count).split(separator: 0).map { String(decoding: $0, as: UTF8.self) })
    }
}
