import FoundationEssentials
import OCI
import Store
import TestSupport
import Testing
import TreeIndex
@testable import Images

/// Access profiles: what is recorded, what is believed, and what is fetched by them.
@Suite struct ProfileTests {
    /// Sixty files of 90,000 bytes each in spans of their own making, none like another.
    private static func lazy(landmarkAfter count: Int? = nil) -> LazyLayer {
        var random = SeededGenerator(seed: 41)
        var members: [TarMember] = (0..<60).map { .file("f\($0)", random.bytes(90_000)) }
        if let count { members.insert(.file(".prefetch.landmark", [0xf]), at: count) }
        return LazyLayer(members)
    }

    private func spans(_ tree: ContentTree, _ paths: String...) throws -> [Int] {
        try paths.flatMap { path in
            let node = tree.view.node(tree.view.canonical(try #require(tree.view.find(Array(path.utf8)))))
            let place = tree.layers[Int(node.layerSlot)]
            let inner = place.view.node(node.layerOrdinal)
            let start = try #require(inner.contentOffset)
            return Array(place.view.spanNumbers(in: start..<start + node.size))
        }
    }

    private func used(_ bench: Bench) async throws -> (Image, ContentTree) {
        let image = try await bench.image()
        let tree = try await bench.library.snapshot(of: image)
        bench.library.use(tree, of: image)
        return (image, tree)
    }

    /// Waits for the end of what is fetched by a profile.
    private func prefetched(_ bench: Bench, _ image: Image) async throws -> ImageUse.Progress {
        while true {
            let use = try #require(bench.library.uses.withLock { $0[image.manifestDescriptor.digest] })
            if use.progress.isSettled { return use.progress }
            try await Task.sleep(for: .milliseconds(5))
        }
    }

    // MARK: - Recording

    @Test func aProfileHasWhatWasReadInItsOrder() async throws {
        let scratch = try TemporaryDirectory()
        let file = scratch.path + "/profile"
        let bench = try Bench { $0.profiles = .record(file: file) }
        var order: [Range<UInt64>] = []
        try await bench.run { bench in
            try bench.add([Self.lazy().layer()])
            let (_, tree) = try await used(bench)
            for path in ["f40", "f3", "f41", "f3", "f12"] {
                _ = try await tree.content(path)
                let node = tree.layers[0].view.node(try #require(tree.layers[0].view.find(Array(path.utf8))))
                let start = try #require(node.contentOffset)
                order.append(start..<start + node.size)
            }
        }
        let profile = try AccessProfile(decoding: try Shell.contents(ofFile: file))
        #expect(profile.origin == .command && profile.files == 4)
        // Each file's first byte is touched in the order of the reads, and nothing that lies a block away from all of them.
        let first = order.map { range in profile.touches.firstIndex { $0.offset <= range.lowerBound && range.lowerBound < $0.offset + $0.length } }
        let positions = try first.map { try #require($0) }
        #expect(positions[0] < positions[1] && positions[1] < positions[4])
        for touch in profile.touches {
            #expect(order.contains { $0.lowerBound < touch.offset + touch.length && touch.offset < $0.upperBound })
        }
        for range in order {
            var position = range.lowerBound
            while let touch = profile.touches.first(where: { $0.offset <= position && position < $0.offset + $0.length }) { position = touch.offset + touch.length }
            #expect(position >= range.upperBound)
        }
    }

    @Test func everyByteIsTouchedOnceHoweverManyRead() async throws {
        let seed = SeededGenerator.named("everyByteIsTouchedOnceHoweverManyRead").seed
        try await Bench().run { bench in
            try bench.add([Self.lazy().layer()])
            let image = try await bench.image()
            let layer = try await bench.library.tree(of: image.layers[0])
            let recorder = AccessRecorder([layer])
            let size = Int(layer.view.contentSize)
            let read = try await withThrowingTaskGroup(of: [Range<UInt64>].self) { group in
                for reader in 0..<8 {
                    group.addTask {
                        var random = SeededGenerator(seed: seed &+ UInt64(reader))
                        var read: [Range<UInt64>] = []
                        for _ in 0..<100 {
                            let ordinal = try #require(layer.view.find(Array("f\(random.next() % 60)".utf8)))
                            let start = try #require(layer.view.node(ordinal).contentOffset)
                            let offset = random.next() % 95_000
                            let count = Int(random.next() % 40_000)
                            recorder.note(0, ordinal, at: offset, count: count)
                            read.append(start + offset..<start + max(offset, min(offset + UInt64(count), 90_000)))
                        }
                        return read
                    }
                }
                return try await group.reduce(into: []) { $0 += $1 }
            }
            var covered = [Bool](repeating: false, count: size)
            var twice = 0
            for touch in recorder.summary.touches {
                for position in touch.content {
                    if covered[Int(position)] { twice += 1 }
                    covered[Int(position)] = true
                }
                #expect(read.contains { $0.overlaps(touch.content) }, "seed \(seed): \(touch) was not read")
            }
            #expect(twice == 0, "seed \(seed)")
            for range in read { #expect(range.allSatisfy { covered[Int($0)] }, "seed \(seed): a byte that was read is missing") }
        }
    }

    @Test func aReadBesideASpansEdgeDoesNotSpeakForItsNeighbour() async throws {
        try await Bench().run { bench in
            try bench.add([Self.lazy().layer()])
            let layer = try await bench.library.tree(of: try await bench.image().layers[0])
            let first = layer.view.span(0)
            let recorder = AccessRecorder([layer])
            // The file that ends the first span: its last byte.
            let ordinal = try #require((0..<Ordinal(layer.view.nodeCount)).first { ordinal in
                let node = layer.view.node(ordinal)
                return node.kind == .regular && node.contentOffset.map { $0 + node.size == first.contentEnd } == true
            })
            recorder.note(0, ordinal, at: layer.view.node(ordinal).size - 1, count: 1)
            #expect(recorder.summary.touches.map(\.content.upperBound) == [first.contentEnd])
        }
    }

    // MARK: - Believing

    @Test func aDocumentThatIsNoProfileIsRefused() throws {
        let digest = Digest(of: [1])
        func document(layers: String? = nil, touches: String = "[0,0,10]", type: String = AccessProfile.mediaType, more: String = "") -> [UInt8] {
            let layers = layers ?? #"{"digest":"\#(digest)","space":"tar","contentBytes":100}"#
            return Array(#"{"mediaType":"\#(type)","origin":"mount","layers":[\#(layers)],"touches":\#(touches)\#(more)}"#.utf8)
        }
        #expect(try AccessProfile(decoding: document()).touches == [.init(layer: 0, offset: 0, length: 10)])
        #expect(try AccessProfile(decoding: document(more: #","future":{"x":1}"#)).bytes == 10)
        let layer = #"{"digest":"\#(digest)","space":"tar","contentBytes":100}"#
        for bad in [
            document(touches: "[0,0]"), document(touches: "[1,0,10]"), document(touches: "[0,0,0]"), document(touches: "[0,91,10]"),
            document(touches: "[0,18446744073709551615,2]"), document(touches: "[-1,0,10]"), document(touches: "[0,0.5,10]"), document(touches: "{}"),
            document(type: "text/plain"), document(layers: "\(layer),\(layer)"), document(layers: layer.replacing("tar", with: "moon")),
            Array("[".utf8), Array(repeating: UInt8(ascii: "["), count: 5000), [],
        ] {
            #expect(throws: ProfileError.self, "\(String(decoding: bad.prefix(300), as: UTF8.self))") { try AccessProfile(decoding: bad) }
        }
        #expect(throws: ProfileError.self) { try AccessProfile(decoding: document(), limit: 20) }
    }

    @Test func aDamagedDocumentIsRefusedOrStaysInBounds() async throws {
        var random = SeededGenerator.named("aDamagedDocumentIsRefusedOrStaysInBounds")
        let seed = random.seed
        let layers = (0..<4).map { AccessProfile.Layer(digest: Digest(of: [UInt8($0)]), space: "tar", contentBytes: 1 << 30) }
        let touches = (0..<200).map { _ in AccessProfile.Touch(layer: Int(random.next() % 4), offset: random.next() % (1 << 29), length: 1 + random.next() % (1 << 20)) }
        let profile = AccessProfile(origin: .command, created: "now", seconds: 2.5, files: 7, layers: layers, touches: touches)
        let bytes = try profile.encoded
        #expect(try AccessProfile(decoding: bytes) == profile)
        var survivors = 0
        for _ in 0..<3000 {
            var damaged = bytes
            for _ in 0..<1 + random.next() % 3 { damaged[Int(random.next() % UInt64(damaged.count))] = UInt8(truncatingIfNeeded: random.next() % 96 + 32) }
            guard let read = try? AccessProfile(decoding: damaged) else { continue }
            survivors += 1
            for touch in read.touches { try #require(touch.offset + touch.length <= read.layers[touch.layer].contentBytes, "seed \(seed)") }
        }
        #expect(survivors > 0, "seed \(seed)")
    }

    @Test func aProfileOfAnotherImageIsRefusedAndNoneIsReplacedByAnAdoptedOne() async throws {
        try await Bench { $0.profiles = .auto }.run { bench in
            try bench.add([Self.lazy().layer()])
            try bench.add([.plain([.file("a", "b")])], to: "other")
            let image = try await bench.image()
            let other = try await bench.image("other:1")
            func profile(_ image: Image, offset: UInt64) throws -> [UInt8] {
                try AccessProfile(
                    origin: .command, layers: [.init(digest: image.layers[0].descriptor.digest, space: "packed", contentBytes: 1 << 20)],
                    touches: [.init(layer: 0, offset: offset, length: 10)]
                ).encoded
            }
            #expect(throws: ProfileError.self) { try bench.library.adoptProfile(try profile(other, offset: 0), for: image) }
            #expect(try bench.library.profileBytes(of: image) == nil)
            #expect(try bench.library.adoptProfile(try profile(image, offset: 0), for: image))
            #expect(try !bench.library.adoptProfile(try profile(image, offset: 5), for: image))
            #expect(try bench.library.profile(of: image)?.touches[0].offset == 0)
            _ = try await bench.library.remove(try bench.reference())
            #expect(try bench.files("profiles") == [])
        }
    }

    // MARK: - Fetching

    @Test func anotherStoreFetchesWhatTheFirstOneReadAndNothingElse() async throws {
        let bench = try Bench { $0.profiles = .auto }
        try bench.add([.plain([.file("below", "b")]), Self.lazy().layer()])
        var wanted: Set<Int> = []
        let manifest = try await bench.image().manifestDescriptor.digest
        try await bench.run { bench in
            let (_, tree) = try await used(bench)
            for path in ["f50", "f2"] { _ = try await tree.content(path) }
            wanted = Set(try spans(tree, "f50", "f2"))
            #expect(wanted.count < tree.layers[1].view.spanCount)
        }
        // Ended by the shutdown: a first use that was short counts too.
        let bytes = try #require(try bench.store.profile(manifest))
        try await Bench(sharing: bench, storeName: "second") { $0.profiles = .auto }.run { second in
            let image = try await second.image()
            #expect(try second.library.adoptProfile(bytes, for: image))
            let (_, tree) = try await used(second)
            let progress = try await prefetched(second, image)
            #expect(progress.wantedSpans == wanted.count && progress.broughtSpans == wanted.count)
            #expect(Set((0..<tree.layers[1].view.spanCount).filter { tree.layers[1].hasSpan($0) }) == wanted)
            try second.loseSource()
            #expect(try await tree.content("f2").count == 90_000)
        }
    }

    @Test func prioritizedFilesAreFetchedFirst() async throws {
        try await Bench { $0.profiles = .auto }.run { bench in
            try bench.add([Self.lazy(landmarkAfter: 20).layer()])
            let (image, tree) = try await used(bench)
            let progress = try await prefetched(bench, image)
            let wanted = Set(try (0..<20).flatMap { try spans(tree, "f\($0)") })
            #expect(progress.broughtSpans == wanted.count && wanted.count < tree.layers[0].view.spanCount)
            #expect(wanted.allSatisfy { tree.layers[0].hasSpan($0) })
            // What was read then is recorded all the same: the landmark is the maker's guess.
            _ = try await tree.content("f55")
            await bench.library.endUses()
            #expect(try bench.library.profile(of: image)?.files == 1)
        }
    }

    @Test func whereProfilesAreOffNothingIsFetchedOrRecorded() async throws {
        try await Bench().run { bench in
            try bench.add([Self.lazy(landmarkAfter: 20).layer()])
            let (image, tree) = try await used(bench)
            _ = try await tree.content("f1")
            await bench.library.endUses()
            await bench.library.settle()
            #expect(!bench.store.hasProfile(image.manifestDescriptor.digest) && !bench.store.hasProfile(tree.layers[0].contentKey))
            #expect((0..<tree.layers[0].view.spanCount).count { tree.layers[0].hasSpan($0) } < 5)
        }
    }

    @Test func aLargerUseReplacesAGlanceAndNothingReplacesWhatWasRecordedOnPurpose() async throws {
        let bench = try Bench { $0.profiles = .auto }
        try bench.add([Self.lazy().layer()])
        let glance = try await readAnew(bench, "1", ["f1"])
        let second = try await readAnew(bench, "2", ["f1", "f2", "f30", "f31", "f59"])
        #expect(second.files == 5 && second.bytes > glance.bytes * 2)
        let third = try await readAnew(bench, "3", ["f7"])
        #expect(third == second)
        // As `profile record` leaves it.
        var purpose = glance
        purpose.origin = .command
        let digest = try await bench.image().manifestDescriptor.digest
        try bench.store.setProfile(try purpose.encoded, digest)
        let last = try await readAnew(bench, "4", (0..<60).map { "f\($0)" })
        #expect(last == purpose)
        await bench.library.shutdown()
    }

    /// Uses the image in a library of its own whose content is all missing, and returns the profile that it leaves in the first store.
    private func readAnew(_ bench: Bench, _ name: String, _ paths: [String]) async throws -> AccessProfile {
        let image = try await bench.image()
        let other = try Bench(sharing: bench, storeName: name) { $0.profiles = .auto }
        if let known = try bench.store.profile(image.manifestDescriptor.digest) { try other.store.setProfile(known, image.manifestDescriptor.digest) }
        try await other.run { other in
            let (_, tree) = try await used(other)
            _ = try await prefetched(other, image)
            for path in paths { _ = try await tree.content(path) }
        }
        let bytes = try #require(try other.store.profile(image.manifestDescriptor.digest))
        try bench.store.setProfile(bytes, image.manifestDescriptor.digest)
        return try AccessProfile(decoding: bytes)
    }

    // MARK: - Planning

    @Test func aPlanKeepsTheOrderBetweenItsBatchesAndTheBlobsOrderInside() async throws {
        try await Bench().run { bench in
            var random = SeededGenerator(seed: 5)
            try bench.add([LazyLayer((0..<40).map { .file("f\($0)", random.bytes(400_000)) }).layer()])
            let layer = try await bench.library.tree(of: try await bench.image().layers[0])
            let view = layer.view
            let order = Array(0..<view.spanCount).reversed()
            let touches = order.map { AccessProfile.Touch(layer: 0, offset: view.span($0).contentStart, length: view.span($0).length) }
            let profile = AccessProfile(origin: .mount, layers: [.init(layer)], touches: touches + touches)
            let plan = PrefetchPlan(profile, for: [nil, (.init(layer), view)]) { _, number in number != 3 }
            #expect(plan.batches.flatMap(\.spans).sorted() == (0..<view.spanCount).filter { $0 != 3 })
            #expect(plan.batches.allSatisfy { $0.slot == 1 && $0.spans == $0.spans.sorted() })
            #expect(plan.batches.count > 2 && plan.batches.count < view.spanCount)
            for (one, next) in zip(plan.batches, plan.batches.dropFirst()) { #expect(try #require(one.spans.first) > #require(next.spans.last)) }
            // Neighbours that are wanted later come along, but for the first window.
            let scattered = AccessProfile(origin: .mount, layers: [.init(layer)], touches: touches.enumerated().sorted { ($0.offset % 2, $0.offset) < ($1.offset % 2, $1.offset) }.map(\.element))
            let alone = PrefetchPlan(scattered, for: [(.init(layer), view)]) { _, _ in true }
            let along = PrefetchPlan(scattered, for: [(.init(layer), view)], neighbours: 3 << 20) { _, _ in true }
            #expect(along.batches.flatMap(\.spans).sorted() == Array(0..<view.spanCount) && along.contentBytes == alone.contentBytes)
            #expect(along.batches[0] == alone.batches[0])
            let requests = FetchPlan(view: view, limit: 12 << 20, gap: 0)
            #expect(along.batches.reduce(0) { $0 + requests.requests($1.spans).count } < alone.batches.reduce(0) { $0 + requests.requests($1.spans).count })
            // What may not be fetched is the end of it.
            let first = PrefetchPlan(profile, for: [(.init(layer), view)], room: 5 << 20) { _, _ in true }
            #expect(first.contentBytes <= 5 << 20 && first.spanCount >= 2 && first.batches.flatMap(\.spans).sorted().last == view.spanCount - 1)
            // A layer whose content is another, or in another space, is left alone.
            var other = AccessProfile.Layer(layer)
            other.contentBytes += 1
            #expect(PrefetchPlan(AccessProfile(origin: .mount, layers: [other], touches: touches), for: [(.init(layer), view)]) { _, _ in true }.batches == [])
        }
    }
}
