import CLinux
import Glibc
import Testing

@testable import LinuxIO

@Suite struct ProcessorsTests {
    @Test(arguments: [("0\n", [0]), ("0-3\n", [0, 1, 2, 3]), ("1,4-5,9", [1, 4, 5, 9])] as [(String, [Int])])
    func listsAreRead(text: String, expected: [Int]) { #expect(Processors.numbers(text) == expected) }

    @Test(arguments: ["", "\n", "x", "1-", "-1", "3-1", "1-2-3", "0-99999999999", "1,,x"])
    func whatIsNoListIsRefused(text: String) { #expect(Processors.numbers(text) == nil) }

    @Test func whatIsOnIsPossible() throws {
        let (online, possible) = (try Processors.online(), try Processors.possible())
        #expect(online.count == sysconf(Int32(_SC_NPROCESSORS_ONLN)))
        #expect(Set(online).isSubset(of: possible))
    }

    @Test func aThreadMayBeKeptFromSome() throws {
        let counts = Monitor<[Int?]>([])
        let online = try Processors.online()
        let thread = try DedicatedThread.start("test-processors") {
            counts.update { $0.append(Processors.count(for: ThreadPriority.thread)) }
            #expect(larder_keep_on_processor(Int32(online[0])) == 0)
            counts.update { $0.append(Processors.count(for: ThreadPriority.thread)) }
        }
        thread.join()
        #expect(counts.read { $0 } == [online.count, 1])
        #expect(Processors.count(for: pid_t.max) == nil)
    }

    @Test func timeIsReadFromTheFirstLine() throws {
        let before = try #require(ProcessorTime("cpu  100 0 50 900 100 7 3 0 90 0\ncpu0 1 1 1 1\n"))
        #expect(before.idle == 1000 && before.total == 1160)
        let after = try #require(ProcessorTime("cpu  160 0 70 910 110 7 3 0 90 0\n"))
        #expect(after.idleShare(since: before) == 0.2)
        #expect(before.idleShare(since: before) == 1, "no time has passed")
        #expect(try #require(ProcessorTime("cpu 1000 0 50 800 100")).idleShare(since: before) == 0, "a processor was taken off")
    }

    @Test(arguments: ["", "cpu", "cpu 1 2 3 4\n", "cpu 1 2 x 4 5\n", "cpu0 1 2 3 4 5\n", "intr 1 2 3 4 5", "cpu 1 2 -3 4 5"])
    func whatIsNoTimeIsRefused(text: String) { #expect(ProcessorTime(text) == nil) }

    @Test func timePasses() throws {
        let now = try ProcessorTime.now()
        #expect(now.idle <= now.total && now.total > 0)
    }

    @Test func runnableTasksAreTheFourthWord() {
        func count(_ text: String) -> Int? { Array(text.utf8).withUnsafeBytes { RunnableTasks.count($0) } }
        #expect(count("0.20 0.18 0.12 3/80 11206\n") == 3)
        #expect(count("120.20 0.18 0.12 1234/80 11206\n") == 1234)
        for text in ["", "0.20 0.18 0.12", "0.20 0.18 0.12 80 11206", "0.20 0.18 0.12 x/80 1", "0.20 0.18 0.12 -1/80 1", "0.20 0.18 0.12 /80", "1 2 3 99999999999/1"] {
            #expect(count(text) == nil, "\(text)")
        }
    }

    @Test func whoCountsRuns() throws {
        let count = try RunnableTasks().count()
        #expect(count >= 1)
    }

    @Test func aThreadHasThePolicyThatItWasGiven() throws {
        let policies = Monitor<[ThreadPriority.Policy?]>([])
        let thread = try DedicatedThread.start("test-policy") {
            for policy in [ThreadPriority.Policy.batch, .other] {
                ThreadPriority.set(policy, for: ThreadPriority.thread)
                policies.update { $0.append(ThreadPriority.policy(of: ThreadPriority.thread)) }
            }
        }
        thread.join()
        #expect(policies.read { $0 } == [.batch, .other])
        #expect(ThreadPriority.policy(of: .max) == nil)
    }

    /// A thread has it from its maker, and is found though nobody knows of it.
    @Test(.enabled(if: geteuid() == 0, "SKIPPED: the way back needs root")) func noThreadStaysIdle() throws {
        // Mounts of other tests let no thread be idle, too, now and then.
        var policies: [ThreadPriority.Policy?] = []
        for _ in 0..<20 where policies != [.other, .idle, .idle, .batch, .batch] { policies = try policiesOfMakerAndMade() }
        #expect(policies == [.other, .idle, .idle, .batch, .batch])
    }

    /// Of a thread, of it when it is to be idle, of one that it makes then; and of both when none is to be idle.
    private func policiesOfMakerAndMade() throws -> [ThreadPriority.Policy?] {
        let policies = Monitor<[ThreadPriority.Policy?]>([])
        @Sendable func note() {
            let policy = ThreadPriority.policy(of: ThreadPriority.thread)
            policies.update { $0.append(policy) }
        }
        let maker = try DedicatedThread.start("test-maker") {
            ThreadPriority.set(.other, for: ThreadPriority.thread)
            note()
            ThreadPriority.set(.idle, for: ThreadPriority.thread)
            note()
            let made = try? DedicatedThread.start("test-made") {
                note()
                ThreadPriority.endIdle(as: .batch)
                note()
            }
            made?.join()
            note()
        }
        maker.join()
        return policies.read { $0 }
    }

    @Test func readingFromTheDiskIsSeen() throws {
        // On some hosts /tmp is memory.
        let directory = try ScratchDirectory(in: "/var/tmp")
        let path = directory.path + "/file"
        let file = try OwnedDescriptor.open(path, O_RDWR | O_CREAT, mode: 0o600)
        let bytes = [UInt8](repeating: 7, count: 1 << 16)
        try #require(pwrite(file.raw, bytes, bytes.count, 0) == bytes.count && fsync(file.raw) == 0)
        var read = bytes
        let warm = DiskWatch()
        try #require(pread(file.raw, &read, read.count, 0) == read.count)
        #expect(!warm.hasWaited)
        try #require(posix_fadvise(file.raw, 0, 0, POSIX_FADV_DONTNEED) == 0)
        let cold = DiskWatch()
        try #require(pread(file.raw, &read, read.count, 0) == read.count)
        #expect(cold.hasWaited)
    }
}
