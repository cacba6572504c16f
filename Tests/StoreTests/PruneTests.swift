import Glibc
import LinuxIO
import OCI
import Store
import Testing

/// `larder prune` and `larder du`, below the command line.
@Suite struct PruneTests {
    let scratch: ScratchStore
    let store: Store
    let base = TestLayer(name: "base", spans: 4, spanBytes: 100_000)
    let left = TestLayer(name: "left", spans: 2, spanBytes: 100_000)
    let right = TestLayer(name: "right", spans: 3, spanBytes: 100_000)
    let stray = TestLayer(name: "stray", spans: 1, spanBytes: 100_000)

    init() throws {
        scratch = try ScratchStore()
        store = try scratch.open()
        try TestImage("left", [base, left]).publish(in: store)
        try TestImage("right", [base, right]).publish(in: store)
        try stray.publish(in: store)
    }

    private func removed(_ filters: [String], all: Bool = false) throws -> Set<String> {
        var request = PruneRequest()
        request.filters = try filters.map { try FilterExpression($0, fields: PruneRequest.fields) }
        request.all = all
        return Set(try store.prune(request, dryRun: true).evicted.map { "\($0.kind.rawValue) \(name($0.layer))" })
    }

    private func name(_ digest: Digest?) -> String { [base, left, right, stray].first { $0.digest == digest }?.name ?? "?" }

    @Test func withoutOptionsGoesWhatNoImageNeeds() throws {
        #expect(try removed([]) == ["blob stray", "content stray", "index stray"])
    }

    @Test(arguments: [
        (["type==blob"], ["blob base", "blob left", "blob right", "blob stray"]),
        (["type==content,shared"], ["content base"]),
        (["private,type==blob"], ["blob left", "blob right"]),
        (["image~=left"], ["blob base", "blob left", "content base", "content left"]),
        (["image==host.example/right:1"], ["blob right", "content right"]),
        (["image!=host.example/right:1,private,complete"], ["blob left", "content left"]),
        (["type==blob,shared", "type==content,image~=right$"], ["blob base"]),
        (["until=1h"], []), (["until=0s,type=content,description~=content of layer,sealed,immutable,shared"], ["content base"]),
    ] as [([String], [String])])
    func filtersChoose(_ filters: [String], _ expected: [String]) throws {
        #expect(try removed(filters) == Set(expected))
    }

    @Test func idsAreDigestsOfLayers() throws {
        #expect(try removed(["id==\(right.digest)"]) == ["blob right", "content right"])
        #expect(try removed(["id==\(right.digest)"], all: true) == ["blob right", "content right", "index right"])
        #expect(throws: FilterExpression.BadFilter.self) { try removed(["inuse"]) }
    }

    @Test func aDryRunSaysWhatTheDeedDoesAndDoesNothing() throws {
        try scratch.ageEverything(by: 5000, in: store.contents())
        var request = PruneRequest()
        request.limits = StoreLimits(maxSize: .bytes(500_000))
        let before = try store.usage()
        let dry = try store.prune(request, dryRun: true)
        #expect(try store.usage() == before)
        let done = try store.prune(request, dryRun: false)
        #expect(dry.evicted.map(\.path) == done.evicted.map(\.path) && dry.freedBytes == done.freedBytes && dry.freedBytes > 0)
        #expect(try store.usage().allocatedBytes == before.allocatedBytes - done.freedBytes)
        #expect(try store.usage().allocatedBytes <= 500_000)
    }

    @Test func whatWasUsedJustNowCanBeKept() throws {
        try scratch.ageEverything(by: 5000, in: store.contents())
        _ = try store.openSpan(left.contentKey, 1)
        var request = PruneRequest()
        request.all = true
        request.keep = .seconds(1000)
        _ = try store.prune(request, dryRun: false)
        #expect(try store.presentSpans(left.contentKey) == [1])
        #expect(try store.presentSpans(base.contentKey) == [])
    }

    @Test func whatSpaceIsReservedIsNotGivenForFreeSpace() throws {
        let size = try store.usage().allocatedBytes
        var request = PruneRequest()
        request.limits = StoreLimits(minFree: .percent(100), reserved: .bytes(size - 300_000))
        let report = try store.prune(request, dryRun: false)
        #expect(report.freedBytes >= 300_000 && report.freedBytes < 500_000)
    }

    @Test func pinnedImagesStayWithEverythingTheyNeed() throws {
        let reference = try #require(Reference("host.example/left:1"))
        let other = try #require(Reference("host.example/other:1"))
        #expect(try store.setPinned(reference, true) == true && store.setPinned(reference, true) == false)
        #expect(try store.setPinned(other, true) == nil)
        #expect(try store.pins() == [reference])
        #expect(try removed([], all: true) == ["blob right", "blob stray", "content right", "content stray", "index right", "index stray"])
        // The tag moves: the pin is on the name.
        let moved = try TestImage("moved", [right])
        try moved.publish(in: store)
        try store.setReference(reference, Descriptor(mediaType: MediaType.manifest, digest: Digest(of: moved.manifest), size: UInt64(moved.manifest.count)))
        #expect(try store.pins() == [reference])
        #expect(try !removed([], all: true).contains("content right") && removed([], all: true).contains("content left"))
        #expect(try store.setPinned(reference, false) == true && store.pins().isEmpty)
    }

    @Test func usageIsTold() throws {
        let report = try store.report()
        #expect(report.images.map(\.reference) == ["host.example/left:1", "host.example/right:1"])
        let usage = try store.usage()
        #expect(report.totals.all == usage.allocatedBytes && report.totals.content == usage.spans.allocatedBytes)
        let sums = report.images.map(\.sizes)
        #expect(sums[0].shared == sums[1].shared && sums[0].shared > 400_000)
        let strays = report.unneeded.reduce(0) { $0 + $1.sizes.stored }
        #expect(report.unneeded.map(\.digest) == [stray.digest])
        #expect(sums[0].exclusive + sums[1].exclusive + sums[0].shared + strays == report.totals.all, "everything is somebody's, and counted once")
        #expect(report.images[0].logical == UInt64(base.logicalBytes + left.logicalBytes))
        #expect(report.images[0].layers.map(\.digest) == [base.digest, left.digest])
        #expect(report.images[0].layers.allSatisfy { $0.complete && $0.sealed && !$0.leased })
    }

    @Test func removingAnImageLeavesWhatOthersNeed() throws {
        let reference = try #require(Reference("host.example/left:1"))
        let image = try #require(try store.storedImage(reference))
        try store.removeReference(reference)
        let keys = try store.contents().belongings(of: image)
        #expect(Set(keys).count == keys.count)
        for key in keys { #expect(try store.remove(key)) }
        #expect(try store.presentSpans(left.contentKey).isEmpty && !store.hasBlob(left.digest) && !store.hasTree(left.digest))
        #expect(try store.presentSpans(base.contentKey).count == 4 && store.hasBlob(base.digest) && store.hasTree(base.digest))
        #expect(try store.presentSpans(stray.contentKey).count == 1, "nor what nobody needs: that is prune's")
        #expect(image.documents.allSatisfy { !store.hasBlob($0) })
    }
}
