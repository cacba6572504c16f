import Glibc
import LinuxIO
import OCI
import Store
import Synchronization
import Testing

/// A bounded store: what goes, what stays, and in which order.
@Suite struct EvictionTests {
    let scratch: ScratchStore
    let store: Store

    init() throws {
        scratch = try ScratchStore()
        store = try scratch.open()
    }

    private func present(_ layer: TestLayer) throws -> [Int] { try store.presentSpans(layer.contentKey).map(Int.init) }

    private func allocated() throws -> UInt64 { try store.usage().allocatedBytes }

    @Test func whatWasUsedLongestAgoGoesFirstAndTheStoreEndsBelowItsLimit() throws {
        let layer = TestLayer(name: "a", spans: 20, spanBytes: 100_000)
        try TestImage("app", [layer]).publish(in: store, blobs: false)
        // Older with every second number, so that the order is not that of the names.
        for number in 0..<20 { try scratch.setUse(.span(layer.contentKey, UInt32(number)), age: 10_000 + (number % 2 == 0 ? 1000 : 0) + number) }
        store.limit(by: StoreLimits(maxSize: .bytes(1_200_000)))
        let report = try store.enforceLimits()
        let left = try present(layer)
        #expect(try allocated() <= 1_080_000, "down to nine tenths")
        #expect(try allocated() > 800_000, "and not much further")
        #expect(left.filter { $0 % 2 == 0 }.isEmpty && !left.isEmpty)
        #expect(left == (0..<20).filter { $0 % 2 == 1 && $0 <= left.last! }, "of the younger half, those used last")
        #expect(report.freedBytes == report.evicted.reduce(0) { $0 + $1.allocatedBytes } && report.missingBytes == 0)
        #expect(try store.enforceLimits().evicted.isEmpty, "what is within its limits stays as it is")
    }

    @Test func openingMarksUseWhereTheMountKeepsNone() throws {
        let layer = TestLayer(name: "a", spans: 2, spanBytes: 100_000)
        try TestImage("app", [layer]).publish(in: store, blobs: false)
        for number in 0..<2 { try scratch.setUse(.span(layer.contentKey, UInt32(number)), age: 10_000) }
        _ = try store.openSpan(layer.contentKey, 0)
        let status = try scratch.directory().status(StoreKey.span(layer.contentKey, 0).path)
        #expect(time(nil) - status.st_atim.tv_sec < 1000 && time(nil) - status.st_mtim.tv_sec > 9000, "access is marked, change is not")
        store.limit(by: StoreLimits(maxContent: .bytes(150_000)))
        try store.enforceLimits()
        #expect(try present(layer) == [0])
    }

    @Test func aBlobWhoseContentIsHereGoesBeforeAnyContentAndTheImageStaysReadable() throws {
        let complete = TestLayer(name: "complete", spans: 3, spanBytes: 100_000)
        let partial = TestLayer(name: "partial", spans: 3, spanBytes: 100_000)
        try TestImage("app", [complete, partial]).publish(in: store)
        try store.remove(.span(partial.contentKey, 1))
        // Used last of all, and still the first to go.
        try scratch.ageEverything(by: 10_000, in: store.contents())
        try scratch.setUse(.blob(complete.digest), age: 0)
        try scratch.setUse(.blob(partial.digest), age: 1)
        let before = try allocated()
        #expect(try store.makeRoom(for: 4096))
        #expect(!store.hasBlob(complete.digest) && store.hasBlob(partial.digest))
        #expect(try present(complete) == [0, 1, 2] && present(partial) == [0, 2])
        #expect(try allocated() < before)
    }

    @Test func onlyTheKindThatIsAboveItsLimitGoes() throws {
        let layer = TestLayer(name: "a", spans: 5, spanBytes: 100_000)
        try TestImage("app", [layer]).publish(in: store)
        try store.remove(.span(layer.contentKey, 4))
        store.limit(by: StoreLimits(maxBlobs: .bytes(10_000)))
        try store.enforceLimits()
        #expect(!store.hasBlob(layer.digest))
        #expect(try present(layer).count == 4)
        store.limit(by: StoreLimits(maxContent: .bytes(250_000)))
        try store.enforceLimits()
        #expect(try present(layer).count == 2)
    }

    @Test func documentsAndIndexesOfKnownImagesStay() throws {
        let layer = TestLayer(name: "a", spans: 5, spanBytes: 100_000)
        let image = try TestImage("app", [layer])
        try image.publish(in: store)
        store.limit(by: StoreLimits(maxSize: .bytes(0)))
        let report = try store.enforceLimits()
        #expect(report.missingBytes > 0, "what must stay is above the limit")
        #expect(image.documents.allSatisfy { store.hasBlob($0) })
        #expect(store.hasTree(layer.digest) && store.hasTree(layer.contentKey))
        #expect(try present(layer).isEmpty && !store.hasBlob(layer.digest))
        #expect(try store.storedImage(image.reference)?.layers == [layer.digest])
    }

