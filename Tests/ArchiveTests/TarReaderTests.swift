import OCI
import Testing
@testable import Archive

/// The rules of tar, one by one, on archives made by hand.
@Suite struct TarReaderTests {
    private func read(_ build: (inout TarBuilder) -> Void) throws -> [Member] {
        var tar = TarBuilder()
        build(&tar)
        return try members(of: tar.bytes)
    }

    private func paths(_ build: (inout TarBuilder) -> Void) throws -> [String] {
        try read(build).map { String(decoding: $0.entry.path, as: UTF8.self) }
    }

    @Test func anEmptyArchiveHasNoMembers() throws {
        #expect(try members(of: []).isEmpty)
        #expect(try read { $0.end() }.isEmpty)
    }

    @Test func theArchiveMayEndWithoutZeroBlocks() throws {
        #expect(try paths { $0.file("a", "1") } == ["a"])
        #expect(try paths { $0.file("a", "1"); $0.data([0]) } == ["a"])
        var tar = TarBuilder()
        tar.file("a", "1")
        // The data is there, its padding is not.
        #expect(try members(of: tar.bytes.dropLast(511)).map(\.content) == [[UInt8(ascii: "1")]])
    }

    @Test func whatFollowsTheEndIsDrainedAndNotRead() throws {
        var tar = TarBuilder()
        tar.file("a", "1")
        tar.end()
        tar.file("b", "2")
        let reader = TarReader(MemoryReader(tar.bytes))
        #expect(try reader.readMembers().count == 1)
        #expect(try reader.next() == nil)
        #expect(try reader.drain() == 1024)
    }

    @Test func aLoneZeroBlockIsAnError() {
        var tar = TarBuilder()
        tar.data([0])
        tar.file("a", "1")
        #expect(failure(of: tar.bytes)?.reason == .malformed)
    }

    @Test func theUstarPrefixComesBeforeTheName() throws {
        #expect(try paths { $0.header("name", prefix: "some/dir") } == ["some/dir/name"])
        // Not in other dialects, where the place has another use.
        #expect(try paths { $0.header("name", magic: "", prefix: "some/dir") } == ["name"])
        #expect(try paths { $0.header("name", magic: "ustar  \0", prefix: "00000000000") } == ["name"])
    }

    @Test func starKeepsItsTimesOutOfThePrefix() throws {
        #expect(try paths { $0.header("name", prefix: "p", raw: [476: Array("00000000001".utf8), 508: Array("tar\0".utf8)]) } == ["p/name"])
    }

    @Test func goesOldPrefixInGNUHeadersIsUnderstood() throws {
        #expect(try paths { $0.header("name", magic: "ustar  \0", prefix: "not/a/time") } == ["not/a/time/name"])
    }

    @Test func aSlashMakesADirectoryOnlyWithoutAType() throws {
        let seen = try read {
            $0.header("old/", type: "\0", magic: "")
            $0.header("new/", type: "0")
        }
        #expect(seen.map(\.entry.kind) == [.directory, .regular])
    }

    @Test func signedAndUnsignedChecksumsFit() throws {
        #expect(try read { $0.header("n", link: "", raw: [0: [0xE9, 0xFF]], signed: true) }.map(\.entry.path) == [[0xE9, 0xFF]])
        #expect(try read { $0.header("n", link: "", raw: [0: [0xE9, 0xFF]], signed: false) }.map(\.entry.path) == [[0xE9, 0xFF]])
    }

    @Test func aWrongChecksumIsAnError() {
        var tar = TarBuilder()
        tar.file("a", "1")
        var bytes = tar.bytes
        bytes[0] ^= 1
        #expect(failure(of: bytes)?.reason == .malformed)
        #expect(failure(of: bytes)?.description.hasPrefix("entry 1") == true)
    }

    @Test func membersWithoutDataHaveNoneWhateverTheySay() throws {
        let seen = try paths {
            $0.header("hard", type: "1", size: 5000, link: "a")
            $0.header("soft", type: "2", size: 5000, link: "a")
            $0.header("dir/", type: "5", size: 5000)
            $0.header("fifo", type: "6", size: 5000)
            $0.file("after", "x")
        }
        #expect(seen == ["hard", "soft", "dir/", "fifo", "after"])
    }

    @Test func unknownKindsArePassedOverWithTheirData() throws {
        let seen = try paths {
            for type in "VMDNXAZ" {
                $0.header("odd", type: type, size: 3)
                $0.data([1, 2, 3])
            }
            $0.header("contiguous", type: "7", size: 3)
            $0.data([1, 2, 3])
        }
        #expect(seen == ["contiguous"])
    }

