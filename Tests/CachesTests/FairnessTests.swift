import Caches
import Glibc
import LinuxIO
import Testing
import TestSupport

/// Waiting: in turn, without deadlock, ended at will.
@Suite struct FairnessTests {
    @Test func fiftyProcessesAreServedInTheOrderInWhichTheyCame() throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let first = try scratch.lease(npm, .locked)
        var contenders: [Contender] = []
        for number in 0..<50 {
            let contender = try scratch.contender("pass", "npm", "locked", "\(number)")
            try contender.line("waiting")
            contenders.append(contender)
        }
        try first.release()
        for contender in contenders { #expect(contender.process.wait() == 0, "\(contender.process.log)") }
        let order = try #require(try scratch.library.mainDirectory(of: npm).text("order"))
        #expect(order.split(separator: "\n").map { Int($0) } == Array(0..<50))
    }

    /// Those who read together may come out in any order among themselves, but never past a writer.
    @Test func readersAndWritersKeepTheirTurn() async throws {
        var random = SeededGenerator.named("readersAndWritersKeepTheirTurn")
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let first = try scratch.lease(npm, .locked)
        let kinds = (0..<50).map { _ in Bool.random(using: &random) ? Sharing.locked : .shared }
        let order = Monitor<[Int]>([])
        try await withThrowingTaskGroup { group in
            for (number, sharing) in kinds.enumerated() {
                let waits = AsyncStream<Void>.makeStream()
                group.addTask {
                    let leases = try await scratch.library.acquire([LeaseRequest(npm, sharing)]) { _ in waits.continuation.yield() }
                    order.update { $0.append(number) }
                    try leases.release()
                }
                for await _ in waits.stream { break }
            }
            try first.release()
            try await group.waitForAll()
        }
        let got = order.read { $0 }
        #expect(got.count == 50)
        for (place, number) in got.enumerated() where kinds[number] == .locked {
            #expect(Set(got[..<place]) == Set(0..<number), "\(number) at \(place)")
        }
    }

    @Test func nothingIsLostBetweenProcessesThatCountUnderALock() throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let contenders = try (0..<6).map { _ in try scratch.contender("append", "npm", "locked", "50") }
        for contender in contenders { #expect(contender.process.wait() == 0, "\(contender.process.log)") }
        #expect(try scratch.library.mainDirectory(of: npm).text("count") == "300")
        // Each acquisition had an epoch of its own.
        #expect(try scratch.lease(npm).epoch == 301)
    }

    @Test func swappedPairsDoNotWaitForEachOther() async throws {
        var random = SeededGenerator.named("swappedPairsDoNotWaitForEachOther")
        let scratch = try ScratchCaches()
        let names = try ["a", "b", "c"].map { try scratch.cache($0) }
        let plans = (0..<8).map { _ in
            (0..<25).map { _ in
                names.shuffled(using: &random).prefix(2).map { LeaseRequest($0, Bool.random(using: &random) ? .locked : .shared) }
            }
        }
        try await withThrowingTaskGroup { group in
            for plan in plans {
                group.addTask {
                    for requests in plan {
                        let leases = try await scratch.library.acquire(requests, timeout: .seconds(120))
                        #expect(leases.leases.map(\.cache) == requests.map(\.cache).sorted())
                        try leases.release()
                    }
                }
            }
            try await group.waitForAll()
        }
        let one = try scratch.contender("hold", "b,a", "locked")
        try one.line("held")
        let other = try scratch.contender("hold", "a,b", "locked")
        try other.line("waiting")
        try one.release()
        try other.line("held")
        try other.release()
    }

