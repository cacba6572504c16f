import LinuxIO
import Testing

/// What the fuzzer started from or once found, through the same function, in the ordinary tests.
struct FuzzCorpusTests {
    @Test func manifestInputsAreHandled() throws {
        let here = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        let directory = try Directory("/\(here)/Fuzz/corpus/manifest")
        let names = try directory.list()
        for name in names { try #require(try directory.open(name, 0).readAll(limit: 1 << 20)).withUnsafeBytes(fuzzManifest) }
        #expect(names.count >= 10)
    }
}
