import OCI
import Store
import Synchronization
import TestSupport
import Testing
import TreeIndex
@testable import Images

/// An image of one plain layer in a real registry behind a proxy that counts and lies, known to a library, and nothing of its
/// content here.
final class LazyBench: Sendable {
    let bench: Bench
    private let proxy: FaultyProxy
    let tree: LayerTree
    let content: [UInt8]
    private let plan: Plan
    private let before: Int

    /// What requests for the layer wait for.
    private final class Plan: Sendable {
        let hold = Mutex<(@Sendable () async throws -> Void)?>(nil)
    }

    private init(bench: Bench, proxy: FaultyProxy, tree: LayerTree, content: [UInt8], plan: Plan) {
        self.bench = bench
        self.proxy = proxy
        self.tree = tree
        self.content = content
        self.plan = plan
        before = proxy.requests.count
    }

    /// Requests for content since the beginning, with what they asked for.
    var requests: [String] { proxy.requests.dropFirst(before).filter { $0.method == "GET" && $0.path.contains("/blobs/") }.map { $0.headers.first(name: "Range") ?? "all" } }

    /// What is done to answers for the layer.
    func inject(_ choose: @escaping @Sendable () -> FaultyProxy.Fault?) {
        let path = "\(tree.layer.descriptor.digest)"
        proxy.inject { $0.path.contains(path) ? choose() : nil }
    }

    func heal() { proxy.heal() }

    /// From now on requests for the layer wait for `body` before they are passed on.
    func hold(_ body: (@Sendable () async throws -> Void)?) { plan.hold.withLock { $0 = body } }

    /// Bytes of a span as they must be.
    func expected(_ number: Int) -> Digest {
        let span = tree.view.span(number)
        return Digest(of: Array(content[Int(span.contentStart)..<Int(span.contentEnd)]))
    }

    /// Bytes of a span as a reader gets them, fetched where needed.
    func read(_ number: Int) async throws -> [UInt8] {
        let span = tree.view.span(number)
        var bytes = [UInt8](repeating: 0, count: Int(span.length))
        // Somebody may take it out again before it is read, and the scheduler may be on his side for long.
        for _ in 0..<1000 {
            if try bytes.withUnsafeMutableBytes({ try tree.readSpan(number, into: $0) }) { return bytes }
            try await tree.fetcher.bring([number], for: .demand)
        }
        throw ImageError.blob(tree.layer.descriptor, "span \(number) is fetched and never there")
    }

    func check(_ number: Int) async throws {
        let bytes = try await read(number)
        #expect(Digest(of: bytes) == expected(number), "span \(number)")
    }

    /// The spans that are on disk.
    func stored() async throws -> [Int] {
        await bench.library.settle()
        return try bench.store.presentSpans(tree.contentKey).map(Int.init)
    }

    /// Returns once nothing is on its way any more.
    func memoryIsGivenBack() async throws {
        while tree.supply.memory.used > 0 { try await Task.sleep(for: .milliseconds(1)) }
    }

    /// Returns once all that was asked for has come, also what nobody waits for.
    func nothingIsUnderWay() async throws {
        while !tree.supply.activity.isIdle { try await Task.sleep(for: .milliseconds(1)) }
    }

    /// Takes everything out of the store again.
    func evict() throws {
        try bench.store.removeSpans(tree.contentKey)
        try tree.refreshPresence()
    }

    private static let layers = Mutex<[Int: LayerFixture]>([:])

    /// Making it costs more than most tests with it.
    private static func layer(_ megabytes: Int) -> LayerFixture {
        layers.withLock { layers in
            if let known = layers[megabytes] { return known }
            var block = SeededGenerator(seed: 41).copyBytes(256 << 10)
            let layer = LayerFixture.plain((0..<megabytes * 4).map { number in
                // Every file is another, and none compresses.
                block[number] &+= 1
                return TarMember.file("f\(number)", block)
            })
            layers[megabytes] = layer
            return layer
        }
    }

    /// - Parameters:
    ///   - megabytes: of content; a span has two.
    ///   - storePath: where the store is, if not beside everything else.
    static func run<Value>(
        megabytes: Int = 20, storePath: String? = nil, _ adjust: @escaping (inout ImageLibrary.Options) -> Void = { _ in }, _ body: (LazyBench) async throws -> Value
    ) async throws -> Value {
        let layer = layer(megabytes)
        let registry = try await RegistryServer.start()
        defer { registry.stop() }
        let upstream = registry.host
        let plan = Plan()
        let path = "\(layer.digest)"
        let server = try await HTTPTestServer.start { request in
            if request.path.contains(path), let hold = plan.hold.withLock({ $0 }) { try await hold() }
            return try await FaultyProxy.forward(request, request.headers, to: upstream)
        }
        let proxy = try await FaultyProxy.start(before: server.host)
        let result: Result<Value, any Error>
        do {
            result = .success(try await Bench(storePath: storePath, adjust).run { bench in
                let layout = try bench.layout()
                try layout.tag(try layout.add([layer]), "1")
                try await registry.push(layout.path, tag: "1", to: "team/app")
                let image = try await bench.library.image(try #require(Reference("\(proxy.host)/team/app:1")))
                let tree = try await bench.library.tree(of: image.layers[0])
                try bench.store.remove(.blob(layer.digest))
                let lazy = LazyBench(bench: bench, proxy: proxy, tree: tree, content: layer.blob, plan: plan)
                try lazy.evict()
                try #require(tree.servesSpans && tree.view.spanCount >= megabytes / 3)
                return try await body(lazy)
            })
        } catch {
            result = .failure(error)
        }
        await proxy.stop()
        await server.stop()
        return try result.get()
    }
}

extension LayerTree {
    /// A whole span as a read finds it; false where it is not here.
    fileprivate func readSpan(_ number: Int, into buffer: UnsafeMutableRawBufferPointer) throws -> Bool { try readContent(at: view.span(number).contentStart, into: buffer) }
}

/// Something that tasks wait for until it is opened.
final class Valve: Sendable {
    private struct State {
        var isOpen = false
        var waiting: [CheckedContinuation<Void, Never>] = []
        var arrivals = 0
    }

    private let state = Mutex(State())

    /// How many have come so far.
    var arrivals: Int { state.withLock { $0.arrivals } }

    func pass() async {
        await withCheckedContinuation { continuation in
            let isOpen = state.withLock { state in
                state.arrivals += 1
                if !state.isOpen { state.waiting.append(continuation) }
                return state.isOpen
            }
            if isOpen { continuation.resume() }
        }
    }

    func open() {
        let waiting = state.withLock { state in
            state.isOpen = true
            defer { state.waiting = [] }
            return state.waiting
        }
        for continuation in waiting { continuation.resume() }
    }

    /// Returns once so many have come.
    func arrived(_ count: Int) async throws {
        while arrivals < count { try await Task.sleep(for: .milliseconds(1)) }
    }
}

/// A value that several tasks change.
final class Shared<Value: Sendable>: Sendable {
    private let state: Mutex<Value>

    init(_ value: Value) { state = Mutex(value) }

    var value: Value { state.withLock { $0 } }

    func change<Result: Sendable>(_ body: (inout Value) -> Result) -> Result {
        state.withLock { value in body(&value) }
    }
}
