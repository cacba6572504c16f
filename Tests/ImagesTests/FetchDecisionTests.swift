import TestSupport
import Testing
@testable import Images

/// What to fetch beside what is asked for, and when to fetch everything: decisions without any input or output.
@Suite struct FetchDecisionTests {
    // MARK: - Read-ahead

    @Test func sequentialReadingIsFetchedAheadInWindowsThatDouble() {
        var ahead = ReadAhead(spanCount: 1000)
        #expect(ahead.missed(10).isEmpty)
        #expect(ahead.missed(11) == 12..<14)
        #expect(ahead.hasMarkers)
        // Here, but not yet at the marker.
        #expect(ahead.reached(12) == nil)
        var (start, window) = (14, 4)
        var position = 13
        while window < 64 {
            let next = ahead.reached(position)
            #expect(next == start..<start + min(window, ReadAhead.lastWindow))
            position = start + min(window, ReadAhead.lastWindow) / 2
            start += min(window, ReadAhead.lastWindow)
            window *= 2
        }
    }

    @Test func aReaderInOrderIsNeverMissedForAfterItsStart() {
        var ahead = ReadAhead(spanCount: 500)
        var here: Set<Int> = []
        var misses = 0
        for number in 0..<500 {
            if here.contains(number) {
                if let next = ahead.reached(number) { here.formUnion(next) }
            } else {
                misses += 1
                here.insert(number)
                here.formUnion(ahead.missed(number))
            }
        }
        #expect(misses == 2)
    }

    @Test func randomReadingHasNoReadAhead() {
        var random = SeededGenerator.named("randomReadingHasNoReadAhead")
        var ahead = ReadAhead(spanCount: 1_000_000)
        var fetched = 0
        // Two of a thousand may fall beside each other by chance.
        for _ in 0..<1000 { fetched += ahead.missed(Int.random(in: 0..<1_000_000, using: &random)).count }
        #expect(fetched <= 8)
    }

