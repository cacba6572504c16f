import LinuxIO
import Store
import Synchronization
import Testing

@Suite struct LeaseTests {
    let scratch: ScratchStore
    let store: Store

    init() throws {
        scratch = try ScratchStore()
        store = try scratch.open()
    }

    private func isFree(_ key: String) throws -> Bool { try store.lease(key) != nil }

    @Test func aLeaseExcludesOthersUntilItEnds() async throws {
        let lease = try await store.exclusive("sha256:abc")
        #expect(try !isFree("sha256:abc"))
        #expect(try isFree("sha256:abd"))
        lease.release()
        #expect(try becomes { try isFree("sha256:abc") })
    }

    @Test(arguments: ["index", "serials", "../../escape", "/etc/passwd", ".hidden", "a/b", String(repeating: "k", count: 255)])
    func anyKeyIsAFileInLocks(key: String) async throws {
        let lease = try await store.exclusive(key)
        #expect(try !isFree(key))
        // The store's own locks are others.
        #expect(try store.serial(for: "x") == 1)
        lease.release()
        #expect(try scratch.names("locks").filter { $0.hasSuffix(".lease") }.count == 1)
        #expect(try scratch.base.list() == ["store"])
    }

    @Test func onlyOneTaskAtATimeIsIn() async throws {
        let room = Room()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
                group.addTask { [store] in
                    let lease = try await store.exclusive("work")
                    room.enter()
                    await Task.yield()
                    room.leave()
                    lease.release()
                }
            }
            try await group.waitForAll()
        }
        #expect(room.counts == Room.Counts(inside: 0, most: 1, visits: 8))
    }

    @Test func waitingCanBeCancelled() async throws {
        let lease = try await store.exclusive("work")
        let waiter = Task { [store] in try await store.exclusive("work").release() }
        waiter.cancel()
        await #expect(throws: CancellationError.self) { try await waiter.value }
        lease.release()
    }

    @Test func lockFilesGoWhenSomebodyOpensTheStoreAlone() throws {
        let other = try ScratchStore()
        try scope {
            let store = try other.open()
            _ = try store.lease("work") != nil
            _ = try store.serial(for: "x")
        }
        #expect(try other.names("locks") == ["serials", "work.lease"])
        #expect(try becomes {
            _ = try other.open()
            return try other.names("locks") == ["serials"]
        })
    }

    /// A scope whose objects are gone when it ends.
    private func scope(_ body: () throws -> Void) rethrows { try body() }
}

/// Counts who is in at once.
private final class Room: Sendable {
    struct Counts: Equatable {
        var inside = 0
        var most = 0
        var visits = 0
    }

    private let state = Mutex(Counts())

    var counts: Counts { state.withLock { $0 } }

    func enter() {
        state.withLock { counts in
            counts.inside += 1
            counts.visits += 1
            counts.most = max(counts.most, counts.inside)
        }
    }

    func leave() { state.withLock { $0.inside -= 1 } }
}