    @Test func whatOtherToolsNameInTheSameLayoutIsNotOurs() throws {
        let image = try TestImage("theirs", [TestLayer(name: "theirs", spans: 1, spanBytes: 50_000)])
        for bytes in [image.config, image.manifest, image.layers[0].blob] { try store.putBlob(bytes) }
        // As skopeo copy writes it: a short tag in place of a full reference.
        try scratch.write("index.json", #"{"schemaVersion":2,"manifests":[{"mediaType":"\#(MediaType.manifest)","digest":"\#(Digest(of: image.manifest))","size":\#(image.manifest.count),"annotations":{"org.opencontainers.image.ref.name":"latest"}}]}"#)
        let stray = try store.putBlob([UInt8](repeating: 1, count: 50_000))
        var request = PruneRequest()
        request.all = true
        #expect(try store.prune(request, dryRun: false).evicted.isEmpty, "a reference to what has come just now may be on its way")
        try scratch.setUse(.blob(stray), age: 1000)
        let report = try store.prune(request, dryRun: false)
        #expect(report.evicted.map(\.path) == [StoreKey.blob(stray).path])
        #expect(store.hasBlob(image.layers[0].digest))
    }

    @Test func anOpenObjectStaysAndItsSpaceComesBackWhenItIsClosed() throws {
        let content = [UInt8](repeating: 5, count: 300_000)
        let key = StoreKey.object(Digest(of: content))
        let file = try store.temporary("object")
        try file.write(content)
        try store.publishObject(file, Digest(of: content))
        do {
            guard let open = try store.open(key) else { return #expect(Bool(false), "it was published") }
            open.holdInUse()
            store.limit(by: StoreLimits(maxContent: .bytes(0)))
            // The descriptor's open file counts, not the descriptor.
            let copy = try open.duplicate()
            _ = consume open
            let report = try store.enforceLimits()
            #expect(report.openFiles == 1 && report.evicted.isEmpty && store.has(key))
            _ = consume copy
        }
        #expect(try becomes {
            store.limit(by: StoreLimits(maxContent: .bytes(0)))
            try store.enforceLimits()
            return !store.has(key)
        })
    }

    @Test func aReaderOfWhatIsEvictedReadsOn() throws {
        let layer = TestLayer(name: "a", spans: 1, spanBytes: 200_000)
        try TestImage("app", [layer]).publish(in: store, blobs: false)
        guard let file = try store.openSpan(layer.contentKey, 0) else { return #expect(Bool(false), "it was published") }
        #expect(try store.makeRoom(for: 1))
        #expect(try store.openSpan(layer.contentKey, 0) == nil)
        #expect(try file.readAll(limit: 1 << 20) == layer.content(0))
    }

    @Test func contentThatComesBackWithItsWholeLayerOnlyStaysWhileItIsUsed() throws {
        let layer = TestLayer(name: "one-frame", spans: 4, spanBytes: 100_000, servesSpans: false)
        try TestImage("app", [layer]).publish(in: store, blobs: false)
        for number in 0..<3 { try scratch.setUse(.span(layer.contentKey, UInt32(number)), age: 10_000) }
        store.limit(by: StoreLimits(maxContent: .bytes(100_000)))
        let report = try store.enforceLimits()
        #expect(report.evicted.isEmpty && report.missingBytes > 0, "one part is in use, so all of it is")
        try scratch.setUse(.span(layer.contentKey, 3), age: 10_000)
        store.limit(by: StoreLimits(maxContent: .bytes(100_000)))
        try store.enforceLimits()
        #expect(try present(layer).count <= 1)
    }

    @Test func spansWithoutAnIndexGoUnlessSomebodyUnpacksALayer() async throws {
        let orphan = Digest(ofText: "no index")
        _ = try [UInt8](repeating: 1, count: 100_000).withUnsafeBytes { try store.publishSpan($0, orphan, 0) }
        let lease = try await store.exclusive("layer-\(Digest(ofText: "some layer").hex)")
        var request = PruneRequest()
        request.all = true
        #expect(try store.prune(request, dryRun: false).evicted.isEmpty)
        lease.release()
        #expect(try becomes { try store.prune(request, dryRun: false).evicted.count == 1 })
        #expect(try scratch.names("spans") == [], "the emptied folder is gone too")
    }

    @Test func evictionsAreTold() throws {
        let layer = TestLayer(name: "a", spans: 2, spanBytes: 100_000)
        try TestImage("app", [layer]).publish(in: store, blobs: false)
        let told = Mutex(0)
        store.onUpkeep { event in if case .evicted = event { told.withLock { $0 += 1 } } }
        #expect(try store.makeRoom(for: 1))
        #expect(told.withLock { $0 } == 1)
        #expect(store.evictions.runs == 1 && store.evictions.files >= 1 && store.evictions.bytes > 0)
    }

    @Test func thereIsNoRoomWhereNothingMayGo() throws {
        try TestImage("app", []).publish(in: store)
        #expect(try !store.makeRoom(for: 1 << 62))
    }
}
