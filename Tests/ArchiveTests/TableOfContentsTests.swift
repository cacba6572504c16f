import OCI
import Testing
@testable import Archive

/// What is believed of a table of contents and what is not.
@Suite struct TableOfContentsTests {
    private func table(_ entries: String, dataEnd: UInt64 = 1000) throws(ArchiveError) -> TableOfContents {
        try TableOfContents(json: Array("{\"version\":1,\"entries\":[\(entries)]}".utf8), dataEnd: dataEnd)
    }

    private func refusal(_ entries: String) -> ArchiveError? {
        do throws(ArchiveError) {
            _ = try table(entries)
            return nil
        } catch {
            return error
        }
    }

    @Test func aChunkEndsWhereTheNextMemberStarts() throws {
        let table = try table(
            """
            {"name":"b","type":"reg","size":10,"offset":700},
            {"name":"a","type":"reg","size":10,"offset":100,"chunkSize":4},{"name":"a","type":"chunk","chunkOffset":4,"offset":300},
            {"name":"c","type":"reg","size":1,"offset":300,"innerOffset":6},
            {"name":"d","type":"reg","size":1,"offset":800,"endOffset":850}
            """
        )
        let ends = table.entries.map { $0.chunks.map { [$0.sourceOffset, $0.sourceEnd] } }
        #expect(ends == [[[700, 800]], [[100, 300], [300, 700]], [[300, 700]], [[800, 850]]])
        #expect(table.entries[1].chunks.map(\.length) == [4, 6])
    }

    @Test func membersOfEStargzItselfAreHidden() throws {
        let table = try table(
            """
            {"name":"usr/","type":"dir"},{"name":"usr/x","type":"reg","size":1,"offset":100},
            {"name":"./.prefetch.landmark","type":"reg","size":1,"offset":200},{"name":"stargz.index.json","type":"reg"},
            {"name":"usr/.prefetch.landmark","type":"reg","size":0}
            """
        )
        #expect(table.entries.map { String(decoding: $0.entry.path, as: UTF8.self) } == ["usr/", "usr/x", "usr/.prefetch.landmark"])
        #expect(table.prefetchLength == 200)
        // Hidden or not, a member starts there.
        #expect(table.entries[1].chunks[0].sourceEnd == 200)
    }

    @Test(arguments: [
        #"{"name":"a"}"#, #"{"name":"a","type":"door"}"#, #"{"name":"a","type":"chunk","chunkOffset":0}"#,
        #"{"name":"a","type":"reg","size":-1}"#, #"{"name":"a","type":"reg","size":4611686018427387904,"offset":5}"#,
        #"{"name":"a","type":"reg","size":5}"#, #"{"name":"a","type":"reg","size":5,"offset":1000}"#, #"{"name":"a","type":"reg","size":5,"offset":-3}"#,
        #"{"name":"a","type":"reg","size":5,"offset":10,"chunkSize":6}"#, #"{"name":"a","type":"reg","size":5,"offset":10,"chunkSize":4}"#,
        #"{"name":"a","type":"reg","size":5,"offset":10,"chunkOffset":1}"#, #"{"name":"a","type":"reg","size":5,"offset":10,"innerOffset":-1}"#,
        #"{"name":"a","type":"reg","size":5,"offset":10,"chunkSize":2},{"name":"a","type":"chunk","chunkOffset":3,"offset":20}"#,
        #"{"name":"a","type":"reg","size":5,"offset":10,"chunkSize":2},{"name":"a","type":"chunk","chunkOffset":1,"offset":20}"#,
        #"{"name":"a","type":"reg","size":5,"offset":10,"chunkSize":2},{"name":"b","type":"chunk","chunkOffset":2,"offset":20}"#,
        #"{"name":"a","type":"reg","size":5,"offset":10},{"name":"a","type":"chunk","chunkOffset":5,"offset":20}"#,
        #"{"name":"a","type":"reg","size":0},{"name":"a","type":"chunk","chunkOffset":0,"offset":20}"#,
        #"{"name":"a","type":"reg","size":5,"offset":10,"chunkType":"ones"}"#, #"{"name":"a","type":"reg","digest":"sha256:12"}"#,
        #"{"name":"a","type":"reg","digest":"sha512:12"}"#, #"{"name":"a","type":"dir","modtime":"yesterday"}"#, #"{"name":"a","type":"dir","uid":4294967296}"#,
        #"{"name":"a","type":"dir","uid":-1}"#, #"{"name":"a","type":"dir","xattrs":{"user.a":"*"}}"#, #"{"name":"a","type":"dir","mode":1.5}"#,
        #"{"name":"a","type":"char","devMajor":-1}"#, #"{"name":"a","type":"dir","xattrs":{"":"aa=="}}"#,
    ])
    func contradictionsAreErrorsThatNameTheEntry(entries: String) throws {
        let error = try #require(refusal(entries))
        #expect(error.description.hasPrefix("entry "), "\(error)")
    }

