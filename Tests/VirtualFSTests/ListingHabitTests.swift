import Testing

@testable import VirtualFS

@Suite struct ListingHabitTests {
    private let habit = ListingHabit()

    private func directory(_ number: UInt64) -> NodeID { NodeID(rawValue: 1 << 63 | number) }

    /// Lists `number` directories and looks at `looks` files of each; how many listings gave all.
    private func walk(_ number: Int, looks: Int) -> Int {
        (0..<number).count { index in
            let all = habit.begins(directory(UInt64(index + 1)))
            // What came with the listing is not asked for.
            if !all { for _ in 0..<looks { habit.looked(in: directory(UInt64(index + 1))) } }
            return all
        }
    }

    @Test func whoOnlyWantsNamesGetsNothingElse() {
        #expect(walk(1000, looks: 0) == 0)
        #expect(walk(1000, looks: 2) == 0)
    }

    @Test func whoLooksAtFilesGetsThemWithTheListingFromTheSecondDirectoryOn() {
        let all = walk(1000, looks: 200)
        // The trials at 1, 17, 49, 113, ... and then every 256.
        #expect(all >= 985 && all < 1000)
    }

    @Test func whoStopsLookingIsNoticed() {
        _ = walk(100, looks: 200)
        #expect(walk(1000, looks: 0) <= 256)
        #expect(walk(1000, looks: 0) == 0)
    }

    @Test func looksElsewhereDoNotCount() {
        #expect(!habit.begins(directory(1)))
        for _ in 0..<100 { habit.looked(in: directory(2)) }
        #expect(!habit.begins(directory(3)))
    }
}
