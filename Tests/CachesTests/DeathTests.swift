import Caches
import Glibc
import LinuxIO
import Testing
import TestSupport

/// Holders that are killed, in every state.
@Suite struct DeathTests {
    @Test func whoDiesBeforeDrawingATicketIsInNobodysWay() throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let drawing = try scratch.contender("book")
        try drawing.line("held")
        let waiter = try scratch.contender("hold", "npm", "locked")
        drawing.kill()
        try waiter.line("held 0 1 CLEAN")
        try waiter.release()
        #expect(try scratch.lease(npm).unclean == nil)
    }

    @Test func whoDiesInTheQueueLosesHisPlaceAndNobodyElseHis() throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let holder = try scratch.lease(npm, .locked)
        var waiters: [Contender] = []
        for number in 0..<5 {
            let waiter = try scratch.contender("pass", "npm", "locked", "\(number)")
            try waiter.line("waiting")
            waiters.append(waiter)
        }
        // The one who waits for main, one in the middle, and the last.
        for number in [0, 2, 4] { waiters[number].kill() }
        try holder.release()
        for number in [1, 3] { #expect(waiters[number].process.wait() == 0) }
        #expect(try scratch.library.mainDirectory(of: npm).text("order") == "1\n3\n")
        #expect(try scratch.lease(npm).unclean == nil, "who only waited has left nothing unclean")
    }

    @Test(arguments: ["shared", "locked", "private"])
    func whoDiesHoldingLeavesTheInstanceFreeAndMarked(sharing: String) throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let holder = try scratch.contender("hold", "npm", sharing)
        try holder.line("held 0 1 CLEAN")
        holder.kill()
        let lease = try scratch.lease(npm, .locked)
        let mark = try #require(lease.unclean)
        #expect(mark.holder.pid == holder.process.pid && mark.holder.command == "contender hold" && mark.holder.epoch == 1)
        #expect(try scratch.library.leases().map(\.token) == [lease.token])
        try lease.release()
        // The mark stays, with the first who died, until a check has passed.
        let second = try scratch.contender("hold", "npm", sharing)
        try second.line("held 0 3 UNCLEAN")
        second.kill()
        #expect(try scratch.lease(npm).unclean == mark)
    }

    @Test func whoDiesReadingLeavesNothingUnclean() throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let reader = try scratch.contender("hold", "npm", "locked+ro")
        try reader.line("held")
        reader.kill()
        let lease = try scratch.lease(npm, .locked)
        #expect(lease.unclean == nil)
        #expect(try scratch.library.leases().count == 1, "the dead reader's record is gone")
    }

    @Test(arguments: ["shared", "locked", "private"])
    func whoDiesAtAnyMomentLeavesACacheThatWorks(sharing: String) throws {
        var random = SeededGenerator.named("whoDiesAtAnyMomentLeavesACacheThatWorks")
        let scratch = try ScratchCaches()
        var settings = CacheSettings()
        settings.isAddOnly = true
        let npm = try scratch.cache("npm", settings)
        for _ in 0..<15 {
            let spinners = try (0..<2).map { _ in try scratch.contender("spin", "npm", sharing) }
            for spinner in spinners { try spinner.line("held") }
            usleep(UInt32.random(in: 0..<20_000, using: &random))
            for spinner in spinners { spinner.kill() }
            let lease = try scratch.lease(npm, .locked)
            #expect(try scratch.library.leases().map(\.token) == [lease.token])
            #expect(try lease.recover { _ in true } == (lease.unclean == nil ? .wasClean : .recovered) || lease.unclean == nil)
            try lease.release()
            #expect(try scratch.directory(of: npm).directory("holders").list() == [])
        }
    }

    @Test func aChildThatInheritedTheLockOutlivesItsKilledParent() throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let parent = try scratch.contender("inherit", "npm", "locked")
        let child = try #require(pid_t(try parent.line("child")))
        try parent.line("held")
        parent.kill()
        #expect(failure { try scratch.lease(npm, .shared) } != nil)
        #expect(try scratch.library.leases().map(\.pid) == [parent.process.pid])
        Glibc.kill(child, SIGKILL)
        let lease = try scratch.lease(npm, .shared, timeout: .seconds(60))
        #expect(lease.unclean?.holder.pid == parent.process.pid)
    }

    @Test func aReleaseHoldsAlsoForChildrenThatStillHaveTheLock() throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let parent = try scratch.contender("inherit", "npm", "locked")
        let child = try #require(pid_t(try parent.line("child")))
        defer { Glibc.kill(child, SIGKILL) }
        try parent.line("held")
        try parent.release()
        #expect(try scratch.lease(npm, .locked).unclean == nil)
    }

    @Test func aLeaseThatIsDroppedWithoutReleaseCountsAsADeath() throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        do { _ = try scratch.lease(npm, .shared) }
        // A child that a test beside this one is starting holds copies of our locks until its exec.
        #expect(try scratch.lease(npm, .locked, timeout: .seconds(60)).unclean != nil)
    }

    @Test func aReleaseThatIsNotCleanMarksTheInstance() throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        try scratch.lease(npm, .shared, readOnly: true).release(clean: false)
        let lease = try scratch.lease(npm, .shared)
        #expect(lease.unclean == nil, "a reader can leave nothing unclean")
        try lease.release(clean: false)
        try lease.release(clean: false)
        #expect(try scratch.lease(npm, .shared).unclean?.holder.token == lease.token)
    }

    // MARK: recovery

    @Test func aCheckThatPassesTakesTheMarkAway() throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        try scratch.lease(npm).release(clean: false)
        let lease = try scratch.lease(npm, .shared)
        #expect(try lease.recover { _ in false } == .failed)
        #expect(lease.unclean != nil)
        let recovery = try lease.recover { directory in
            // Alone while the check runs, although the lease is shared.
            #expect(failure { try scratch.lease(npm, .shared) } != nil)
            try directory.write("repaired", "yes")
            return true
        }
        #expect(recovery == .recovered && lease.unclean == nil)
        #expect(try lease.recover { _ in false } == .wasClean)
        let other = try scratch.lease(npm, .shared)
        #expect(other.unclean == nil)
        #expect(try other.directory.text("repaired") == "yes")
        try other.release()
        try lease.release()
    }

    @Test func nothingIsCheckedWhileOthersUseIt() throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        try scratch.lease(npm).release(clean: false)
        let one = try scratch.lease(npm, .shared)
        let other = try scratch.lease(npm, .shared)
        #expect(try one.recover { _ in true } == .inUse)
        let reader = try scratch.lease(npm, readOnly: true)
        #expect(try reader.recover { _ in true } == .readOnly)
        try other.release()
        try reader.release()
        #expect(try one.recover { _ in true } == .recovered)
        try one.release()
    }

    @Test func aCheckThatThrowsLeavesTheMarkAndTheLease() throws {
        struct Failed: Error {}
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        try scratch.lease(npm).release(clean: false)
        let lease = try scratch.lease(npm, .shared)
        #expect(throws: Failed.self) { try lease.recover { _ in throw Failed() } }
        let other = try scratch.lease(npm, .shared)
        #expect(other.unclean != nil)
        try other.release()
        try lease.release()
    }

    // MARK: breaking

    @Test func breakingEndsTheHolderAndNothingElse() throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let holder = try scratch.contender("hold", "npm", "locked")
        try holder.line("held")
        let record = try #require(try scratch.library.leases(on: npm).first)
        #expect(try scratch.library.breakLease(record.token) == .stillHeld(record), "not without force")
        #expect(failure { try scratch.lease(npm) } != nil)
        // Signals go to this test's own child or to nobody.
        try #require(record.pid == holder.process.pid && scratch.library.canEnd(record))
        // It releases on SIGTERM by itself: nothing is unclean.
        #expect(try scratch.library.breakLease(record.token, force: true, grace: .seconds(300)) == .ended)
        #expect(holder.process.wait() == 0)
        #expect(try scratch.lease(npm).unclean == nil)
        #expect(failure { _ = try scratch.library.breakLease(record.token) } == .unknownLease(record.token))
    }

    @Test func whoDoesNotEndWhenAskedIsKilled() throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let holder = try scratch.contender("inherit", "npm", "locked")
        let child = try #require(pid_t(try holder.line("child")))
        try holder.line("held")
        Glibc.kill(holder.process.pid, SIGSTOP)
        let record = try #require(try scratch.library.leases(on: npm).first)
        try #require(record.pid == holder.process.pid && scratch.library.canEnd(record))
        #expect(try scratch.library.breakLease(record.token, force: true, grace: .milliseconds(50)) == .stillHeld(record), "its child has the lock")
        Glibc.kill(child, SIGKILL)
        let lease = try scratch.lease(npm, timeout: .seconds(60))
        #expect(lease.unclean?.holder.token == record.token)
    }

    @Test func theRecordOfADeadHolderIsClearedByBreaking() throws {
        let scratch = try ScratchCaches()
        let npm = try scratch.cache()
        let holder = try scratch.contender("hold", "npm", "locked")
        try holder.line("held")
        let token = try #require(try scratch.library.leases(on: npm).first).token
        holder.kill()
        #expect(try scratch.library.leases() == [])
        #expect(try scratch.library.breakLease(token) == .wasDead)
        #expect(try scratch.directory(of: npm).directory("holders").list() == [])
        #expect(try scratch.lease(npm).unclean != nil)
    }
}
