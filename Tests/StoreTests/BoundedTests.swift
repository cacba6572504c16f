import Glibc
import LinuxIO
import OCI
import Store
import Synchronization
import Testing

/// Limits under fire: many processes, kills, full disks, and everything at once. Random tests print their seed.
@Suite(.serialized) struct BoundedTests {
    private static let spanBytes = 60_000

    /// Images with layers in common, some pinned.
    private static func images(_ random: inout SeededGenerator) throws -> [TestImage] {
        let layers = (0..<6).map { TestLayer(name: "layer-\($0)", spans: Int.random(in: 1...12, using: &random), spanBytes: spanBytes) }
        return try (0..<4).map { number in
            try TestImage("app-\(number)", layers.shuffled(using: &random).prefix(Int.random(in: 1...3, using: &random)).map { $0 })
        }
    }

    @Test func whateverTheLimitIsNothingThatMustStayGoes() async throws {
        var random = SeededGenerator()
        for round in 0..<25 {
            let scratch = try ScratchStore()
            let store = try scratch.open()
            let images = try Self.images(&random)
            for image in images { try image.publish(in: store, blobs: Bool.random(using: &random)) }
            var ages: [StoreKey: Int] = [:]
            for file in try store.contents().spans.values.joined() {
                ages[file.key] = Int.random(in: 1000...100_000, using: &random)
                try scratch.setUse(file.key, age: ages[file.key] ?? 0)
            }
            let pinned = images.filter { _ in Int.random(in: 0..<5, using: &random) == 0 }
            for image in pinned { _ = try store.setPinned(image.reference, true) }
            var held: Set<Digest> = Set(pinned.flatMap { $0.layers.map(\.digest) })
            let leased = Bool.random(using: &random) ? images.randomElement(using: &random)?.layers.first : nil
            let lease = try leased.map { try #require(try store.holdLayer($0.digest)) }
            if let leased { held.insert(leased.digest) }

            let before = try store.usage().allocatedBytes
            let limit = UInt64.random(in: 0...before, using: &random)
            store.limit(by: StoreLimits(maxSize: .bytes(limit)))
            let report = try store.enforceLimits()
            let what = "round \(round): limit \(limit) of \(before), \(pinned.count) pinned, \(leased == nil ? "no" : "a") lease"

            for layer in images.flatMap(\.layers) where held.contains(layer.digest) {
                #expect(try store.presentSpans(layer.contentKey).count == layer.spans, "\(what): \(layer.name) is held")
            }
            for image in images { #expect(image.documents.allSatisfy { store.hasBlob($0) } && image.layers.allSatisfy { store.hasTree($0.digest) }, "\(what)") }
            let after = try store.usage().allocatedBytes
            #expect(after <= limit || report.missingBytes > 0, "\(what): \(after) are left")
            if report.missingBytes > 0 {
                let rest = images.flatMap(\.layers).filter { !held.contains($0.digest) }
                #expect(try rest.allSatisfy { try store.presentSpans($0.contentKey).isEmpty && !store.hasBlob($0.digest) }, "\(what): something could still go")
            }
            // What is left of what could go was used later than what has gone.
            let gone = report.evicted.filter { $0.path.hasPrefix("spans/") }.map(\.lastUse).max()
            let left = images.flatMap(\.layers).filter { !held.contains($0.digest) }.flatMap { layer in
                ((try? store.presentSpans(layer.contentKey)) ?? []).compactMap { ages[.span(layer.contentKey, $0)] }
            }
            if let gone, let oldest = left.max() { #expect(Int64(time(nil) - oldest) * 1_000_000_000 >= gone - 5_000_000_000, "\(what)") }
            _ = consume lease
        }
    }

    @Test func theAccountsOfManyProcessesAddUp() async throws {
        let scratch = try ScratchStore(onDisk: true)
        let store = try scratch.open()
        // The first scan opens the account.
        _ = try store.contents()
        let path = scratch.path
        await withTaskGroup(of: Void.self) { group in
            for number in 0..<4 {
                group.addTask {
                    await #expect(processExitsWith: .success) { [path = path as String, number = number as Int] in
                        let store = try Store(at: path, create: false, logger: .silent)
                        let layer = TestLayer(name: "process \(number)", spans: 60, spanBytes: 100_000)
                        for span in 0..<60 { try layer.publishSpan(span, in: store) }
                        for span in 0..<20 { try store.remove(.span(layer.contentKey, UInt32(span))) }
                        // More than a batch is given at once; what is kept back is less.
                    }
                }
            }
        }
        let usage = try store.usage()
        #expect(usage.spans.count == 4 * 40)
        let counted = try #require(try scratch.open().accountedTotals)
        let behind = usage.spans.allocatedBytes > counted.content ? usage.spans.allocatedBytes - counted.content : counted.content - usage.spans.allocatedBytes
        #expect(behind <= 4 * 4 << 20, "\(counted.content) of \(usage.spans.allocatedBytes)")
        #expect(counted.content > 0)
        #expect(try store.contents().totals.content == usage.spans.allocatedBytes)
        #expect(store.accountedTotals?.content == usage.spans.allocatedBytes, "a scan sets it right")
    }

    @Test func killedEvictorsLoseNothing() async throws {
        var random = SeededGenerator()
        let scratch = try ScratchStore()
        let path = scratch.path
        let store = try scratch.open()
        let kept = try TestImage("kept", [TestLayer(name: "kept", spans: 6, spanBytes: Self.spanBytes)])
        try kept.publish(in: store)
        _ = try store.setPinned(kept.reference, true)
        let other = try TestImage("other", [TestLayer(name: "other", spans: 30, spanBytes: Self.spanBytes)])
        try other.publish(in: store)
        for round in 0..<12 {
            let (seed, delay) = (random.next(), UInt32.random(in: 1000..<60_000, using: &random))
            await #expect(processExitsWith: .signal(SIGKILL)) { [path = path as String, seed = seed as UInt64, delay = delay as UInt32] in
                try evictForEver(try Store(at: path, create: false, logger: .silent), seed: seed, killedAfter: delay)
            }
            let store = try scratch.open()
            #expect(try store.presentSpans(kept.layers[0].contentKey).count == 6)
            #expect(kept.documents.allSatisfy { store.hasBlob($0) } && store.hasBlob(kept.layers[0].digest) && store.hasTree(kept.layers[0].digest))
            let report = try await store.verify(repair: false)
            #expect(report.isSound, "round \(round): \(report.findings)")
            // Nobody is locked out by the dead, and what has gone comes again.
            store.limit(by: StoreLimits(maxSize: .bytes(1_000_000)))
            try store.enforceLimits()
            for span in 0..<30 { try other.layers[0].publishSpan(span, in: store) }
        }
    }

    @Test func readersWritersAndEvictorsAtOnceSeeWholeSpansOrNone() async throws {
        var random = SeededGenerator()
        let scratch = try ScratchStore()
        let layers = (0..<3).map { TestLayer(name: "layer-\($0)", spans: 20, spanBytes: Self.spanBytes) }
        let image = try TestImage("app", layers)
        try image.publish(in: try scratch.open(), blobs: false)
        // Several openings are as several daemons: locks and accounts are between them, not within one.
        let stores = try (0..<4).map { _ in try scratch.open() }
        for store in stores { store.limit(by: StoreLimits(maxContent: .bytes(UInt64(20 * Self.spanBytes)))) }
        let seeds = (0..<6).map { _ in random.next() }
        let tally = Tally()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (worker, seed) in seeds.enumerated() {
                group.addTask {
                    var state = seed
                    let store = stores[worker % stores.count]
                    for _ in 0..<400 {
                        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                        let layer = layers[Int(state >> 33) % layers.count]
                        let number = Int(state >> 40) % layer.spans
                        if let file = try store.openSpan(layer.contentKey, UInt32(number)) {
                            #expect(try file.readAll(limit: 1 << 20) == layer.content(number), "a span that is there is whole")
                            tally.hits.add(1, ordering: .relaxed)
                        } else {
                            try layer.publishSpan(number, in: store)
                            tally.misses.add(1, ordering: .relaxed)
                        }
                        if worker == 0 && state >> 60 == 0 { try store.enforceLimits() }
                    }
                }
            }
            try await group.waitForAll()
        }
        try stores[0].enforceLimits()
        #expect(try stores[0].usage().spans.allocatedBytes <= UInt64(20 * Self.spanBytes))
        #expect(tally.hits.load(ordering: .relaxed) > 0 && tally.misses.load(ordering: .relaxed) > 0)
        #expect(try await stores[0].verify(repair: false).isSound)
    }

