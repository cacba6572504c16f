@testable import Remote
import TestSupport
import Testing

struct CredentialTests {
    private func file(_ text: String) throws -> CredentialFile { try #require(CredentialFile(decoding: Array(text.utf8))) }

    @Test func theMostSpecificKeyCounts() throws {
        let file = try file(#"{"auths":{"r.io":{"username":"host","password":"p"},"r.io/team":{"username":"team","password":"p"},"r.io/team/app":{"username":"app","password":"p"}}}"#)
        func user(_ repository: String) -> String? {
            guard case .credential(.password(let user, _))? = file.entry(host: "r.io", repository: repository) else { return nil }
            return user
        }
        #expect(user("team/app") == "app" && user("team/app/x") == "app" && user("team/other") == "team" && user("teams") == "host")
        #expect(file.entry(host: "other.io", repository: "team/app") == nil)
    }

    @Test func dockerHubGoesByItsOldName() throws {
        for key in ["https://index.docker.io/v1/", "index.docker.io", "docker.io", "https://registry-1.docker.io/v2/", "index.docker.io/v1/"] {
            #expect(try file(#"{"auths":{"\#(key)":{"username":"u","password":"p"}}}"#).entry(host: "docker.io", repository: "library/x") != nil, "\(key)")
        }
        #expect(try file(#"{"credsStore":"desktop"}"#).entry(host: "docker.io", repository: "x") == .helper(name: "desktop", server: "https://index.docker.io/v1/", otherwise: nil))
    }

    @Test func keysMayBeURLs() throws {
        for key in ["https://r.io", "http://r.io/", "https://r.io/v1/", "https://R.IO/v2"] {
            #expect(try file(#"{"auths":{"\#(key)":{"username":"u","password":"p"}}}"#).entry(host: "r.io", repository: "x") != nil, "\(key)")
        }
        #expect(try file(#"{"auths":{"r.io:5000":{"username":"u","password":"p"}}}"#).entry(host: "r.io", repository: "x") == nil)
    }

    @Test func helpersComeBeforeTheStoreBeforeTheFile() throws {
        let file = try file(#"{"auths":{"a.io":{"auth":"dTpw"},"b.io":{}},"credHelpers":{"a.io":"one"},"credsStore":"two"}"#)
        #expect(file.entry(host: "a.io", repository: "x") == .helper(name: "one", server: "a.io", otherwise: .password(user: "u", secret: "p")))
        #expect(file.entry(host: "b.io", repository: "x") == .helper(name: "two", server: "b.io", otherwise: nil))
    }

    @Test func aHelpersNameLeadsNowhereElse() throws {
        for name in ["../evil", "a/b", "", "a b", String(repeating: "x", count: 65)] {
            #expect(try file(#"{"credHelpers":{"a.io":"\#(name)"},"credsStore":"\#(name)"}"#).entry(host: "a.io", repository: "x") == nil, "\(name)")
        }
    }

    @Test func oneBadEntryDoesNotSpoilTheOthers() throws {
        let file = try file(#"{"auths":{"a.io":{"auth":"!!!"},"b.io":7,"c.io":{"auth":"dTpw"},"d.io":null,"e.io":{"auth":"bm9jb2xvbg=="}},"credHelpers":{"f.io":[]},"HttpHeaders":{"x":"y"}}"#)
        #expect(file.entry(host: "c.io", repository: "x") == .credential(.password(user: "u", secret: "p")))
        for host in ["a.io", "b.io", "d.io", "e.io", "f.io"] { #expect(file.entry(host: host, repository: "x") == nil) }
    }

    @Test(arguments: ["", "[]", "{", "{\"auths\":[]}", "null"]) func whatIsNoSuchFileIsRefused(_ text: String) {
        #expect(CredentialFile(decoding: Array(text.utf8)) == nil)
    }

    @Test func credentialsDoNotPrint() {
        for credential in [Credential.password(user: "u", secret: "hidden"), .identityToken("hidden"), .registryToken("hidden")] {
            var dumped = ""
            dump(credential, to: &dumped)
            for text in ["\(credential)", String(reflecting: credential), "\([credential])", "\(Optional(credential) as Any)", dumped] { #expect(!text.contains("hidden")) }
        }
        let token = AccessToken(decoding: Array(#"{"token":"hidden"}"#.utf8))
        #expect(token != nil && !"\(String(describing: token))\(String(reflecting: token))".contains("hidden"))
    }

    @Test func tokensLiveAsLongAsTheySay() throws {
        let now = ContinuousClock.now
        func life(_ text: String) -> Duration? { AccessToken(decoding: Array(text.utf8), now: now).map { now.duration(to: $0.expires) } }
        #expect(life(#"{"token":"a","expires_in":300}"#) == .seconds(290))
        #expect(life(#"{"access_token":"a"}"#) == .seconds(50))
        #expect(life(#"{"token":"","access_token":"a","expires_in":10}"#) == .seconds(8))
        #expect(life(#"{"token":"a","expires_in":-5}"#) == .zero)
        #expect(life(#"{"token":"a","expires_in":1e300}"#) == .seconds(999_990))
        for text in ["", "{}", #"{"token":""}"#, #"{"token":"a b"}"#, #"{"token":"a\r\nX: y"}"#, #"{"token":"\u00e9"}"#, #"{"token":7}"#] { #expect(life(text) == nil, "\(text)") }
    }

    @Test func theEnvironmentsPlacesAreAskedInOrder() async throws {
        let files = try TemporaryDirectory()
        func login(_ user: String) -> String { #"{"auths":{"r.io":{"username":"\#(user)","password":"p"}}}"# }
        try files.write("reg.json", login("registry-auth-file"))
        try files.write("docker/config.json", login("docker"))
        try files.write("run/containers/auth.json", login("runtime"))
        try files.write("home/.config/containers/auth.json", login("config"))
        try files.write("home/.docker/config.json", login("home-docker"))
        var environment = [
            "DOCKER_AUTH_CONFIG": login("environment"), "REGISTRY_AUTH_FILE": files.path + "/reg.json", "DOCKER_CONFIG": files.path + "/docker",
            "XDG_RUNTIME_DIR": files.path + "/run", "HOME": files.path + "/home",
        ]
        for (variable, expected) in [("DOCKER_AUTH_CONFIG", "environment"), ("REGISTRY_AUTH_FILE", "registry-auth-file"), ("DOCKER_CONFIG", "docker"), ("", "home-docker")] {
            let sources = CredentialSources(environment: environment, helperTimeout: .seconds(5), logger: quiet)
            #expect(try await sources.credential(host: "r.io", repository: "x") == .password(user: expected, secret: "p"))
            environment[variable] = nil
        }
        try files.write("home/.docker/config.json", "damaged")
        for expected in ["runtime", "config"] {
            let sources = CredentialSources(environment: environment, helperTimeout: .seconds(5), logger: quiet)
            #expect(try await sources.credential(host: "r.io", repository: "x") == .password(user: expected, secret: "p"))
            environment["XDG_RUNTIME_DIR"] = nil
        }
    }

    @Test func helpersThatMisbehaveAreErrorsWithoutTheirOutput() async throws {
        let programs = try TemporaryDirectory()
        let scripts = [
            "fails": "echo hidden; exit 1", "nonsense": "echo hidden", "flood": "yes hidden | head -c 200000", "sleeps": "exec sleep 1000",
            "none": "echo credentials not found in native keychain; exit 1", "token": #"echo '{"Username":"<token>","Secret":"abc"}'"#,
        ]
        for (name, body) in scripts { try programs.write("docker-credential-" + name, "#!/bin/sh\n\(body)\n", mode: 0o755) }
        func ask(_ name: String, timeout: Duration = .seconds(60)) async throws -> Credential? {
            try await CredentialHelper(name: name, environment: ["PATH": programs.path + ":/usr/bin:/bin"], timeout: timeout).credential(for: "r.io")
        }
        #expect(try await ask("none") == nil)
        #expect(try await ask("token") == .identityToken("abc"))
        for (name, timeout) in [("fails", 60_000), ("nonsense", 60_000), ("flood", 60_000), ("absent", 60_000), ("sleeps", 200)] {
            do {
                _ = try await ask(name, timeout: .milliseconds(timeout))
                Issue.record("\(name): no error")
            } catch let fault as Fault {
                #expect(fault.kind == .configuration && !fault.reason.contains("hidden") && fault.reason.contains("docker-credential-" + name))
            }
        }
    }
}