    @Test(arguments: [
        "", "{", "[]", "{}", #"{"version":1}x"#, #"{"version":2,"entries":[]}"#, #"{"version":1,"entries":{}}"#, #"{"version":1,"entries":[{]}"#,
        #"{"version":1,"entries":[,]}"#, #"{"version":1,"x":tru}"#, #"{"version":1,"x":"\q"}"#, #"{"version":1,"x":"\u12g4"}"#, "{\"version\":1,\"x\":\"\n\"}",
        #"{"version":1,"x":99999999999999999999}"# + "}", #"{"version":99999999999999999999}"#, "{\"version\":1,\"x\":" + String(repeating: "[", count: 100_000),
    ])
    func whatIsNoTableIsAnError(json: String) {
        #expect(throws: ArchiveError.self) { try TableOfContents(json: Array(json.utf8), dataEnd: 10) }
    }

    @Test func stringsOfJSONAreDecodedAsGoDoes() throws {
        func string(_ text: String) throws -> String {
            try Array(text.utf8).withUnsafeBytes {
                var json = JSONReader($0)
                return String(decoding: try json.string(), as: UTF8.self)
            }
        }
        #expect(try string(#" "a\"\\\/\b\f\n\r\tz" "#) == "a\"\\/\u{8}\u{C}\n\r\tz")
        #expect(try string(#""\u00e9\u4e2d\ud83d\ude00\u003c""#) == "\u{E9}\u{4E2D}\u{1F600}<")
        #expect(try string(#""\ud83dx\ude00\ud83d\u0041""#) == "\u{FFFD}x\u{FFFD}\u{FFFD}A")
    }

    @Test func timesOfJSONAreRFC3339() {
        func time(_ text: String) -> Timestamp? { RFC3339.parse(Array(text.utf8)) }
        #expect(time("1970-01-01T00:00:00Z") == Timestamp())
        #expect(time("2024-02-29T23:59:59.123456789Z") == Timestamp(seconds: 1_709_251_199, nanoseconds: 123_456_789))
        #expect(time("2000-03-01T00:00:00+01:30") == Timestamp(seconds: 951_863_400))
        #expect(time("1969-12-31T23:59:58.5-00:00") == Timestamp(seconds: -2, nanoseconds: 500_000_000))
        #expect(time("0001-01-01T00:00:00Z") == Timestamp(seconds: -62_135_596_800))
        for bad in ["", "2024", "2024-13-01T00:00:00Z", "2024-01-01 00:00:00Z", "2024-01-01T00:00:00", "2024-01-01T00:00:00.Z", "2024-01-01T24:00:00Z", "2024-01-01T00:00:00Zx"] {
            #expect(time(bad) == nil, "\(bad)")
        }
    }

    @Test func base64IsStrict() {
        func decode(_ text: String) -> [UInt8]? { Base64.decode(Array(text.utf8)) }
        #expect(decode("") == [])
        #expect(decode("AA==") == [0] && decode("AAE=") == [0, 1] && decode("AAEC") == [0, 1, 2] && decode("AAECAw") == [0, 1, 2, 3])
        for bad in ["A", "A===", "AA=", "A=A=", "AA==A", "====", "AA*="] { #expect(decode(bad) == nil, "\(bad)") }
    }

    @Test func damagedTablesNeverTrap() {
        var generator = SeededGenerator("damagedTablesNeverTrap")
        let whole = Array(
            """
            {"version":1,"entries":[{"name":"a\\u00e9","type":"reg","size":10,"offset":100,"chunkSize":4,"modtime":"2024-02-29T23:59:59Z","mode":420,
            "xattrs":{"user.a":"AAE="},"chunkType":"zeros"},{"name":"a\\u00e9","type":"chunk","chunkOffset":4,"offset":300,"innerOffset":7,"endOffset":400},
            {"name":"c","type":"char","devMajor":1,"devMinor":3,"uid":5,"gid":6}]}
            """.utf8
        )
        #expect(throws: Never.self) { try TableOfContents(json: whole, dataEnd: 1000) }
        for _ in 0..<20_000 {
            var bytes = whole
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                let position = Int.random(in: 0..<bytes.count, using: &generator)
                switch Int.random(in: 0..<3, using: &generator) {
                case 0: bytes[position] = Array("{}[],:\"\\0123456789-nuxa".utf8).randomElement(using: &generator) ?? 0
                case 1: bytes.remove(at: position)
                default: bytes.insert(Array("9-\"{[".utf8).randomElement(using: &generator) ?? 0, at: position)
                }
            }
            _ = try? TableOfContents(json: bytes, dataEnd: 1000)
        }
    }
}
