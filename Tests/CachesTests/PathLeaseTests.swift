import Caches
import Glibc
import LinuxIO
import Synchronization
import Testing
import TestSupport

/// The daemon's lease for changes by path, and its watch on others.
@Suite struct PathLeaseTests {
    /// Admission and a file open for writing: without one the lease lasts for a second, which may be over before this thread goes on.
    private func hold(_ lease: PathLease) async throws {
        while true {
            try await lease.waitForAdmission()
            lease.openedForWriting()
            if lease.isHeld { return }
            lease.closedAfterWriting()
        }
    }

    @Test func changesAreAdmittedWhileTheLeaseIsHeldAndItIsGivenBack() async throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let lease = PathLease(npm, in: scratch.library)
        #expect(!lease.admit() && !lease.isHeld)
        try await hold(lease)
        #expect(lease.admit() && lease.isHeld)
        #expect(try scratch.library.leases().map(\.sharing) == [.shared])
        lease.closedAfterWriting()
        // Waits until the daemon has given its lease back, by itself.
        let other = try scratch.contender("hold", "npm", "locked")
        try other.line("held 0")
        #expect(!lease.isHeld && !lease.admit())
        try other.release()
        try await hold(lease)
        #expect(lease.admit())
        lease.close()
        #expect(try scratch.library.leases() == [])
        #expect(!lease.admit())
        await #expect(throws: CacheError.cancelled) { try await lease.waitForAdmission() }
        #expect(try scratch.lease(npm, .locked).unclean == nil)
    }

    @Test func anOpenWriterKeepsTheLease() async throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let lease = PathLease(npm, in: scratch.library)
        try await hold(lease)
        lease.openedForWriting()
        lease.closedAfterWriting()
        try await Task.sleep(for: PathLease.idle * 2)
        #expect(lease.isHeld)
        #expect(failure { try scratch.lease(npm, .locked) } != nil)
        lease.closedAfterWriting()
        try scratch.lease(npm, .locked, timeout: .seconds(60)).release()
        lease.close()
    }

    @Test func whoWaitsForAdmissionCanBeInterruptedAloneAndTheOthersGoOn() async throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let lease = PathLease(npm, in: scratch.library)
        let holder = try scratch.lease(npm, .locked)
        let patient = Task { try await lease.waitForAdmission() }
        for _ in 0..<20 {
            let hasty = Task { try await lease.waitForAdmission() }
            await Task.yield()
            hasty.cancel()
            await #expect(throws: CacheError.cancelled) { try await hasty.value }
        }
        try holder.release()
        try await patient.value
        lease.close()
    }

    @Test func manyWhoComeAndGoEndInNothingHeld() async throws {
        var random = SeededGenerator.named("manyWhoComeAndGoEndInNothingHeld")
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let lease = PathLease(npm, in: scratch.library)
        let plans = (0..<200).map { _ in (UInt64.random(in: 0..<3_000_000, using: &random), Bool.random(using: &random)) }
        await withTaskGroup { group in
            group.addTask {
                for _ in 0..<10 {
                    if let leases = try? await scratch.library.acquire([LeaseRequest(npm, .locked)]) { try? leases.release() }
                }
            }
            for (pause, isCancelled) in plans {
                group.addTask {
                    let task = Task {
                        try await lease.waitForAdmission()
                        lease.openedForWriting()
                        lease.closedAfterWriting()
                    }
                    try? await Task.sleep(nanoseconds: pause)
                    if isCancelled { task.cancel() } else { await #expect(throws: Never.self) { try await task.value } }
                    _ = try? await task.value
                }
            }
        }
        lease.close()
        #expect(try scratch.library.leases() == [])
        try scratch.lease(npm, .locked).release()
    }

    // MARK: resting

    /// As `hold`, without waiting, of a lease that rests.
    private func holdAgain(_ lease: PathLease) -> Bool {
        while lease.admit() {
            lease.openedForWriting()
            if lease.isHeld { return true }
            lease.closedAfterWriting()
        }
        return false
    }

    /// Admission, and waits until the lease has been given back by itself. Returns its record.
    private func rest(_ lease: PathLease, _ scratch: ScratchCaches) async throws -> LeaseRecord {
        try await hold(lease)
        let record = try #require(try scratch.library.leases().first)
        lease.closedAfterWriting()
        while try !scratch.library.leases().isEmpty { try await Task.sleep(for: .milliseconds(10)) }
        #expect(!lease.isHeld)
        return record
    }

    private func records(_ scratch: ScratchCaches, _ cache: CacheName) throws -> [String] {
        try scratch.directory(of: cache).directory("holders").list()
    }

    @Test func aRestingLeaseIsHadAgainAtOnce() async throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let lease = PathLease(npm, in: scratch.library)
        let record = try await rest(lease, scratch)
        #expect(try records(scratch, npm) == ["\(record.token).resting"])
        for _ in 0..<2 {
            #expect(holdAgain(lease))
            #expect(try scratch.library.leases() == [record])
            #expect(failure { try scratch.lease(npm, .locked) } != nil)
            lease.closedAfterWriting()
            while try lease.isHeld || !scratch.library.leases().isEmpty { try await Task.sleep(for: .milliseconds(10)) }
        }
        lease.close()
        #expect(!lease.admit())
        #expect(try records(scratch, npm) == [])
    }

    @Test func whoeverComesMeanwhileEndsTheRest() async throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let lease = PathLease(npm, in: scratch.library)
        for sharing in [Sharing.locked, .private, .shared] {
            let first = try await rest(lease, scratch)
            let other = try scratch.lease(npm, sharing)
            #expect(other.record.instance == 0 && other.unclean == nil)
            #expect(!lease.admit() && !lease.isHeld)
            try other.release()
            #expect(!lease.admit())
            try await hold(lease)
            let second = try #require(try scratch.library.leases().first)
            #expect(second.token != first.token && second.epoch == first.epoch + 2)
            #expect(try records(scratch, npm) == ["\(second.token).json"])
            lease.closedAfterWriting()
        }
        lease.close()
    }

    @Test func aRestingLeaseGoesBehindThoseWhoWait() async throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let holder = try scratch.lease(npm, .shared)
        let lease = PathLease(npm, in: scratch.library)
        try await hold(lease)
        lease.closedAfterWriting()
        while try scratch.library.leases().count > 1 { try await Task.sleep(for: .milliseconds(10)) }
        #expect(lease.admit(), "beside one who was there before, and nobody came")
        while try scratch.library.leases().count > 1 { try await Task.sleep(for: .milliseconds(10)) }
        let waiter = try scratch.contender("hold", "npm", "locked")
        try waiter.line("waiting")
        #expect(!lease.admit())
        try holder.release()
        try waiter.line("held")
        try waiter.release()
        lease.close()
    }

    /// It may have been stopped: nothing here waits for it.
    @Test func whoeverHasTheBookIsWaitedForByNobody() async throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let lease = PathLease(npm, in: scratch.library)
        _ = try await rest(lease, scratch)
        let drawing = try scratch.contender("book")
        try drawing.line("held")
        #expect(!lease.admit())
        drawing.kill()
        #expect(holdAgain(lease))
        let second = try scratch.contender("book")
        try second.line("held")
        lease.closedAfterWriting()
        while try !scratch.library.leases().isEmpty { try await Task.sleep(for: .milliseconds(10)) }
        #expect(try records(scratch, npm) == [], "it was released, and does not rest")
        lease.close()
        second.kill()
    }

    @Test func aRestEndsByItself() async throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let lease = PathLease(npm, in: scratch.library, rest: .milliseconds(1))
        _ = try await rest(lease, scratch)
        while try !records(scratch, npm).isEmpty { try await Task.sleep(for: .milliseconds(10)) }
        #expect(!lease.admit())
        try await hold(lease)
        lease.close()
    }

    @Test func aCacheCanBeRemovedWhileALeaseRests() async throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let lease = PathLease(npm, in: scratch.library)
        _ = try await rest(lease, scratch)
        try scratch.library.remove(npm)
        #expect(!lease.admit())
        try scratch.cache()
        #expect(!lease.admit(), "it is another cache")
        lease.close()
        #expect(try records(scratch, npm) == [])
    }

    /// What it had changed is there; what a machine that stopped had not written yet is not.
    @Test(arguments: [false, true])
    func whoDiesAtRestLeavesTheInstanceCleanUnlessTheMachineStopped(machineStopped: Bool) throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let daemon = try scratch.contender("path")
        try daemon.line("held")
        daemon.goOn()
        try daemon.line("resting")
        let before = try scratch.lease(npm, .locked)
        #expect(before.unclean == nil, "it lives")
        try before.release()
        daemon.kill()
        let holders = try scratch.directory(of: npm).directory("holders")
        let name = try #require(try holders.list().first)
        if machineStopped {
            let record = try #require(try holders.text(name))
            let boot = String(decoding: try OwnedDescriptor.open("/proc/sys/kernel/random/boot_id", O_RDONLY).read(36, at: 0), as: UTF8.self)
            #expect(record.contains(boot))
            try holders.write(name, record.replacing(boot, with: "another"))
        }
        let next = try scratch.lease(npm, .locked)
        #expect(next.unclean?.holder.command == (machineStopped ? "contender path" : nil))
        #expect(try holders.list() == ["\(next.token).json"])
    }

    @Test func closingEndsAWait() async throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let lease = PathLease(npm, in: scratch.library)
        let holder = try scratch.lease(npm, .locked)
        let waiting = Task { try await lease.waitForAdmission() }
        await Task.yield()
        lease.close()
        await #expect(throws: CacheError.cancelled) { try await waiting.value }
        try holder.release()
    }

    // MARK: watching

    /// Waits for the answer to become `expected`.
    private func becomes(_ expected: Bool, _ neighbours: CacheWatch.Neighbours) async throws {
        for _ in 0..<6000 where neighbours.areAway != expected { try await Task.sleep(for: .milliseconds(10)) }
        #expect(neighbours.areAway == expected)
    }

    @Test func othersAreSeenComingAndGoingAndDying() async throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let watch = try CacheWatch(scratch.library)
        let told = Monitor(0)
        let neighbours = try watch.watch(npm) { _ in told.update { $0 += 1 } }
        #expect(neighbours.areAway)
        for dies in [false, true] {
            let other = try scratch.contender("hold", "npm", "shared")
            try other.line("held")
            try await becomes(false, neighbours)
            if dies { other.kill() } else { try other.release() }
            try await becomes(true, neighbours)
        }
        // The last one is told of after it can be seen.
        while told.read({ $0 }) < 4 { try await Task.sleep(for: .milliseconds(10)) }
        watch.close()
        #expect(!neighbours.areAway, "who looks no more cannot know")
    }

    @Test func whoRestsIsAwayAndSeenWhenHeGoesOn() async throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let watch = try CacheWatch(scratch.library)
        let neighbours = try watch.watch(npm) { _ in }
        let other = try scratch.contender("path")
        try other.line("held")
        try await becomes(false, neighbours)
        other.goOn()
        try other.line("resting")
        try await becomes(true, neighbours)
        other.goOn()
        try other.line("again")
        try await becomes(false, neighbours)
        try other.release()
        try await becomes(true, neighbours)
        watch.close()
    }

    @Test func whoIsThereAlreadyIsSeenAtOnce() throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let other = try scratch.contender("hold", "npm", "shared")
        try other.line("held")
        let watch = try CacheWatch(scratch.library)
        #expect(try !watch.watch(npm) { _ in }.areAway)
        watch.close()
        try other.release()
    }

    @Test func ownLeasesReadersAndOtherInstancesAreNobody() async throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let watch = try CacheWatch(scratch.library)
        let told = Monitor(0)
        let neighbours = try watch.watch(npm) { _ in told.update { $0 += 1 } }
        let lease = PathLease(npm, in: scratch.library, neighbours: neighbours)
        for _ in 0..<20 { try scratch.lease(npm, .shared).release() }
        try await lease.waitForAdmission()
        #expect(lease.isAlone)
        lease.close()
        let reader = try scratch.contender("hold", "npm", "shared+ro")
        try reader.line("held")
        let alone = try scratch.contender("hold", "npm", "private")
        try alone.line("held 1")
        // Told of, which costs nothing but caches; and yet nobody who could change main.
        while told.read({ $0 }) < 2 { try await Task.sleep(for: .milliseconds(10)) }
        #expect(neighbours.areAway)
        try reader.release()
        try alone.release()
        watch.close()
    }

    @Test func ownLeasesAreNotToldOf() async throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let watch = try CacheWatch(scratch.library)
        let told = Monitor(0)
        _ = try watch.watch(npm) { _ in told.update { $0 += 1 } }
        for _ in 0..<50 { try scratch.lease(npm, .shared).release() }
        // Events come in order: when this one is told of, all before it have been read.
        let other = try scratch.contender("hold", "npm", "shared")
        try other.line("held")
        while told.read({ $0 }) == 0 { try await Task.sleep(for: .milliseconds(10)) }
        #expect(told.read { $0 } <= 3)
        try other.release()
        watch.close()
    }

    /// Somebody who comes and goes faster than anybody looks has changed something all the same.
    @Test func aShortVisitIsToldOf() async throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let watch = try CacheWatch(scratch.library)
        let told = Monitor(0)
        let neighbours = try watch.watch(npm) { _ in told.update { $0 += 1 } }
        let other = try scratch.contender("pass", "npm", "shared", "1")
        #expect(other.process.wait() == 0)
        while told.read({ $0 }) == 0 { try await Task.sleep(for: .milliseconds(10)) }
        try await becomes(true, neighbours)
        watch.close()
    }

    @Test func aCacheThatIsRemovedIsToldOf() async throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let watch = try CacheWatch(scratch.library)
        let neighbours = try watch.watch(npm) { _ in }
        #expect(neighbours.areAway)
        try scratch.library.remove(npm)
        try await becomes(false, neighbours)
        watch.close()
    }

    /// At the first step, however long it takes until the last file has gone.
    @Test func aCacheThatLosesItsNameIsToldOf() async throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let watch = try CacheWatch(scratch.library)
        let told = Monitor(false)
        let neighbours = try watch.watch(npm) { neighbours in told.update { $0 = !neighbours.isSeen } }
        #expect(neighbours.isSeen && neighbours.areAway)
        try scratch.library.store.directory.rename("caches/\(npm.encoded)", to: "caches/elsewhere")
        told.wait { $0 ? () : nil }
        #expect(!neighbours.isSeen && !neighbours.areAway)
        try scratch.cache()
        #expect(try watch.watch(npm) { _ in }.isSeen, "the next of that name")
        #expect(!neighbours.isSeen)
        watch.close()
    }

    @Test func whoWatchesNoMoreSeesNothing() throws {
        let scratch = try ScratchCaches()
        let watch = try CacheWatch(scratch.library)
        let neighbours = try watch.watch(try scratch.cache()) { _ in }
        #expect(neighbours.isSeen)
        watch.close()
        #expect(!neighbours.isSeen)
    }
}
