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
}