    @Test func aCacheAskedForTwiceIsHeldOnceAndByTheStrongerClaim() throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let cases: [([LeaseRequest], Sharing, Bool)] = [
            ([LeaseRequest(npm, .shared), LeaseRequest(npm, .shared)], .shared, false),
            ([LeaseRequest(npm, .locked), LeaseRequest(npm, .locked)], .locked, false),
            ([LeaseRequest(npm, .shared), LeaseRequest(npm, .locked)], .locked, false),
            ([LeaseRequest(npm, .shared, readOnly: true), LeaseRequest(npm, .locked, readOnly: true)], .shared, true),
            ([LeaseRequest(npm, .shared, readOnly: true), LeaseRequest(npm, .shared)], .shared, false),
            ([LeaseRequest(npm, .private), LeaseRequest(npm, .private)], .private, false),
            ([LeaseRequest(npm, .private), LeaseRequest(npm, .shared)], .locked, false),
            ([LeaseRequest(npm), LeaseRequest(npm, .locked), LeaseRequest(npm)], .locked, false),
        ]
        for (requests, sharing, readOnly) in cases {
            for requests in [requests, requests.reversed()] {
                let leases = try scratch.library.acquireBlocking(requests, timeout: .zero)
                #expect(leases.leases.count == 1)
                #expect(leases[npm]?.sharing == sharing && leases[npm]?.isReadOnly == readOnly)
                #expect(try scratch.library.leases().count == 1)
                try leases.release()
            }
        }
    }

    @Test func cancellationEndsAWaitAtOnceAndLeavesNoPlaceBehind() async throws {
        let scratch = try ScratchCaches()
        let a = try scratch.cache("a")
        let b = try scratch.cache("b")
        let holder = try scratch.contender("hold", "b", "locked")
        try holder.line("held")
        for behind in [false, true] {
            // In turn for main itself, and behind somebody who is.
            let waiter = behind ? try scratch.contender("hold", "b", "locked") : nil
            try waiter?.line("waiting")
            let waits = AsyncStream<Void>.makeStream()
            let task = Task {
                try await scratch.library.acquire([LeaseRequest(b, .locked), LeaseRequest(a, .locked)]) { _ in waits.continuation.yield() }
            }
            for await _ in waits.stream { break }
            task.cancel()
            await #expect(throws: CacheError.cancelled) { try await task.value }
            // What had been acquired was released, and the place in the queue is free.
            try scratch.lease(a, .locked).release()
            waiter?.kill()
        }
        #expect(try scratch.library.leases().map(\.command) == ["contender hold"])
        try holder.release()
        try scratch.lease(b, .locked).release()
    }

    @Test func aTaskThatIsCancelledAlreadyAcquiresNothing() async throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let holder = try scratch.lease(npm, .locked)
        let task = Task {
            while !Task.isCancelled { await Task.yield() }
            return try await scratch.library.acquire([LeaseRequest(npm)])
        }
        task.cancel()
        await #expect(throws: CacheError.cancelled) { try await task.value }
        try holder.release()
    }

    @Test func aTimeoutSaysWhoStandsInTheWayAndReleasesTheRest() async throws {
        let scratch = try ScratchCaches()
        let a = try scratch.cache("a")
        let b = try scratch.cache("b")
        let holder = try scratch.contender("hold", "b", "shared")
        try holder.line("held")
        do {
            _ = try await scratch.library.acquire([LeaseRequest(a), LeaseRequest(b, .locked)], timeout: .milliseconds(30))
            Issue.record("the lock was had beside another")
        } catch {
            guard case .timedOut(b, waited: .milliseconds(30), let holders) = error else {
                Issue.record("\(error)")
                return
            }
            #expect(holders.map(\.pid) == [holder.process.pid])
        }
        try scratch.lease(a, .locked).release()
        try holder.release()
    }

    @Test func epochsRiseWithEveryAcquisitionOfWhateverKind() throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        var last: UInt64 = 0
        for round in 0..<12 {
            let lease = try scratch.lease(npm, Sharing.allCases[round % 3], readOnly: round % 4 == 3, fresh: round % 5 == 4)
            #expect(lease.epoch == last + 1)
            last = lease.epoch
            try lease.release()
        }
        #expect(try scratch.contender("hold").line("held") == "0 \(last + 1) CLEAN")
    }
}
