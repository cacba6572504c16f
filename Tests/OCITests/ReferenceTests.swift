import OCI
import Testing

private let hex = String(repeating: "0123456789abcdef", count: 4)

struct ReferenceTests {
    @Test(arguments: [
        ("a.io/b:1", "a.io", "b", "1"), ("a.io:5000/b/c:v1.2_x-y", "a.io:5000", "b/c", "v1.2_x-y"), ("localhost/a__b/c--d.e/f_g:L", "localhost", "a__b/c--d.e/f_g", "L"),
        ("[::1]:5000/x:1", "[::1]:5000", "x", "1"), ("docker.io/alpine:3", "docker.io", "library/alpine", "3"), ("docker.io/library/alpine:3", "docker.io", "library/alpine", "3"),
        ("h/0:_", "h", "0", "_"),
    ])
    func tagsAreRead(_ text: String, _ host: String, _ path: String, _ tag: String) {
        let reference = Reference(text)
        #expect(reference?.repository.host == host && reference?.repository.path == path && reference?.selector == .tag(tag))
        #expect(reference.flatMap { Reference($0.description) } == reference)
    }

    @Test func theDigestCountsWhereBothAreGiven() throws {
        let digest = try #require(Digest(hex: hex))
        #expect(Reference("a.io/b@sha256:\(hex)")?.selector == .digest(digest))
        #expect(Reference("a.io/b:1@sha256:\(hex)")?.selector == .digest(digest))
        #expect(Reference("a.io/b:1@sha256:\(hex)")?.description == "a.io/b@sha256:\(hex)")
    }

    @Test(arguments: [
        "", "/", "a.io", "a.io/", "a.io/b", "a.io/b:", "a.io/B:1", "a.io/b:-1", "a.io/b:.1", "a.io/b: 1", "a.io//b:1", "a.io/b/:1", "/b:1", "a.io/b:1:2", "a.io/b@1", "a.io/b@sha256:",
        "a.io/b@sha512:" + hex, "a.io/b@sha256:" + hex.uppercased(), "a.io/b@sha256:" + hex + "0", "a.io/b@sha256:" + hex + "@sha256:" + hex, "a..io/b:1", "-a.io/b:1", "a.io:/b:1",
        "a.io:99999/b:1", "a.io:+80/b:1", "a.io/../b:1", "a.io/./b:1", "a.io/b..c:1", "a.io/b___c:1", "a.io/b._c:1", "a.io/-b:1", "a.io/b-:1", "a.io/b\u{0}:1", "a.io/\u{e9}:1",
        "a.io/\u{301}b:1", "a.io/b:\u{661}", "[::1/b:1", "[]/b:1", "a.io/b:" + String(repeating: "x", count: 129), "a.io/" + String(repeating: "x", count: 256) + ":1",
    ])
    func whatBreaksTheGrammarIsRefused(_ text: String) { #expect(Reference(text) == nil) }

    @Test(arguments: [
        ("alpine", "docker.io/library/alpine:latest"), ("alpine:3", "docker.io/library/alpine:3"), ("team/app", "docker.io/team/app:latest"), ("a.io/b", "a.io/b:latest"),
        ("localhost/b:1", "localhost/b:1"), ("host:5000/b", "host:5000/b:latest"), ("mine/b", "mine/b:latest"), ("mine/b@sha256:" + hex, "mine/b@sha256:" + hex), ("localhost:5000", "docker.io/library/localhost:5000"),
    ])
    func whatAPersonTypesIsCompleted(_ text: String, _ full: String) {
        #expect(Reference.parse(text, knownHosts: ["mine"])?.description == full)
    }

    /// The grammar of distribution-spec as a regular expression decides, on every string of up to five of the letters that matter.
    @Test func componentsFollowTheSpecification() throws {
        let grammar = try Regex("[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*").matchingSemantics(.unicodeScalar)
        let letters = Array("a0._-A".utf8)
        var strings: [[UInt8]] = [[]]
        var accepted = 0
        for _ in 0...5 {
            for bytes in strings {
                let isRight = try grammar.wholeMatch(in: String(decoding: bytes, as: UTF8.self)) != nil
                if isRight { accepted += 1 }
                #expect(Repository.isComponent(bytes) == isRight, "'\(String(decoding: bytes, as: UTF8.self))'")
            }
            strings = strings.flatMap { string in letters.map { string + [$0] } }
        }
        #expect(accepted > 100)
    }
}

struct DigestTests {
    @Test func knownAnswers() {
        #expect(Digest(of: []).hex == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        #expect(Digest(of: Array("abc".utf8)).description == "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    }

    @Test func aDigestInPiecesIsTheDigestOfTheWhole() {
        let bytes = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        var hasher = DigestHasher()
        for start in stride(from: 0, to: bytes.count, by: 777) { bytes[start..<min(start + 777, bytes.count)].withUnsafeBytes { hasher.update($0) } }
        #expect(hasher.finish() == Digest(of: bytes))
        #expect(hasher.finish() == Digest(of: []), "it starts anew")
    }

    @Test func textAndBytesAreOneValue() throws {
        let digest = try #require(Digest("sha256:" + hex))
        #expect(Digest(bytes: digest.bytes) == digest && digest.hex == hex && Digest(digest.description) == digest)
        #expect(Digest(hexBytes: Array(hex.utf8)) == digest)
    }

    @Test func orderIsTheOrderOfTheBytes() {
        let digests = (0..<100).map { Digest(of: [UInt8($0)]) }
        #expect(digests.sorted().map(\.hex) == digests.map(\.hex).sorted())
    }
}
