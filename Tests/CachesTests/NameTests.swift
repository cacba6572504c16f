import Caches
import Testing
import TestSupport

@Suite struct NameTests {
    @Test(arguments: [
        ("npm", "npm"), ("/root/.cache/pip", "%2Froot%2F.cache%2Fpip"), ("team/npm", "team%2Fnpm"), (".", "%2E"), ("..", "%2E."),
        (".hidden", "%2Ehidden"), ("a.b", "a.b"), ("50%", "50%25"), ("a\nb\u{7f}", "a%0Ab%7F"), ("kärn", "kärn"), ("a b:c", "a b:c"),
    ])
    func aNameIsOneComponentThatCanBeRead(text: String, encoded: String) throws {
        let name = try #require(CacheName(text))
        #expect(name.encoded == encoded)
        #expect(CacheName(encoded: Array(encoded.utf8))?.text == text)
    }

    @Test func everyNameComesBack() throws {
        var random = SeededGenerator.named("everyNameComesBack")
        let alphabet = Array("/%.a-~ \u{1}\u{7f}é日🙂").map(String.init)
        var seen: [String: String] = [:]
        for _ in 0..<20_000 {
            let text = (0..<Int.random(in: 1...40, using: &random)).map { _ in alphabet.randomElement(using: &random)! }.joined()
            let name = try #require(CacheName(text))
            #expect((1...255).contains(name.encoded.utf8.count) && !name.encoded.contains("/") && !name.encoded.hasPrefix("."))
            #expect(name.encoded.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7f })
            #expect(Array(seen[name.encoded, default: text].utf8) == Array(text.utf8), "two names with one encoding")
            seen[name.encoded] = text
            if let back = CacheName(encoded: Array(name.encoded.utf8)) {
                #expect(Array(back.text.utf8) == Array(text.utf8))
            } else {
                #expect(name.encoded.contains("%-"), "only an over-long name is not to be had back")
            }
        }
    }

    @Test func overLongNamesFitAndStayApart() throws {
        for unit in ["/", "a", "é", "日", "🙂", "%/"] {
            var encodings: Set<String> = []
            for count in stride(from: 50, through: 700, by: 7) {
                let name = try #require(CacheName(String(repeating: unit, count: count)))
                #expect(name.encoded.utf8.count <= 200)
                #expect(encodings.insert(name.encoded).inserted)
            }
        }
    }

    @Test func anyBytesCanBeAskedForAndOnlyOneSpellingIsAnswered() {
        var random = SeededGenerator.named("anyBytesCanBeAskedForAndOnlyOneSpellingIsAnswered")
        for _ in 0..<20_000 {
            let alphabet = Array("%2FfEe.-a".utf8) + [0, 0xff, 0xc3, 0xa9]
            let component = (0..<Int.random(in: 0...12, using: &random)).map { _ in alphabet.randomElement(using: &random)! }
            if let name = CacheName(encoded: component) { #expect(Array(name.encoded.utf8) == component) }
        }
        for foreign in ["", "%2f", "%2", "%", "%zz", ".", "..", "a/b", "%61", "a%2E", "%00"] { #expect(CacheName(encoded: Array(foreign.utf8)) == nil, "\(foreign)") }
    }

    @Test func whatCannotBeANameIsNone() {
        #expect(CacheName("") == nil)
        #expect(CacheName("a\0b") == nil)
        #expect(CacheName(String(repeating: "a", count: 4097)) == nil)
        #expect(CacheName(namespace: "team", id: "") == nil)
    }

    @Test func theNamespaceComesBeforeASlash() {
        #expect(CacheName(namespace: "team", id: "npm")?.text == "team/npm")
        #expect(CacheName(namespace: "", id: "npm")?.text == "npm")
        #expect(CacheName(namespace: "team", id: "/root/.npm")?.text == "team//root/.npm")
    }

    @Test func timesComeBackAndImpossibleOnesDoNot() {
        for milliseconds: Int64 in [0, 1, 999, -1, 1_795_000_000_123, 253_402_300_799_999] {
            let moment = Moment(milliseconds: milliseconds)
            #expect(Moment(moment.description) == moment)
        }
        #expect(Moment(milliseconds: 1_795_264_984_005).description == "2026-11-21T12:43:04.005Z")
        for text in ["2026-02-31T00:00:00.000Z", "2026-13-01T00:00:00.000Z", "2026-11-21T12:03:04Z", "", "2026-11-21T24:00:00.000Z"] {
            #expect(Moment(text) == nil)
        }
    }
}
