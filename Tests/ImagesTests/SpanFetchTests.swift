import Glibc
import OCI
import Store
import TestSupport
import Testing
import TreeIndex
@testable import Images

/// Spans by need from a real registry: requests are counted, because they are what a reader waits for. One test at a time, or
/// some wait so long for the others that a request is made again.
@Suite(.serialized) struct SpanFetchTests {
    @Test func aMissIsOneRequestForItsSpanAlone() async throws {
        try await LazyBench.run { lazy in
            try await lazy.check(7)
            #expect(lazy.requests.count == 1)
            let span = lazy.tree.view.span(7)
            #expect(lazy.requests == ["bytes=\(span.sourceOffset)-\(span.sourceOffset + span.sourceLength - 1)"])
            #expect(try await lazy.stored() == [7])
            // From now on it costs nothing.
            try await lazy.check(7)
            #expect(lazy.requests.count == 1)
            #expect(lazy.bench.library.fetchCounters[.demand] == .init(requests: 1, bytes: span.sourceLength))
        }
    }

    @Test func neighboursThatAreWantedTogetherAreOneRequest() async throws {
        try await LazyBench.run { lazy in
            try await lazy.tree.fetcher.bring([6, 5], for: .demand)
            #expect(lazy.requests.count == 1)
            for number in [5, 6] { try await lazy.check(number) }
            #expect(lazy.requests.count == 1)
            // Those that are here split the range.
            try await lazy.tree.fetcher.bring(0..<lazy.tree.view.spanCount, for: .pull)
            let asked = lazy.requests.dropFirst()
            #expect(asked.count < lazy.tree.view.spanCount - 2)
            #expect(try await lazy.stored() == Array(0..<lazy.tree.view.spanCount))
            for number in 0..<lazy.tree.view.spanCount { try await lazy.check(number) }
        }
    }

    @Test func readingInOrderTakesFarFewerRequestsThanSpans() async throws {
        try await LazyBench.run(megabytes: 32) { lazy in
            let count = lazy.tree.view.spanCount
            for number in 0..<count {
                try await lazy.check(number)
                // A reader who is faster than what is fetched ahead of him asks himself.
                try await lazy.nothingIsUnderWay()
            }
            #expect(lazy.requests.count <= count * 2 / 3, "\(lazy.requests.count) requests for \(count) spans")
            #expect(lazy.bench.library.fetchCounters[.ahead].bytes > 0)
            // Nothing came twice.
            let counters = lazy.bench.library.fetchCounters
            #expect(counters[.demand].bytes + counters[.ahead].bytes == (0..<count).reduce(0) { $0 + lazy.tree.view.span($1).sourceLength })
        }
    }

    @Test func readingHereAndThereFetchesNothingBeside() async throws {
        try await LazyBench.run { lazy in
            for number in [9, 1, 5] { try await lazy.check(number) }
            #expect(lazy.requests.count == 3)
            #expect(try await lazy.stored() == [1, 5, 9])
        }
    }