    @Test func severalReadersInOrderAreToldApart() {
        var ahead = ReadAhead(spanCount: 10_000)
        var windows: [Int: Int] = [:]
        for step in 0..<3 {
            for reader in 0..<5 { windows[reader, default: 0] += ahead.missed(reader * 1000 + step * 2).count }
        }
        for reader in 0..<5 { #expect(windows[reader] ?? 0 >= 2, "reader \(reader)") }
    }

    @Test func nothingIsFetchedBehindTheEnd() {
        var ahead = ReadAhead(spanCount: 5)
        #expect(ahead.missed(3).isEmpty)
        #expect(ahead.missed(4).isEmpty)
        #expect(ahead.reached(4) == nil)
        #expect(!ahead.hasMarkers)
    }

    // MARK: - The rest of a layer

    private func rest(source: UInt64 = 100_000_000, content: UInt64 = 300_000_000, bandwidth: Double = 100_000_000, decoding: Double = 600_000_000) -> RestDecision {
        RestDecision(source: source, content: content, latency: .milliseconds(20), bandwidth: bandwidth, decoding: decoding)
    }

    @Test func theRestIsPreferredOnceWaitingHasCostAsMuch() {
        let start = ContinuousClock.now
        var waits = WaitTime()
        // 1.02 s for the rest: 34 misses of 30 ms.
        for number in 0..<34 {
            #expect(!rest().isRight(after: waits.total(now: start + .seconds(number))))
            waits.begin(now: start + .seconds(number))
            waits.end(now: start + .seconds(number) + .milliseconds(30))
        }
        let waited = waits.total(now: start + .seconds(40))
        #expect(rest().isRight(after: waited))
        #expect(!rest(bandwidth: 3_000_000).isRight(after: waited))
        #expect(!rest(decoding: 100_000_000).isRight(after: waited))
        #expect(!rest(source: 0, content: 0).isRight(after: waited))
        waits.forget(now: start + .seconds(40))
        #expect(waits.total(now: start + .seconds(41)) == .zero)
    }

    @Test func readersThatWaitTogetherCountOnce() {
        let start = ContinuousClock.now
        var waits = WaitTime()
        for _ in 0..<100 { waits.begin(now: start) }
        #expect(waits.total(now: start + .milliseconds(500)) == .milliseconds(500))
        for _ in 0..<100 { waits.end(now: start + .milliseconds(600)) }
        #expect(waits.total(now: start + .seconds(9)) == .milliseconds(600))
        #expect(waits.readers == 0)
    }

    @Test func anotherWorkloadBeginsAnew() {
        let start = ContinuousClock.now
        var waits = WaitTime(longestPause: .seconds(10))
        func wait(at second: Int) {
            waits.begin(now: start + .seconds(second))
            waits.end(now: start + .seconds(second + 1))
        }
        wait(at: 0)
        wait(at: 10)
        #expect(waits.total(now: start + .seconds(100)) == .seconds(2))
        wait(at: 22)
        #expect(waits.total(now: start + .seconds(100)) == .seconds(1))
    }

    // MARK: - The link

    @Test func bandwidthIsMeasuredOverAllTransfersTogether() {
        let start = ContinuousClock.now
        var link = LinkEstimate()
        link.begin(after: .milliseconds(25), now: start)
        link.begin(after: .milliseconds(40), now: start)
        for step in 1...20 {
            for _ in 0..<2 { link.receive(100_000, now: start + .milliseconds(step * 20)) }
        }
        link.end(now: start + .milliseconds(400))
        link.end(now: start + .milliseconds(400))
        #expect(abs(link.bandwidth - 10_000_000) < 1_000_000)
        #expect(link.latency >= .milliseconds(25) && link.latency < .milliseconds(40))
        // A trickle says nothing about what the link can do.
        link.begin(after: .milliseconds(25), now: start + .seconds(1))
        link.receive(1000, now: start + .seconds(2))
        link.end(now: start + .seconds(2))
        #expect(link.bandwidth > 9_000_000)
    }

    // MARK: - Who comes first

    @Test func demandGoesFirstAndKeepsAShare() async throws {
        let gate = UrgencyGate(10, keptForDemand: 4)
        var held = try await gate.permits([6], for: .fill)
        let order = Shared<[FetchCause]>([])
        let tasks = [FetchCause.fill, .ahead, .profile].map { cause in
            Task {
                let permits = try await gate.permits([6], for: cause)
                order.change { $0.append(cause) }
                withExtendedLifetime(permits) {}
            }
        }
        while gate.waitingCount < 3 { await Task.yield() }
        // What is kept for demand is free although others wait.
        var demand = try await gate.permits([2, 2], for: .demand)
        #expect(gate.used == 10)
        let late = Task {
            let permits = try await gate.permits([6], for: .demand)
            order.change { $0.append(.demand) }
            withExtendedLifetime(permits) {}
        }
        while gate.waitingCount < 4 { await Task.yield() }
        held = []
        try await late.value
        #expect(gate.used == 4 && held.isEmpty)
        demand = []
        for task in tasks { try await task.value }
        #expect(gate.used == 0 && demand.isEmpty)
        #expect(order.value == [.demand, .ahead, .profile, .fill])
    }

    @Test func whatIsLargerThanEverythingGoesAloneAndACancelledWaiterLeaves() async throws {
        let gate = UrgencyGate(10, keptForDemand: 4)
        let large = try await gate.permits([50, 50], for: .pull)
        #expect(gate.used == 100)
        let waiting = Task { try await gate.permits([1], for: .demand) }
        while gate.waitingCount < 1 { await Task.yield() }
        waiting.cancel()
        await #expect(throws: CancellationError.self) { try await waiting.value }
        let early = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            return try await gate.permits([1], for: .demand)
        }
        await #expect(throws: CancellationError.self) { try await early.value }
        #expect(gate.waitingCount == 0)
        withExtendedLifetime(large) {}
    }

    @Test func amongManyNobodyIsForgottenAndTheLimitHolds() async throws {
        let gate = UrgencyGate(100, keptForDemand: 20)
        var random = SeededGenerator.named("amongManyNobodyIsForgottenAndTheLimitHolds")
        let most = Shared(0)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<2000 {
                let cause = FetchCause.allCases.randomElement(using: &random) ?? .demand
                let amounts = (0..<3).map { _ in Int.random(in: 1...20, using: &random) }
                let isCancelled = Bool.random(using: &random)
                group.addTask {
                    let task = Task {
                        let permits = try await gate.permits(amounts, for: cause)
                        most.change { $0 = max($0, gate.used) }
                        await Task.yield()
                        withExtendedLifetime(permits) {}
                    }
                    if isCancelled { task.cancel() }
                    do { try await task.value } catch { #expect(isCancelled && error is CancellationError) }
                }
            }
            try await group.waitForAll()
        }
        #expect(gate.used == 0 && gate.waitingCount == 0)
        #expect(most.value <= 100)
    }
}
