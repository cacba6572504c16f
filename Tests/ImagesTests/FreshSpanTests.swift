import LinuxIO
import Store
import TestSupport
import Testing
@testable import Images

/// Spans between the network and their name in the store.
@Suite(.timeLimit(.minutes(5))) struct FreshSpanTests {
    @Test func aSpanIsReadFromItsFileUntilItHasAName() async throws {
        try await LazyBench.run { lazy in
            let fresh = lazy.tree.supply.fresh
            for number in 0..<4 { try await lazy.tree.fetcher.bring([number], for: .demand) }
            // Memory has given them away: they are in files now, whether or not those have names yet.
            try await lazy.memoryIsGivenBack()
            for number in 0..<4 { try await lazy.check(number) }
            #expect(lazy.requests.count <= 4)
            // Nobody asks for it, and it comes to the disk all the same.
            let key = StoreKey.span(lazy.tree.contentKey, 3)
            while !lazy.bench.store.has(key) || fresh.contains(lazy.tree.contentKey, 3) { try await Task.sleep(for: .milliseconds(10)) }
            #expect(try lazy.bench.store.presentSpans(lazy.tree.contentKey).contains(0))
            try await lazy.check(3)
        }
    }

    @Test func theAccountKnowsWhatHasNoNameYet() async throws {
        try await LazyBench.run { lazy in
            try await lazy.tree.fetcher.bring([0, 1], for: .demand)
            try lazy.tree.refreshPresence()
            #expect(lazy.tree.hasSpan(0) && lazy.tree.hasSpan(1))
        }
    }

    @Test func whatTheDiskRefusesInTheEndIsFetchedAgain() async throws {
        try await LazyBench.run { lazy in
            try await lazy.tree.fetcher.bring([2], for: .demand)
            try await lazy.memoryIsGivenBack()
            // Unless it has its name already, which takes a second.
            let store = try Directory(lazy.bench.store.path)
            for name in try store.directory("tmp").list() where name.hasPrefix("span-") { try store.remove("tmp/\(name)") }
            let stored = try await lazy.stored()
            #expect(lazy.tree.hasSpan(2) == stored.contains(2))
            try await lazy.check(2)
            try await lazy.memoryIsGivenBack()
        }
    }
}