    @Test(.enabled(if: SmallDisk.isPossible, "needs root, to mount a small tmpfs"))
    func aFullDiskMakesRoomForWhatComes() throws {
        let disk = try SmallDisk(bytes: 4 << 20)
        let store = try Store(at: disk.path + "/store", create: true, logger: .silent)
        let layer = TestLayer(name: "large", spans: 120, spanBytes: 100_000)
        try TestImage("app", [layer]).publish(in: store, blobs: false, spans: false)
        // Three times as much as there is place for, without any limit set.
        for number in 0..<120 { try layer.publishSpan(number, in: store) }
        let here = try store.presentSpans(layer.contentKey)
        #expect(here.count > 10 && here.count < 42 && here.last == 119)
        for number in here { #expect(try store.openSpan(layer.contentKey, number).bytes() == layer.content(Int(number))) }
        #expect(store.evictions.files >= 78)
        // Nothing can go for more than the disk has.
        let file = try store.temporary("too-large")
        #expect(throws: StoreError.self) { for _ in 0..<50 { try file.write([UInt8](repeating: 1, count: 100_000)) } }
    }
}

extension Store {
    /// The lease under which a layer is worked at; nil where another has it.
    fileprivate func holdLayer(_ digest: Digest) throws(StoreError) -> HeldLease? {
        guard let lease = try lease("layer-\(digest.hex)") else { return nil }
        return HeldLease(lease)
    }
}

/// How often a span was there, and how often not.
private final class Tally: Sendable {
    let hits = Atomic(0)
    let misses = Atomic(0)
}

/// A lease that a collection or an optional of a test can hold.
private final class HeldLease {
    private let lease: StoreLease
    init(_ lease: consuming StoreLease) { self.lease = lease }
}

/// Publishes and evicts until the end, which comes so long after the first of it.
private func evictForEver(_ store: Store, seed: UInt64, killedAfter delay: UInt32) throws {
    let layer = TestLayer(name: "other", spans: 30, spanBytes: 60_000)
    store.limit(by: StoreLimits(maxSize: .bytes(500_000)))
    try store.enforceLimits()
    try #require(try store.presentSpans(layer.contentKey).count < 30)
    let pause = UnsafeMutablePointer<UInt32>.allocate(capacity: 1)
    pause.pointee = delay
    var thread = pthread_t()
    pthread_create(&thread, nil, { pause in
        usleep(pause?.assumingMemoryBound(to: UInt32.self).pointee ?? 0)
        kill(getpid(), SIGKILL)
        return nil
    }, pause)
    for number in 0... {
        store.limit(by: StoreLimits(maxSize: .bytes(UInt64(800_000 + (seed &+ UInt64(number)) % 10 * 100_000))))
        try store.enforceLimits()
        for span in 0..<30 { try layer.publishSpan(span, in: store) }
    }
}

/// A tmpfs that goes with this object.
final class SmallDisk {
    let path: String

    static var isPossible: Bool { geteuid() == 0 || getenv("CI") != nil }

    init(bytes: Int) throws {
        var template = Array("/tmp/larder-disk-XXXXXX".utf8CString)
        guard let made = template.withUnsafeMutableBufferPointer({ mkdtemp($0.baseAddress!) }) else { throw SystemError("mkdtemp") }
        path = String(cString: made)
        guard mount("larder-test", path, "tmpfs", 0, "size=\(bytes)") == 0 else { throw SystemError("mount", path: path) }
    }

    deinit {
        umount2(path, Int32(MNT_DETACH))
        rmdir(path)
    }
}
