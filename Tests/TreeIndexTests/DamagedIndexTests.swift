import Archive
import Glibc
import LinuxIO
import OCI
import Testing

@testable import TreeIndex

@Suite struct DamagedIndexTests {
    /// An index with something in every section.
    private func richLayer() throws -> [UInt8] {
        var entries: [ArchiveEntry] = [
            .directory("d", mode: 0o700), .file("d/f", size: 30), .link("d/l", to: "d/f"), .symlink("s", to: "d/f"),
            .file(".wh.w"), .file("o/.wh..wh..opq"), .link("dangling", to: "lower"), .file("x/y/z"), .file("x/y"),
            ArchiveEntry(path: [UInt8]("null"), kind: .characterDevice, deviceMajor: 1, deviceMinor: 3),
        ]
        entries[1].attributes = [
            ExtendedAttribute(name: [UInt8]("user.a"), value: [1, 2, 3]), ExtendedAttribute(name: [UInt8]("user.b"), value: []),
        ]
        var sparse = ArchiveEntry.file("sparse", size: 500)
        sparse.extents = [Extent(offset: 10, length: 20), Extent(offset: 100, length: 50)]
        var builder = try TreeBuilder(entries + [sparse])
        let big = try #require(try builder.add(.file("big", size: 5000)))
        try builder.setObject(big, .fake(7))
        let start = builder.contentSize
        try builder.append(
            ContentSpan(contentStart: start, length: 20, sourceOffset: 100, sourceLength: 50, digest: .fake(8)),
            chunks: [
                ContentChunk(contentStart: start, length: 15, sourceOffset: 100, digest: .fake(9)),
                ContentChunk(contentStart: start + 15, length: 5, sourceOffset: 130, innerOffset: 3),
            ])
        return try builder.finish(.test).bytes
    }

    private func richSnapshot() throws -> [UInt8] {
        let low = try TreeIndex([.file("lower", size: 3), .directory("o"), .file("o/gone")])
        return try SnapshotMerge.merge([
            .init(index: low, treeKey: .fake(1)), .init(index: TreeIndex(validating: richLayer()), treeKey: .fake(2)),
        ]).bytes
    }

    @Test func theRichIndexesAreValidAndFull() throws {
        let layer = try TreeIndex(validating: richLayer())
        #expect(layer.view.spanCount > 2 && layer.view.chunkCount == 2 && layer.view.objectCount == 1)
        #expect(layer.walkEverything() != 0)
        #expect(try TreeIndex(validating: richSnapshot()).view.layerCount == 2)
    }

    @Test func aWrongByteAnywhereIsFoundByTheChecksum() throws {
        let bytes = try richLayer()
        for position in stride(from: 0, to: bytes.count, by: 13) {
            var damaged = bytes
            damaged[position] ^= 0x40
            #expect(throws: TreeIndexError.self, "at \(position)") { try TreeIndex(validating: damaged) }
        }
    }

    @Test func anIndexCutShortAnywhereIsRefused() throws {
        for bytes in try [richLayer(), richSnapshot(), StartsTests.layer()] {
            for length in stride(from: 0, to: bytes.count, by: 8) {
                let cut = Array(bytes[..<length])
                #expect(throws: TreeIndexError.self) { try TreeIndex(validating: cut) }
                // The same with a header that agrees with the shorter file.
                guard length >= 56 else { continue }
                let lying = withHeaderRepaired(cut)
                #expect(throws: TreeIndexError.self, "at \(length)") { try TreeIndex(validating: lying) }
            }
        }
    }