    @Test func manyReadersOfOneSpanAreOneRequest() async throws {
        try await LazyBench.run { lazy in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<50 { group.addTask { try await lazy.check(4) } }
                try await group.waitForAll()
            }
            #expect(lazy.requests.count == 1)
        }
    }

    @Test func aCancelledReaderEndsAtOnceAndTheOthersAreServed() async throws {
        try await LazyBench.run { lazy in
            let valve = Valve()
            lazy.hold { await valve.pass() }
            let first = Task { try await lazy.read(3) }
            try await valve.arrived(1)
            let second = Task { try await lazy.read(3) }
            while lazy.tree.flights.state.withLock({ $0.underway[3]?.readers ?? 0 }) < 2 { await Task.yield() }
            first.cancel()
            await #expect(throws: CancellationError.self) { try await first.value }
            valve.open()
            #expect(Digest(of: try await second.value) == lazy.expected(3))
            #expect(lazy.requests.count == 1)
            #expect(lazy.bench.library.fetchCounters.waitingReaders == 0)
        }
    }

    @Test func aSpanThatNobodyWaitsForAnyMoreCanBeHadAgain() async throws {
        try await LazyBench.run { lazy in
            let valve = Valve()
            lazy.hold { await valve.pass() }
            let only = Task { try await lazy.read(3) }
            try await valve.arrived(1)
            only.cancel()
            await #expect(throws: CancellationError.self) { try await only.value }
            lazy.hold(nil)
            try await lazy.check(3)
            valve.open()
        }
    }

    @Test func aReaderIsServedFromMemoryBeforeTheDiskHasIt() async throws {
        try await LazyBench.run { lazy in
            try await lazy.tree.fetcher.bring([2], for: .demand)
            // Wherever it is now, a reader finds it.
            #expect(lazy.tree.hasSpan(2))
            try await lazy.check(2)
            await lazy.bench.library.settle()
            #expect(!lazy.tree.supply.fresh.contains(lazy.tree.contentKey, 2))
            #expect(lazy.bench.store.has(.span(lazy.tree.contentKey, 2)))
            try await lazy.memoryIsGivenBack()
        }
    }

    @Test func theRestIsFetchedOnceWaitingHasCostAsMuch() async throws {
        try await LazyBench.run(megabytes: 32, { $0.fetchesRest = true }) { lazy in
            // A slow host: after some spans the rest in one go is cheaper.
            lazy.hold { try await Task.sleep(for: .milliseconds(100)) }
            let count = lazy.tree.view.spanCount
            // Backwards, so that nothing is fetched ahead and what is missing stays together.
            for number in (0..<count).reversed() {
                try await lazy.check(number)
                while lazy.tree.flights.state.withLock({ $0.isFetchingRest }) { try await Task.sleep(for: .milliseconds(5)) }
            }
            let counters = lazy.bench.library.fetchCounters
            #expect(counters[.rest].requests > 0 && counters[.rest].bytes > 0)
            #expect(counters[.rest].bytes + counters[.demand].bytes == (0..<count).reduce(0) { $0 + lazy.tree.view.span($1).sourceLength })
            #expect(lazy.requests.count < count)
            #expect(lazy.tree.isComplete)
            #expect(try await lazy.stored().count == count)
        }
    }

    @Test func theBackgroundFillGivesWayToReadersAndCompletesTheLayer() async throws {
        try await LazyBench.run({ $0.backgroundFill = true; $0.fillDelay = .milliseconds(50) }) { lazy in
            try await lazy.check(1)
            // The first request of the fill is caught on its way.
            let valve = Valve()
            let isHeld = Shared(true)
            lazy.hold { if isHeld.value { await valve.pass() } }
            while lazy.requests.count < 2 { try await Task.sleep(for: .milliseconds(5)) }
            #expect(lazy.bench.library.fetchCounters.waitingReaders == 0)
            isHeld.change { $0 = false }
            // A reader of what that request was to bring does not wait for it: it is given up and the span asked for anew.
            try await lazy.check(9)
            #expect(lazy.tree.hasSpan(9))
            valve.open()
            while !lazy.tree.isComplete { try await Task.sleep(for: .milliseconds(5)) }
            for number in 0..<lazy.tree.view.spanCount { try await lazy.check(number) }
            #expect(lazy.bench.library.fetchCounters[.fill].bytes > 0)
        }
    }

    /// On an idle host at once; the busier it is the more seldom, but never not at all.
    @Test(arguments: [(100, 1, 0), (100, 0.5, 300), (100, 0.25, 1500), (100, 0.1, 4900), (50, 0, 2450), (4000, 0, 5000)] as [(Int, Double, Int)])
    func theBackgroundFillPausesWhereTheHostIsBusy(worked: Int, idleShare: Double, milliseconds: Int) {
        let pause = BackgroundFill.pause(after: .milliseconds(worked), idleShare: idleShare)
        #expect(abs(pause / .milliseconds(1) - Double(milliseconds)) < 0.001)
    }

    @Test func aBlobInTheStoreIsReadThere() async throws {
        try await LazyBench.run { lazy in
            let temporary = try lazy.bench.store.temporary("blob")
            try temporary.write(lazy.content)
            try lazy.bench.store.publishBlob(temporary, lazy.tree.layer.descriptor.digest)
            try await lazy.check(3)
            #expect(lazy.requests == [])
        }
    }

    @Test func wrongBytesAreAskedForOnceMoreAndThenAnError() async throws {
        try await LazyBench.run { lazy in
            let count = Shared(0)
            lazy.inject { count.change { $0 += 1; return $0 } == 1 ? .flipsByte : nil }
            try await lazy.check(3)
            #expect(lazy.requests.count == 2)
            lazy.inject { .flipsByte }
            await #expect { try await lazy.read(8) } throws: { "\($0)".contains("\(lazy.tree.layer.descriptor.digest)") }
            #expect(!lazy.tree.hasSpan(8))
            #expect(try await lazy.stored() == [3])
            lazy.heal()
            try await lazy.check(8)
        }
    }

    @Test func whatIsEvictedBetweenFetchAndReadIsFetchedAgain() async throws {
        try await LazyBench.run { lazy in
            let evictor = Task {
                while !Task.isCancelled {
                    try? lazy.bench.store.removeSpans(lazy.tree.contentKey)
                    try await Task.sleep(for: .milliseconds(1))
                }
            }
            for number in 0..<lazy.tree.view.spanCount { try await lazy.check(number) }
            evictor.cancel()
        }
    }

    // MARK: - A full disk

    @Test func onAFullDiskEverythingIsReadRight() async throws {
        try #require(geteuid() == 0, "mounting takes root")
        let directory = try TemporaryDirectory()
        let path = directory.path + "/small"
        try #require(mkdir(path, 0o755) == 0)
        // Room for the blob while it is unpacked, and for its spans; then it is filled up.
        try #require(mount("tmpfs", path, "tmpfs", 0, "size=64m") == 0)
        defer { umount2(path, Int32(MNT_DETACH)) }
        try await LazyBench.run(storePath: path + "/store") { lazy in
            // Somebody else takes what is left, when what was removed has really gone: not one span has room.
            while try usedBytes(path) > 4 << 20 { try await Task.sleep(for: .milliseconds(1)) }
            try await Shell.check("sh", ["-c", "head -c 100000000 /dev/zero > \(path)/other || true"])
            for number in 0..<lazy.tree.view.spanCount { try await lazy.check(number) }
            #expect(try await lazy.stored() == [])
            #expect(!lazy.tree.isComplete)
            // What was read last is still in memory, in small measure.
            try await lazy.memoryIsGivenBack()
            try directory.directory().removeTree("small/other")
        }
    }

    private func usedBytes(_ path: String) throws -> Int {
        var status = statvfs()
        try #require(statvfs(path, &status) == 0)
        return Int(status.f_blocks - status.f_bfree) * Int(status.f_frsize)
    }

    // MARK: - Everything at once

    @Test func randomFaultsEndInRightBytesOrAnErrorAndAreForgotten() async throws {
        var random = SeededGenerator.named("randomFaultsEndInRightBytesOrAnErrorAndAreForgotten")
        let faults: [FaultyProxy.Fault] = [
            .truncates, .flipsByte, .resets, .hangsUp, .wrongContentRange, .wrongTotal, .noContentRange, .ignoresRange, .overlong, .answers403, .answers404, .answers416,
            .answers429, .answers500, .answers503, .answersPage, .encodes,
        ]
        let seed = random.next()
        try await LazyBench.run { lazy in
            let source = Shared(SeededGenerator(seed: seed))
            lazy.inject { source.change { random in Int.random(in: 0..<3, using: &random) == 0 ? faults.randomElement(using: &random) : nil } }
            let count = lazy.tree.view.spanCount
            for _ in 0..<4 {
                await withTaskGroup(of: Void.self) { group in
                    for _ in 0..<8 {
                        let number = Int.random(in: 0..<count, using: &random)
                        let isCancelled = Int.random(in: 0..<4, using: &random) == 0
                        group.addTask {
                            let reader = Task { try await lazy.read(number) }
                            if isCancelled { reader.cancel() }
                            guard let bytes = try? await reader.value else { return }
                            #expect(Digest(of: bytes) == lazy.expected(number), "span \(number)")
                        }
                    }
                    group.addTask { try? await lazy.tree.fetcher.bring((0..<count).shuffled(), for: .profile) }
                }
                await lazy.bench.library.settle()
                try? lazy.evict()
            }
            lazy.heal()
            for number in 0..<count { try await lazy.check(number) }
            await lazy.bench.library.settle()
            try await lazy.memoryIsGivenBack()
            #expect(lazy.bench.library.fetchCounters.waitingReaders == 0)
        }
    }
}
