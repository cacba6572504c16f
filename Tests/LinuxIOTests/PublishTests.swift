import Glibc
import LinuxIO
import Synchronization
import Testing

@Suite struct PublishTests {
    let scratch: ScratchDirectory
    var directory: Directory { scratch.directory }

    init() throws { scratch = try ScratchDirectory() }

    @Test func aPublishedFileLosesItsTemporaryName() throws {
        try scratch.write("temporary", "content")
        #expect(try directory.publish("temporary", as: "x/y/final"))
        #expect(try scratch.text("x/y/final") == "content")
        #expect(!directory.exists("temporary"))
    }

    @Test func whoeverComesSecondChangesNothing() throws {
        try scratch.write("one", "first")
        try scratch.write("two", "second")
        #expect(try directory.publish("one", as: "final"))
        #expect(try !directory.publish("two", as: "final"))
        #expect(try scratch.text("final") == "first")
        #expect(!directory.exists("two"))
    }

    @Test func aBatchCountsTheFirstOnly() throws {
        for name in ["a", "b", "c"] { try scratch.write(name, name) }
        try scratch.write("taken", "before")
        let batch = [Publication("a", as: "spans/1"), Publication("b", as: "taken"), Publication("c", as: "other/3")]
        #expect(try directory.publish(batch) == 2)
        #expect(try directory.list() == ["other", "spans", "taken"])
        #expect(try scratch.text("taken") == "before")
        #expect(try scratch.text("other/3") == "c")
    }

    @Test func writebackBeginsWhereTheFilesystemCan() throws {
        try scratch.write("a", "content")
        #expect(try directory.open("a", O_RDONLY).startWriteback())
    }

    @Test func aMissingTemporaryPublishesNothing() throws {
        try scratch.write("a", "a")
        #expect(throws: SystemError.self) { try directory.publish([Publication("a", as: "x/1"), Publication("gone", as: "x/2")]) }
        #expect(!directory.exists("x/1"))
    }

    @Test func oneOfManyThreadsIsFirst() async throws {
        for round in 0..<20 {
            for thread in 0..<16 { try scratch.write("t\(thread)", "same \(round)") }
            let firsts = try await withThrowingTaskGroup(of: Bool.self) { group in
                for thread in 0..<16 {
                    group.addTask { [directory] in try directory.publish("t\(thread)", as: "deep/\(round)/final") }
                }
                return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
            }
            #expect(firsts == 1)
            #expect(try scratch.text("deep/\(round)/final") == "same \(round)")
        }
    }

    @Test func replaceShowsOldOrNew() throws {
        try scratch.write("final", "old")
        try scratch.write("temporary", "new")
        try directory.replace("final", by: "temporary")
        #expect(try scratch.text("final") == "new")
        #expect(!directory.exists("temporary"))
    }
}