    @Test func numbersMayBeBase256() throws {
        let entry = try #require(try read {
            $0.header("a", raw: [
                108: [0x80, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFE], 124: [0x80] + [UInt8](repeating: 0, count: 11), 136: [UInt8](repeating: 0xFF, count: 12),
            ])
        }.first?.entry)
        #expect(entry.uid == 4_294_967_294)
        #expect(entry.modified == Timestamp(seconds: -1))
    }

    @Test(arguments: [
        [UInt8(0x80)] + [UInt8](repeating: 0xFF, count: 11), [UInt8](repeating: 0xFF, count: 12), Array("777777777777".utf8), Array("-1\0".utf8), Array("99".utf8),
        [0x80, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0],
    ])
    func absurdSizesAreErrors(field: [UInt8]) {
        var tar = TarBuilder()
        tar.header("a", raw: [124: field])
        #expect(failure(of: tar.bytes) != nil)
    }

    @Test func octalMayBeSurroundedBySpacesAndNULs() throws {
        let seen = try read { $0.header("a", raw: [100: Array(" 0644 \0 ".utf8), 136: Array("      17 \0\0\0".utf8)]) }
        #expect(seen.first?.entry.mode == 0o644)
        #expect(seen.first?.entry.modified.seconds == 15)
    }

    @Test func paxRecordsWinOverTheHeaderAndGNULongNamesOverBoth() throws {
        let seen = try paths {
            $0.pax([("path", "from-pax")])
            $0.header("a")
            $0.pax([("path", "from-pax")])
            $0.long("L", "first")
            $0.long("L", "from-gnu")
            $0.header("a")
            $0.header("plain")
        }
        #expect(seen == ["from-pax", "from-gnu", "plain"])
    }

    @Test func emptyPaxValuesTakeARecordBack() throws {
        #expect(try paths { $0.pax([("path", "b"), ("path", "")]); $0.header("a") } == ["a"])
    }

    @Test func globalHeadersAreIgnoredAsGoDoes() throws {
        let seen = try read {
            $0.pax([("path", "global"), ("uid", "7")], type: "g")
            $0.header("a", uid: 3)
        }
        #expect(seen.map(\.entry.path) == [Array("a".utf8)])
        #expect(seen.first?.entry.uid == 3)
    }

    @Test func timesBeforeTheEpochKeepTheirFraction() {
        #expect(TarNumber.time(Array("-1.25".utf8)) == Timestamp(seconds: -2, nanoseconds: 750_000_000))
        #expect(TarNumber.time(Array("-0.5".utf8)) == Timestamp(seconds: -1, nanoseconds: 500_000_000))
        #expect(TarNumber.time(Array("12.0000000019".utf8)) == Timestamp(seconds: 12, nanoseconds: 1))
        #expect(TarNumber.time(Array("-3".utf8)) == Timestamp(seconds: -3))
        for bad in ["", ".5", "1.x", "1e3", "--1", "9223372036854775808", "-9223372036854775808.5"] {
            #expect(TarNumber.time(Array(bad.utf8)) == nil, "\(bad)")
        }
    }

    @Test func theSCHILYAttributeWinsOverItsEncodedTwin() throws {
        let seen = try read {
            $0.pax([("LIBARCHIVE.xattr.user.%61", "ZW5jb2RlZA"), ("SCHILY.xattr.user.a", "plain"), ("LIBARCHIVE.xattr.user.b", "AAE=")])
            $0.header("a")
        }
        let attributes = seen.first?.entry.attributes.sorted { $0.name.lexicographicallyPrecedes($1.name) }
        #expect(attributes == [
            ExtendedAttribute(name: Array("user.a".utf8), value: Array("plain".utf8)), ExtendedAttribute(name: Array("user.b".utf8), value: [0, 1]),
        ])
    }

    @Test(arguments: [
        "5 a=", "3 a=b\n", "99 path=x\n", "9 path=x\n\n", "x path=x\n", "11 path=x\n", "12 =path=x\n", "18446744073709551627 a=b\n", " 8 a=b\n", "0008 a=b", "9 path\0\n\n",
    ])
    func malformedPaxRecordsAreErrors(body: String) {
        #expect(throws: ArchiveError.self) { try PAXRecords(parsing: Array(body.utf8)) }
    }

    @Test func aContradictorySparseMapIsAnError() {
        for (map, blocks) in [("0,4,2,4", "2"), ("0,4", "2"), ("0,9", "1"), ("9223372036854775807,9", "1"), ("-1,4", "1"), ("0,3", "1"), ("0", "1"), ("", "1"), ("0,4", "-1")] {
            var tar = TarBuilder()
            tar.pax([("GNU.sparse.size", "8"), ("GNU.sparse.numblocks", blocks), ("GNU.sparse.major", "0"), ("GNU.sparse.minor", "1"), ("GNU.sparse.map", map)])
            tar.file("a", "1234")
            #expect(failure(of: tar.bytes)?.reason == .malformed, "map \(map)")
        }
    }

    @Test func aSparseFileMayBeAllHole() throws {
        let seen = try read {
            $0.pax([("GNU.sparse.size", "8"), ("GNU.sparse.numblocks", "0"), ("GNU.sparse.major", "0"), ("GNU.sparse.minor", "1"), ("GNU.sparse.map", "")])
            $0.header("a")
        }
        #expect(seen.first?.entry.extents == [])
        #expect(seen.first?.content == [UInt8](repeating: 0, count: 8))
    }

    @Test func readingPartOfAMemberLosesNothingOfTheNext() throws {
        var tar = TarBuilder()
        tar.file("a", String(repeating: "a", count: 5000))
        tar.file("b", "bb")
        let reader = TarReader(MemoryReader(tar.bytes))
        _ = try reader.next()
        var buffer = [UInt8](repeating: 0, count: 700)
        #expect(try buffer.withUnsafeMutableBytes { try reader.read(into: $0) } == 700)
        #expect(reader.position == 512 + 700)
        #expect(try reader.next()?.path == [UInt8(ascii: "b")])
        #expect(reader.position == 512 + 5120 + 512)
        #expect(try reader.readData() == Array("bb".utf8))
    }
}
