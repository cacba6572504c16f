import Archive
import OCI
import Testing

@testable import TreeIndex

@Suite struct ContentTests {
    private func sparse(_ path: String, size: UInt64, _ extents: [(UInt64, UInt64)]) -> ArchiveEntry {
        var entry = ArchiveEntry.file(path, size: size)
        entry.extents = extents.map { Extent(offset: $0.0, length: $0.1) }
        return entry
    }

    @Test func aSparseFileIsReadRunByRun() throws {
        let index = try TreeIndex([.file("before", size: 7), sparse("s", size: 100, [(10, 5), (20, 10), (100, 0)])])
        let view = index.view
        let node = try #require(index.node("s"))
        #expect(view.storedSize(of: node) == 15)
        // Byte by byte against a plain model of the same file.
        var offset: UInt64 = 0
        var stored: UInt64 = 0
        while offset < 100 {
            let isData = (10..<15).contains(offset) || (20..<30).contains(offset)
            #expect(view.content(of: node, at: offset)?.contentOffset == (isData ? 7 + stored : nil), "at \(offset)")
            stored += isData ? 1 : 0
            offset += 1
        }
        #expect(view.content(of: node, at: 0)?.length == 10)
        #expect(view.content(of: node, at: 12) == ContentRun(contentOffset: 9, length: 3))
        #expect(view.content(of: node, at: 30) == ContentRun(contentOffset: nil, length: 70))
        #expect(view.content(of: node, at: 100) == ContentRun(contentOffset: nil, length: 0))
        #expect(view.content(of: node, at: .max) == ContentRun(contentOffset: nil, length: 0))
    }

    @Test func aFileThatIsAllHoleNeedsNoContent() throws {
        let index = try TreeIndex([sparse("s", size: 1 << 40, [])])
        let node = try #require(index.node("s"))
        #expect(index.view.content(of: node, at: 1) == ContentRun(contentOffset: nil, length: 1 << 40 - 1))
    }

    @Test func dataRunsThatContradictTheFileAreRefused() {
        for runs in [[(0, 101)], [(50, 51)], [(10, 5), (12, 5)], [(20, 5), (10, 5)], [(UInt64.max, 2)]] as [[(UInt64, UInt64)]] {
            var builder = TreeBuilder()
            #expect(throws: TreeIndexError.self) { try builder.add(sparse("s", size: 100, runs)) }
        }
    }

    @Test func aLargeFileIsAnObjectWithoutSpans() throws {
        var builder = TreeBuilder()
        let ordinal = try #require(try builder.add(.file("big", size: 1 << 33)))
        try builder.setObject(ordinal, .fake(9))
        let index = try TreeIndex(validating: builder.finish(.test).bytes)
        let node = try #require(index.node("big"))
        #expect(node.flags == .large)
        #expect(index.view.content(of: node, at: 0) == nil)
        let number = try #require(node.objectNumber)
        #expect(index.view.object(number) == FileObject(digest: .fake(9), size: 1 << 33))
        #expect(index.view.object(number).digest == .fake(9))
    }

    @Test func spansAreFoundByOffset() throws {
        var builder = TreeBuilder()
        for (start, length) in [(0, 10), (10, 1), (11, 100)] as [(UInt64, UInt64)] {
            try builder.append(ContentSpan(contentStart: start, length: length, sourceOffset: 0, sourceLength: 5, digest: .fake(4)))
        }
        let view = try TreeIndex(validating: builder.finish(.test).bytes).view
        for offset in 0..<111 as Range<UInt64> { #expect(view.spanNumber(at: offset) == (offset < 10 ? 0 : offset < 11 ? 1 : 2)) }
        #expect(view.spanNumber(at: 111) == nil)
        #expect(view.spanNumbers(in: 5..<11) == 0..<2)
        #expect(view.spanNumbers(in: 5..<12) == 0..<3)
        #expect(view.spanNumbers(in: 10..<1000) == 1..<3)
        #expect(view.spanNumbers(in: 10..<10).isEmpty)
        #expect(view.spanNumbers(in: 111..<112).isEmpty)
        #expect(view.span(1).digest == .fake(4))
    }

    @Test func spansAndChunksThatLeaveGapsAreRefused() throws {
        var builder = TreeBuilder()
        func span(_ start: UInt64, _ length: UInt64) -> ContentSpan {
            ContentSpan(contentStart: start, length: length, sourceOffset: 0, sourceLength: 1)
        }
        #expect(throws: TreeIndexError.self) { try builder.append(span(1, 5)) }
        #expect(throws: TreeIndexError.self) { try builder.append(span(0, 0)) }
        let chunk = ContentChunk(contentStart: 0, length: 3, sourceOffset: 0)
        #expect(throws: TreeIndexError.self) { try builder.append(span(0, 5), chunks: [chunk]) }
        #expect(throws: TreeIndexError.self) { try builder.append(span(0, 5), chunks: [chunk, chunk]) }
        #expect(try builder.append(span(0, 3), chunks: [chunk]) == 0)
        #expect(throws: TreeIndexError.self) { try builder.append(span(3, .max)) }
    }

    @Test func chunksKeepTheirDigests() throws {
        var builder = TreeBuilder()
        let chunks = (0..<4).map { ContentChunk(contentStart: $0 * 10, length: 10, sourceOffset: $0 * 7, digest: .fake(Int($0))) }
        for half in 0..<2 {
            try builder.append(
                ContentSpan(contentStart: UInt64(half) * 20, length: 20, sourceOffset: UInt64(half) * 14, sourceLength: 14),
                chunks: Array(chunks[half * 2..<half * 2 + 2]))
        }
        let view = try TreeIndex(validating: builder.finish(.test).bytes).view
        #expect(view.span(1).chunkNumbers.map { view.chunk($0) } == Array(chunks[2...]))
        #expect(view.chunk(3).digest == .fake(3))
        #expect(view.span(0).digest == nil)
    }

    @Test func aFileWithoutContentIsAnErrorThatNamesIt() throws {
        var builder = TreeBuilder()
        let ordinal = try #require(try builder.add(.file("a/forgotten", size: 1)))
        let error = #expect(throws: TreeIndexError.self) { try builder.finish(.test) }
        #expect("\(try #require(error))".contains("'a/forgotten'"))
        try builder.setContent(ordinal, at: 0)
        #expect(throws: TreeIndexError.self) { try builder.finish(.test) }
    }
}
