@testable import Remote
import Testing

struct ChallengeTests {
    @Test func oneChallengeIsRead() throws {
        let challenge = try #require(Challenge.parse([#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#]).first)
        #expect(challenge.scheme == "bearer")
        #expect(challenge.realm == "https://auth.docker.io/token")
        #expect(challenge.service == "registry.docker.io")
        #expect(challenge.scope == "repository:a/b:pull,push")
    }

    @Test(arguments: [
        ["Basic realm=\"x, y=z\", Bearer realm=\"https://t/\",service=s"],
        ["Basic realm=\"x, y=z\"", "Bearer realm=\"https://t/\",service=s"],
        ["Negotiate, Basic realm=\"x, y=z\" , bearer Realm = \"https://t/\" , SERVICE=s"],
        ["Negotiate YWJjZA==, Basic realm=\"x, y=z\", Bearer realm=https://t/,service=s"],
        ["NTLM ab/cd+ef==,Basic realm=\"x, y=z\",,Bearer realm=\"https:\\/\\/t/\", service=\"s\""],
    ])
    func severalChallengesAreToldApart(_ headers: [String]) throws {
        let challenges = Challenge.parse(headers)
        let basic = try #require(challenges.first { $0.scheme == "basic" })
        let bearer = try #require(challenges.first { $0.scheme == "bearer" })
        #expect(basic.parameters == ["realm": "x, y=z"])
        #expect(bearer.parameters == ["realm": "https://t/", "service": "s"])
    }

    @Test func theFirstOfTwoParametersWithOneNameCounts() {
        #expect(Challenge.parse(["Bearer realm=a, realm=b"]).first?.realm == "a")
    }

    @Test func escapesInQuotesAreUndone() {
        #expect(Challenge.parse([#"Bearer service="a \"b\" \\c""#]).first?.service == #"a "b" \c"#)
    }

    @Test(arguments: ["", " ", ",,,", "=", "\"", "Bearer realm=\"unterminated", "Bearer =x", "Bearer realm=\"a\\", "\u{fffd}\u{0}", "Bearer"])
    func nonsenseGivesNoRealm(_ header: String) {
        #expect(Challenge.parse([header]).allSatisfy { $0.realm == nil })
    }

    @Test func aFloodIsCutOff() {
        #expect(Challenge.parse([String(repeating: "a,", count: 1 << 20)]).count == Challenge.countLimit)
        #expect(Challenge.parse([String](repeating: "Basic realm=x", count: 100)).count == Challenge.countLimit)
    }
}
