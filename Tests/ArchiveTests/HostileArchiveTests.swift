import Testing
@testable import Archive

/// Archives that ask for too much, end too early or are damaged: an error that says so, never a trap, never no end.
@Suite struct HostileArchiveTests {
    /// A little of everything, small enough to be cut at every byte.
    static let specimen: [UInt8] = {
        var tar = TarBuilder()
        tar.file("plain", "content")
        tar.pax([("path", "pax/name"), ("mtime", "-1.5"), ("SCHILY.xattr.user.a", "value"), ("LIBARCHIVE.xattr.user.b", "AAAA")])
        tar.file("x", "y")
        tar.long("L", String(repeating: "long/", count: 40))
        tar.long("K", String(repeating: "link/", count: 40))
        tar.header("l", type: "2", magic: "ustar  \0")
        tar.pax([("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.name", "sparse"), ("GNU.sparse.realsize", "5000")])
        tar.header("s", size: 512 + 5)
        tar.data(Array("2\n0\n3\n4000\n2\n".utf8) + [UInt8](repeating: 0, count: 512 - 14) + Array("abcde".utf8))
        let field = { (value: Int) in Array(("00000000000" + String(value, radix: 8)).suffix(11).utf8) + [0] }
        tar.header("S", type: "S", size: 2, magic: "ustar  \0", raw: [386: field(7), 398: field(1), 482: [1], 483: field(100)])
        tar.data(field(50) + field(1))
        tar.data(Array("pq".utf8))
        tar.header("dev", type: "3")
        tar.pax([("comment", "global")], type: "g")
        tar.file("last", "end")
        tar.end()
        return tar.bytes
    }()

    @Test func theSpecimenItselfReads() throws {
        let seen = try members(of: Self.specimen)
        #expect(seen.map { ArchiveError.printable($0.entry.path).prefix(8) } == ["plain", "pax/name", "long/lon", "sparse", "S", "dev", "last"])
        #expect(seen.map(\.content.count) == [7, 1, 0, 5000, 100, 0, 3])
        #expect(seen[4].content[7] == UInt8(ascii: "p") && seen[4].content[50] == UInt8(ascii: "q"))
    }

    @Test func aSmallArchiveCutAtAnyByteEndsCleanlyOrWithAnError() throws {
        var tar = TarBuilder()
        tar.pax([("path", "pax/name"), ("SCHILY.xattr.user.a", "value")])
        tar.file("x", "content")
        try expectCuts(of: tar.bytes, at: Array(0..<tar.bytes.count))
    }

    @Test func anArchiveOfEverythingCutAnywhereEndsCleanlyOrWithAnError() throws {
        var generator = SeededGenerator("anArchiveOfEverythingCutAnywhereEndsCleanlyOrWithAnError")
        // At the edges of blocks, where parsers err, and at some places between.
        let edges = (0..<Self.specimen.count).filter { (-3...3).contains(($0 + 3) % 512 - 3) }
        let others = (0..<500).map { _ in Int.random(in: 0..<Self.specimen.count, using: &generator) }
        try expectCuts(of: Self.specimen, at: edges + others)
    }

    private func expectCuts(of archive: [UInt8], at lengths: [Int]) throws {
        let whole = try members(of: archive)
        for length in lengths {
            let reader = TarReader(MemoryReader(Array(archive.prefix(length))))
            var seen: [Member] = []
            do throws(ArchiveError) {
                while let entry = try reader.next() { seen.append(Member(entry: entry, content: entry.fillHoles(try reader.readData()))) }
            } catch {
                #expect(error.reason == .truncated || error.reason == .malformed, "cut at \(length): \(error)")
            }
            // Whatever was read before the cut is right.
            #expect(seen == Array(whole.prefix(seen.count)), "cut at \(length)")
        }
    }

    @Test(arguments: ["gzip", "zstd"])
    func aCompressedArchiveCutAnywhereIsAnError(tool: String) throws {
        let scratch = try Scratch()
        try scratch.write(Self.specimen, to: "a.tar")
        try scratch.run("\(tool) -q -c a.tar > a.out")
        let compressed = try scratch.read("a.out")
        for length in 4..<compressed.count {
            #expect(throws: ArchiveError.self, "cut at \(length)") { try readAll(LayerReader(MemoryReader(Array(compressed.prefix(length))))) }
        }
    }

