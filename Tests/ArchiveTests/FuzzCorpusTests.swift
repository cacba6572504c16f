import Glibc
import Testing
@testable import Archive

/// What fuzzers started from or once found, through the same functions, in the ordinary tests.
@Suite struct FuzzCorpusTests {
    private func replay(_ target: String, _ run: (UnsafeRawBufferPointer) -> Void) throws {
        let directory = fixture("../../../Fuzz/corpus/" + target)
        let stream = try #require(opendir(directory))
        defer { closedir(stream) }
        var count = 0
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) } }
            guard !name.hasPrefix(".") else { continue }
            try readFile(directory + "/" + name).withUnsafeBytes(run)
            count += 1
        }
        #expect(count >= 5)
    }

    @Test func tarInputsAreHandled() throws { try replay("tar", fuzzTar) }
    @Test func tableOfContentsInputsAreHandled() throws { try replay("toc", fuzzTOC) }
    @Test func zTOCInputsAreHandled() throws { try replay("ztoc", fuzzZTOC) }
}
