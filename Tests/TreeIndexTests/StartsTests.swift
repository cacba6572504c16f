import Archive
import OCI
import Testing

@testable import TreeIndex

@Suite struct StartsTests {
    /// Three spans of one file, with starts of every kind; the second has a window.
    static func layer() throws -> [UInt8] { try builder().finish(.test).bytes }

    private static let window = Array(repeating: 7 as UInt8, count: 1000) + [1, 2, 3]

    private static func builder() throws -> TreeBuilder {
        var builder = TreeBuilder()
        let ordinal = try #require(try builder.add(.file("f", size: 900)))
        try builder.setContent(ordinal, at: 512)
        let packed = try PackedWindow.pack(window)
        let starts = [SpanEntry(kind: .member), SpanEntry(kind: .block, bits: 3, window: packed), SpanEntry(kind: .block)]
        for (number, start) in starts.enumerated() {
            let place = UInt64(number)
            try builder.append(
                ContentSpan(
                    contentStart: place * 1000, length: 1000, sourceOffset: place * 99, sourceLength: 100, digest: .fake(number),
                    flags: number == 2 ? .digestOfSource : []),
                start: start)
        }
        return builder
    }

    @Test func startsAndWindowsComeBack() throws {
        let index = try TreeIndex(validating: Self.layer())
        let view = index.view
        #expect(view.hasStarts && view.spanCount == 3)
        #expect((0..<3).map { view.start($0).kind } == [.member, .block, .block])
        #expect((0..<3).map { view.start($0).bits } == [0, 3, 0])
        #expect((0..<3).map { view.start($0).windowLength > 0 } == [false, true, false])
        #expect(try PackedWindow.unpack(view.window(of: view.start(1))) == Self.window)
        #expect(view.window(of: view.start(0)).isEmpty && view.window(of: view.start(2)).isEmpty)
        #expect(view.span(2).flags == .digestOfSource && view.span(1).flags == [])
    }

    @Test(arguments: 0..<3)
    func oneSpanWithoutAStartLeavesNone(without: Int) throws {
        var builder = TreeBuilder()
        for number in 0..<3 {
            try builder.append(
                ContentSpan(contentStart: UInt64(number), length: 1, sourceOffset: 0, sourceLength: 1),
                start: number == without ? nil : SpanEntry(kind: .block, window: [1]))
        }
        let view = try TreeIndex(validating: builder.finish(.test).bytes).view
        #expect(!view.hasStarts && view.spanCount == 3)
    }

    @Test(arguments: [
        SpanEntry(kind: .block, bits: 8), SpanEntry(kind: .member, bits: 1), SpanEntry(kind: .member, window: [1]),
        SpanEntry(kind: .block, window: Array(repeating: 0, count: PackedWindow.packedLimit + 1)),
    ])
    func aStartThatCannotBeIsRefusedByTheBuilder(entry: SpanEntry) {
        var builder = TreeBuilder()
        #expect(throws: TreeIndexError.self) {
            try builder.append(ContentSpan(contentStart: 0, length: 1, sourceOffset: 0, sourceLength: 1), start: entry)
        }
    }

    @Test func windowsOverTheLimitAreRefused() throws {
        var limits = TreeLimits()
        limits.windowBytes = 1500
        var builder = TreeBuilder(limits: limits)
        let entry = SpanEntry(kind: .block, window: Array(repeating: 1, count: 1000))
        try builder.append(ContentSpan(contentStart: 0, length: 1, sourceOffset: 0, sourceLength: 1), start: entry)
        #expect(throws: TreeIndexError.tooMany("bytes of windows", limit: 1500)) {
            try builder.append(ContentSpan(contentStart: 1, length: 1, sourceOffset: 0, sourceLength: 1), start: entry)
        }
    }

    @Test(arguments: [
        ("a window behind the one before", 1, 0, [1]), ("a window beyond the section", 1, 8, [255, 255]),
        ("a window over the limit", 1, 10, [1]), ("nine bits", 1, 12, [9]), ("no kind", 1, 13, [0]), ("an unknown kind", 2, 13, [3]),
        ("a member with bits", 0, 12, [1]), ("a member with a window", 1, 12, [0, 2]), ("a reserved byte", 0, 14, [1]),
        ("windows that do not end with their section", 1, 8, [1]),
    ] as [(String, Int, Int, [UInt8])])
    func aStartThatLeadsAstrayIsRefused(what: String, span: Int, offset: Int, value: [UInt8]) throws {
        var bytes = try Self.layer()
        // The starts are the last section but one; its place is the last but one pair in the header.
        let section = Self.integer(bytes, at: 168 + 9 * 16)
        let place = section + span * 16 + offset
        bytes.replaceSubrange(place..<place + value.count, with: value)
        Self.expectDamaged(bytes, what)
    }

    @Test(arguments: [
        ("a source that is empty", 1, 24, 0), ("a source before the one before", 2, 16, 98), ("a source beyond the blob", 2, 16, 1 << 40),
        ("a source that ends beyond the blob", 2, 24, 1 << 40), ("a source that ends before the one before", 1, 24, 300),
        ("an unknown flag", 0, 72, 4),
    ] as [(String, Int, Int, Int)])
    func aSourceThatLeadsAstrayIsRefused(what: String, span: Int, offset: Int, value: Int) throws {
        var bytes = try Self.layer()
        let place = Self.integer(bytes, at: 168 + 5 * 16) + span * 80 + offset
        withUnsafeBytes(of: UInt64(value)) { bytes.replaceSubrange(place..<place + 8, with: $0) }
        Self.expectDamaged(bytes, what)
    }

    private static func integer(_ bytes: [UInt8], at offset: Int) -> Int {
        bytes[offset..<offset + 8].reversed().reduce(0) { $0 << 8 | Int($1) }
    }

    private static func expectDamaged(_ bytes: [UInt8], _ what: String) {
        let error = #expect(throws: TreeIndexError.self, "\(what)") { try TreeIndex(validating: withHeaderRepaired(bytes)) }
        guard case .damaged = error else {
            Issue.record("\(what): \(String(describing: error))")
            return
        }
    }

    @Test func anAdoptedIndexSaysTheSameUnderItsOwnKey() throws {
        let original = try TreeIndex(validating: Self.layer())
        for diffID in [nil, Digest.fake(11)] {
            let adopted = try TreeIndex(validating: original.rekeyed(contentKey: .fake(10), diffID: diffID))
            var expected = LayerIdentity.test
            expected.contentKey = .fake(10)
            expected.diffID = diffID
            #expect(adopted.identity == expected)
            #expect(TreeIndex.difference(adopted, original) == nil)
            #expect((0..<3).allSatisfy { adopted.view.span($0) == original.view.span($0) && adopted.view.start($0) == original.view.start($0) })
        }
        #expect(try TreeIndex(validating: original.sealed(.fake(12))).identity?.contentKey == LayerIdentity.test.contentKey)
    }

    @Test(arguments: [1, 3, 0, 255] as [UInt8])
    func anIndexOfAnotherVersionIsNotCalledDamaged(version: UInt8) throws {
        var bytes = try Self.layer()
        bytes[8] = version
        #expect(throws: TreeIndexError.otherVersion(UInt32(version))) { try TreeIndex(validating: bytes) }
    }
}
