import Caches
import Testing

@Suite struct SharingTests {
    @Test func theNamesAreBuildKits() {
        #expect(Sharing.allCases.map(\.rawValue) == ["shared", "private", "locked"])
    }
}