    @Test func damagedArchivesAlwaysEnd() {
        var generator = SeededGenerator("damagedArchivesAlwaysEnd")
        for _ in 0..<4000 {
            var bytes = Self.specimen
            for _ in 0..<Int.random(in: 1...6, using: &generator) {
                // Mostly inside one header, with its checksum put right so that the damage is looked at.
                let block = Int.random(in: 0..<bytes.count / 512, using: &generator) * 512
                bytes[block + Int.random(in: 0..<512, using: &generator)] = [0, 0x20, 0x30, 0x37, 0x39, 0x80, 0xFF, UInt8.random(in: 0...255, using: &generator)]
                    .randomElement(using: &generator) ?? 0
                if Bool.random(using: &generator) { Self.sign(&bytes, block) }
            }
            if let error = failure(of: bytes) { #expect(!error.description.isEmpty && error.description.utf8.count < 600) }
        }
    }

    private static func sign(_ bytes: inout [UInt8], _ block: Int) {
        bytes.replaceSubrange(block + 148..<block + 156, with: [UInt8](repeating: 0x20, count: 8))
        let sum = bytes[block..<block + 512].reduce(0) { $0 + Int($1) }
        bytes.replaceSubrange(block + 148..<block + 154, with: Array(("000000" + String(sum, radix: 8)).suffix(6).utf8))
    }

    @Test func aHugeNameIsRefusedWithAShortMessage() throws {
        var tar = TarBuilder()
        tar.file("first", "1")
        tar.long("L", String(repeating: "n", count: 100_000))
        tar.header("n", magic: "ustar  \0")
        let error = try #require(failure(of: tar.bytes))
        #expect(error.reason == .limitExceeded)
        #expect(error.description.hasPrefix("entry 2 'nnn"))
        #expect(error.description.utf8.count < 300)
    }

    @Test func limitsAreErrorsThatNameTheEntry() throws {
        func refused(_ build: (inout TarBuilder) -> Void) -> ArchiveError.Reason? {
            var tar = TarBuilder()
            build(&tar)
            let error = failure(of: tar.bytes)
            if let error { #expect(error.description.hasPrefix("entry 1"), "\(error)") }
            return error?.reason
        }
        #expect(refused { $0.pax([("path", String(repeating: "c", count: 256))]); $0.header("a") } == .limitExceeded)
        #expect(refused { $0.pax([("path", String(repeating: "c", count: 255))]); $0.header("a") } == nil)
        #expect(refused { $0.pax([("path", String(repeating: "d/", count: 2049))]); $0.header("a") } == .limitExceeded)
        #expect(refused { $0.pax([("linkpath", String(repeating: "l", count: 4097))]); $0.header("a", type: "2") } == .limitExceeded)
        #expect(refused { $0.pax([("SCHILY.xattr.user.a", String(repeating: "v", count: 65_537))]); $0.header("a") } == .limitExceeded)
        #expect(refused { $0.pax([("SCHILY.xattr.user." + String(repeating: "n", count: 256), "v")]); $0.header("a") } == .malformed)
        #expect(refused { $0.pax([("comment", String(repeating: "v", count: 1 << 20))]); $0.header("a") } == .limitExceeded)
        #expect(refused { $0.header("a", raw: [124: [0x80, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0]]) } == .limitExceeded)
        #expect(refused { $0.pax([("size", "4611686018427387904")]); $0.header("a") } == .limitExceeded)
        #expect(refused { $0.pax([("size", "-1")]); $0.header("a") } == .malformed)
        #expect(refused { $0.pax([("uid", "4294967296")]); $0.header("a") } == .malformed)
        #expect(refused {
            $0.pax([("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.realsize", "5000")])
            $0.header("s", size: 1024)
            $0.data(Array("65537\n".utf8) + [UInt8](repeating: 0, count: 1018))
        } == .limitExceeded)
    }

    @Test func anEndlessChainOfSparseBlocksIsRefused() {
        var tar = TarBuilder()
        tar.header("S", type: "S", size: 0, magic: "ustar  \0", raw: [482: [1]])
        var block = [UInt8](repeating: 0, count: 512)
        block[504] = 1
        for _ in 0..<65_600 { tar.data(block) }
        #expect(failure(of: tar.bytes)?.reason == .limitExceeded)
    }

    @Test func anErrorOfTheSourceIsPassedOn() {
        struct Broken: Error {}
        final class BrokenReader: ByteReader {
            func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int { throw Broken() }
        }
        #expect { try TarReader(BrokenReader()).next() } throws: { ($0 as? ArchiveError)?.underlying is Broken }
        #expect { try TarReader(GzipReader(BrokenReader())).next() } throws: { ($0 as? ArchiveError)?.underlying is Broken }
    }
}
