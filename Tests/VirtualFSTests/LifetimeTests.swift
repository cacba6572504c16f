import Images
import OCI
import TestSupport
import Testing
@testable import VirtualFS

@Suite struct LifetimeTests {
    @Test func aFilesystemThatIsLetGoHoldsNothing() async throws {
        weak var fileSystem: LarderFileSystem?
        weak var library: ImageLibrary?
        try await Mount().run { mount in
            _ = try mount.addSample()
            #expect(try await mount.text("images/\(Mount.host)/team/app:1/rootfs/etc/name") == "base")
            fileSystem = mount.fileSystem
            library = mount.library
        }
        // Tasks that have just ended may hold on for a moment.
        for _ in 0..<6000 where fileSystem != nil || library != nil { try await Task.sleep(for: .milliseconds(10)) }
        #expect(fileSystem == nil)
        #expect(library == nil)
    }
}
