import Glibc
import LinuxIO
import Testing

@testable import FuseBridge

@Suite(.enabled(if: FuseDevice.usesIOUring, "SKIPPED: FUSE over io_uring is off, so rings have NOT been tested"))
struct RequestRingsTests {
    /// What is no FUSE device takes no entries, and the threads that wait for requests from it end.
    @Test(.timeLimit(.minutes(5))) func whatTheKernelRefusesEndsAtOnce() throws {
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        defer { for end in ends { close(end) } }
        for limit in [512, 1] {
            let rings = RequestRings()
            #expect(throws: SystemError.self) {
                try rings.start(.init(device: ends[0], payloadSize: 8192, entryLimit: limit) { _ in Issue.record("nobody asks anything") })
            }
            rings.finish(.abandoned)
        }
    }
}
