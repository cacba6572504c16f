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
}
