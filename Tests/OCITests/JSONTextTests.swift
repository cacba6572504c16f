import FoundationEssentials
import OCI
import Testing

struct JSONTextTests {
    @Test(arguments: [
        "{}", "[]", "7", "-0", "0.5e+10", "1E-2", "\"\"", "true", "false", "null", " [ 1 , { \"a\" : [ ] , \"b\" : { } } ] \n", "\"\\u00e9\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\u{1f600}\"", "[[],{}]",
    ])
    func jsonIsWellFormed(_ text: String) { #expect(JSONText.isWellFormed(Array(text.utf8))) }

    @Test(arguments: [
        "", " ", "[", "]", "[1", "[1,", "[,]", "[1,]", "[1 2]", "{", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,", "{\"a\":1,}", "{a:1}", "{1:1}", "{\"a\" 1}", "[}", "{]", "\"", "\"\\", "\"\\u", "\"\\u12g4\"", "\"\\x\"",
        "\"\u{1}\"", "-", "01", "1.", ".5", "1e", "1e+", "+1", "0x1", "tru", "truex", "nul", "NaN", "1 1", "{}{}", "[]]", "\u{feff}{}", "//", "'a'",
    ])
    func whatIsNoJSONIsRefused(_ text: String) {
        #expect(!JSONText.isWellFormed(Array(text.utf8)))
        #expect(throws: DecodingError.self) { try JSONText.decode([String: Int].self, from: Array(text.utf8)) }
    }

    @Test func bytesThatAreNoUTF8AreRefused() {
        for bytes in [[0x22, 0xff, 0x22], [0x22, 0xc3, 0x22], [0x22, 0xed, 0xa0, 0x80, 0x22], [0xef, 0xbb, 0xbf, 0x7b, 0x7d]] as [[UInt8]] { #expect(!JSONText.isWellFormed(bytes)) }
    }

    @Test func depthIsBounded() {
        func nested(_ depth: Int) -> [UInt8] { Array(repeating: UInt8(ascii: "["), count: depth) + Array(repeating: UInt8(ascii: "]"), count: depth) }
        #expect(JSONText.isWellFormed(nested(JSONText.depthLimit)))
        #expect(!JSONText.isWellFormed(nested(JSONText.depthLimit + 1)))
        #expect(!JSONText.isWellFormed(nested(5_000_000)))
    }

    /// Every text that breaks off anywhere, and every text with one byte changed, is decoded or refused: never a trap.
    @Test func damagedDocumentsAreReadOrRefused() {
        let text = Array(#"{"a":[1,-2.5e3,true,null,{"b":"\ud83d\ude00é"}],"c":{}}"#.utf8)
        #expect(JSONText.isWellFormed(text))
        for end in 0..<text.count { #expect(throws: DecodingError.self) { try JSONText.decode(Anything.self, from: Array(text[..<end])) } }
        for place in text.indices {
            for byte in UInt8.min ... .max {
                var changed = text
                changed[place] = byte
                _ = try? JSONText.decode(Anything.self, from: changed)
            }
        }
    }

    private struct Anything: Decodable {
        struct Item: Decodable { var b: String? }
        var a: [Item?]?
        var c: [String: String]?
    }
}