    @Test func whateverPassesValidationCanBeReadMergedAndCompared() throws {
        var random = SeededRandom.announced("whateverPassesValidationCanBeReadMergedAndCompared")
        let originals = try [richLayer(), richSnapshot(), StartsTests.layer()]
        let interesting: [UInt8] = [0, 1, 2, 7, 8, 0x7f, 0x80, 0xfe, 0xff]
        var (valid, refused) = (0, 0)
        for round in 0..<20_000 {
            let original = originals[round % 3]
            var bytes = original
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                let position = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: bytes[position] ^= 1 << UInt8.random(in: 0..<8, using: &random)
                case 1: bytes[position] = interesting.randomElement(using: &random) ?? 0
                case 2: for index in position..<min(bytes.count, position + 8) { bytes[index] = 0xff }
                default:
                    let source = Int.random(in: 0..<bytes.count, using: &random)
                    let count = min(Int.random(in: 1...8, using: &random), bytes.count - max(source, position))
                    for index in 0..<count { bytes[position + index] = original[source + index] }
                }
            }
            if bytes.withUnsafeBytes(fuzzIndex) { valid += 1 } else { refused += 1 }
        }
        #expect(valid > 1000 && refused > 1000, "\(valid) valid, \(refused) refused: the mutations are one-sided")
    }

    /// What the fuzzer starts from, and what it once found.
    @Test func theFuzzersCorpusIsReadWithoutATrap() throws {
        let folder = #filePath.split(separator: "/").dropLast(3).reduce("") { $0 + "/" + $1 } + "/Fuzz/corpus/index"
        let directory = try Directory(folder)
        var valid = 0
        for name in try directory.list() {
            let bytes = try #require(try directory.open(name, O_RDONLY).readAll(limit: 1 << 20))
            if bytes.withUnsafeBytes(fuzzIndex) { valid += 1 }
        }
        #expect(valid >= 5)
    }

    /// Single fields, each set to what would lead a reader astray.
    @Test(arguments: [
        ("a parent that comes later", 1, 0, [9, 0, 0, 0]), ("a node that is its own parent", 1, 0, [1, 0, 0, 0]),
        ("children out of bounds", 0, 4, [200, 0, 0, 0]), ("a huge number of children", 0, 8, [255, 255, 255, 255]),
        ("a name out of bounds", 2, 12, [255, 255, 255, 127]), ("a name without bytes", 2, 16, [0, 0]),
        ("an unknown kind", 2, 18, [9]), ("an unknown flag", 2, 19, [32]), ("a mode beyond 07777", 2, 20, [0, 16, 0, 0]),
        ("a link count", 2, 52, [3, 0, 0, 0]), ("content out of bounds", 2, 64, [0, 0, 0, 0, 0, 0, 0, 128]),
        ("content that ends behind the spans", 2, 64, [100, 0, 0, 0, 0, 0, 0, 0]),
        ("content nowhere", 2, 64, [255, 255, 255, 255, 255, 255, 255, 255]),
        ("attributes out of bounds", 2, 72, [255, 255, 255, 255]), ("attributes cut short", 2, 76, [9, 0, 0, 0]),
        ("an object that is none", 2, 88, [5, 0, 0, 0]), ("a link to a directory", 3, 4, [1, 0, 0, 0]),
        ("a link to nothing", 3, 4, [255, 255, 0, 0]), ("a target out of bounds", 4, 64, [255, 255, 0, 0, 0, 0, 0, 0]),
        ("a layer number in a layer", 2, 80, [1, 0]), ("a whole second of nanoseconds", 2, 48, [0, 202, 154, 59]),
    ] as [(String, Int, Int, [UInt8])])
    func aFieldThatLeadsAstrayIsRefused(what: String, node: Int, offset: Int, value: [UInt8]) throws {
        var bytes = try richLayer()
        let start = 344 + node * 96 + offset
        bytes.replaceSubrange(start..<start + value.count, with: value)
        let damaged = withHeaderRepaired(bytes)
        let error = #expect(throws: TreeIndexError.self, "\(what)") { try TreeIndex(validating: damaged) }
        guard case .damaged = error else {
            Issue.record("\(what): \(String(describing: error))")
            return
        }
    }
}
