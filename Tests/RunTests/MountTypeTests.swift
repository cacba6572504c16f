import Run
import Testing

@Suite struct MountTypeTests {
    @Test func theNamesAreBuildKits() {
        #expect(MountType.allCases.map(\.rawValue) == ["bind", "cache", "tmpfs", "secret", "ssh"])
    }
}
