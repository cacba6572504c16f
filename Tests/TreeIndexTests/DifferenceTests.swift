import Archive
import Testing

@testable import TreeIndex

@Suite struct DifferenceTests {
    private func difference(_ a: [ArchiveEntry], _ b: [ArchiveEntry], times: TimePrecision = .nanoseconds) throws -> String? {
        let (first, second) = (try TreeIndex(a), try TreeIndex(b))
        let forward = TreeIndex.difference(first, second, times: times)
        #expect((TreeIndex.difference(second, first, times: times) == nil) == (forward == nil))
        return forward
    }

    @Test func orderAndPlaceOfContentDoNotCount() throws {
        let entries: [ArchiveEntry] = [.directory("d"), .file("d/a", size: 1), .file("b", size: 2), .link("c", to: "b"), .file("d/.wh.w")]
        let reversed: [ArchiveEntry] = [.file("d/.wh.w"), .file("c", size: 2), .link("b", to: "c"), .file("d/a", size: 1), .directory("d")]
        #expect(try difference(entries, reversed) == nil)
    }

    @Test func everyPropertyCounts() throws {
        let base = ArchiveEntry(
            path: [UInt8]("d/f"), kind: .regular, mode: 0o644, uid: 1, gid: 2, size: 3, modified: Timestamp(seconds: 4, nanoseconds: 5),
            attributes: [ExtendedAttribute(name: [1], value: [2])])
        let changes: [(inout ArchiveEntry) -> Void] = [
            { $0.path = [UInt8]("d/g") }, { $0.kind = .fifo }, { $0.mode = 0o600 }, { $0.uid = 9 }, { $0.gid = 9 }, { $0.size = 4 },
            { $0.modified.seconds = 5 }, { $0.modified.nanoseconds = 6 }, { $0.attributes = [] },
            { $0.attributes[0].value = [3] }, { $0.attributes[0].name = [3] }, { $0.path = [UInt8]("d") },
        ]
        #expect(try difference([base], [base]) == nil)
        for (number, change) in changes.enumerated() {
            var changed = base
            change(&changed)
            let found = try #require(try difference([base], [changed]), "change \(number)")
            #expect(found.contains("'d"), "\(found)")
        }
        #expect(try difference([base], [base, .file("z")]) == "'z': only in the second tree")
        #expect(try difference([.symlink("s", to: "a")], [.symlink("s", to: "b")]) == "'s': target 'a' or 'b'")
        #expect(try difference([.file("d/f")], [.file("d/f"), .file("d/.wh..wh..opq")]) != nil)
    }

    @Test func whichNamesAreOneInodeCounts() throws {
        let ab: [ArchiveEntry] = [.file("a"), .link("b", to: "a"), .file("c"), .link("d", to: "c")]
        let ac: [ArchiveEntry] = [.file("a"), .link("c", to: "a"), .file("b"), .link("d", to: "b")]
        #expect(try difference(ab, ac)?.contains("hard links to different files") == true)
        #expect(try difference(ab, [.file("a"), .file("b"), .file("c"), .link("d", to: "c")])?.contains("names") == true)
    }

    @Test func timesCanBeComparedAsEStargzWritesThem() throws {
        func file(_ seconds: Int64, _ nanoseconds: UInt32) -> [ArchiveEntry] {
            var entry = ArchiveEntry.file("f")
            entry.modified = Timestamp(seconds: seconds, nanoseconds: nanoseconds)
            return [entry]
        }
        #expect(try difference(file(7, 499_999_999), file(7, 0), times: .seconds) == nil)
        #expect(try difference(file(7, 500_000_000), file(8, 0), times: .seconds) == nil)
        #expect(try difference(file(-1, 600_000_000), file(0, 0), times: .seconds) == nil)
        #expect(try difference(file(7, 500_000_000), file(7, 0), times: .seconds) != nil)
        #expect(try difference(file(7, 1), file(7, 0)) != nil)
    }
}
