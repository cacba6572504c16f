import Run
import Testing

@Suite struct VariableExpansionTests {
    static let variables = ["A": "one", "EMPTY": "", "PATHS": "/a/b/c.tar.gz", "STAR": "a*b", "Ü": "umlaut", "1": "first"]

    @Test(arguments: [
        ("plain", "plain"), ("$A", "one"), ("${A}", "one"), ("x${A}y$A.z", "xoneyone.z"), ("$NONE", ""), ("$", "$"), ("a$ b", "a$ b"),
        ("$1x", "firstx"), ("$Ü", "umlaut"), ("$?", ""), (#"\$A"#, "$A"), (#"a\b"#, "ab"), (#"end\"#, "end"),
        ("'$A'", "$A"), (#""$A""#, "one"), (#""\$A""#, "$A"), (#""\n""#, #"\n"#), (#""it's""#, "it's"),
        ("${A:-x}", "one"), ("${EMPTY:-x}", "x"), ("${EMPTY-x}", ""), ("${NONE-x}", "x"), ("${NONE:-$A}", "one"), ("${NONE:-${NONE:-deep}}", "deep"),
        ("${A:+x}", "x"), ("${EMPTY:+x}", ""), ("${EMPTY+x}", "x"), ("${NONE+x}", ""), ("${A:?no}", "one"), ("${EMPTY?no}", ""),
        ("${NONE:-a'}'b}", "a}b"), (#"${NONE:-a\}b}"#, "a}b"),
        ("${PATHS#*/}", "a/b/c.tar.gz"), ("${PATHS##*/}", "c.tar.gz"), ("${PATHS%.*}", "/a/b/c.tar"), ("${PATHS%%.*}", "/a/b/c"),
        ("${PATHS#nothing}", "/a/b/c.tar.gz"), ("${PATHS%?gz}", "/a/b/c.tar"), (#"${STAR%\*b}"#, "a"), ("${STAR#?}", "*b"),
        ("${PATHS/b/X}", "/a/X/c.tar.gz"), ("${PATHS//./-}", "/a/b/c-tar-gz"), (#"${PATHS//\//_}"#, "_a_b_c.tar.gz"), ("${PATHS/a*c/-}", "/-.tar.gz"),
        ("${NONE/a/b}", ""),
    ]) func wordsAreExpandedAsADockerfilesAre(text: String, expected: String) throws {
        #expect(try VariableExpansion(Self.variables).expand(text) == expected)
    }

    @Test(arguments: [
        ("${A", "syntax error: missing '}'"), ("${", "syntax error: missing '}'"), ("${}", "syntax error: bad substitution"),
        ("${{A}}", "syntax error: bad substitution"), ("${:-x}", "syntax error: bad substitution"), ("${A!x}", "unsupported modifier (!) in substitution"),
        ("${A:=x}", "unsupported modifier (:=) in substitution"), ("${NONE:?is needed}", "NONE: is needed"),
        ("${NONE?}", "NONE: is not allowed to be unset"), ("${EMPTY:?}", "EMPTY: is not allowed to be empty"),
        ("'a", "unexpected end of statement while looking for matching single-quote"),
        ("\"a", "unexpected end of statement while looking for matching double-quote"),
        ("${A:-x", "syntax error: missing '}'"), ("${A/x", "syntax error: missing '/' in ${}"), ("${A/x/y", "syntax error: missing '}'"),
    ]) func brokenWordsAreRefusedInBuildKitsWords(text: String, reason: String) {
        let quoted = text.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\\\"")
        #expect(throws: MountSyntaxError("failed to process \"\(quoted)\": \(reason)")) { try VariableExpansion(Self.variables).expand(text) }
    }

    @Test func nestingHasALimit() {
        let text = String(repeating: "${X:-", count: 5000) + String(repeating: "}", count: 5000)
        #expect(throws: MountSyntaxError.self) { try VariableExpansion().expand(text) }
    }
}
