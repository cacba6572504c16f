import Run
import Testing
import TestSupport

@Suite struct SecretSourceTests {
    private func spec(_ text: String) throws -> MountSpec { try MountSpec(parsing: text) }

    @Test func theOptionsAreBuildKits() throws {
        let file = try SecretSource(parsing: "id=a,src=/b")
        #expect(file.id == "a" && file.file == "/b" && file.variable == "")
        let variable = try SecretSource(parsing: "type=env,id=a,source=B")
        #expect(variable.variable == "B" && variable.file == "")
        #expect(try SecretSource(parsing: "id=a,env=B").variable == "B")
    }

    @Test(arguments: [
        ("", "failed to parse csv secret: EOF"), ("id", "invalid field 'id' must be a key=value pair"), ("id=a,type=url", "unsupported secret type \"url\""),
        ("id=a,path=/x", "unexpected key 'path' in 'path=/x'"), ("src=/x", "secret missing ID"),
    ]) func whatIsWrongIsSaidInBuildKitsWords(text: String, message: String) {
        #expect(throws: MountSyntaxError(message)) { try SecretSource(parsing: text) }
    }

    @Test func withoutSourceAVariableWinsOverAFile() throws {
        let directory = try TemporaryDirectory()
        let path = try directory.write("tok", "from file")
        let source = try SecretSource(parsing: "id=\(path)")
        #expect(try source.read(environment: [:]) == Array("from file".utf8))
        #expect(try source.read(environment: [path: "from variable"]) == Array("from variable".utf8))
    }

    @Test func aSecretIsAtMost500KiB() throws {
        let directory = try TemporaryDirectory()
        let fits = try directory.write("fits", [UInt8](repeating: 7, count: 500 * 1024))
        let tooBig = try directory.write("big", [UInt8](repeating: 7, count: 500 * 1024 + 1))
        #expect(try SecretSource(parsing: "id=a,src=\(fits)").read(environment: [:])?.count == 500 * 1024)
        #expect(throws: MountSyntaxError("secret a too big. max size 500KB")) { try SecretSource(parsing: "id=a,src=\(tooBig)").read(environment: [:]) }
    }

    @Test func anOptionalSecretMayBeAbsentAndARequiredOneMayNot() throws {
        let sources = SecretSources([try SecretSource(parsing: "id=a,env=A")], environment: ["A": "x"])
        #expect(try sources.value(for: try spec("type=secret,id=a,required")) == Array("x".utf8))
        #expect(try sources.value(for: try spec("type=secret,id=b")) == nil)
        let unset = SecretSources([try SecretSource(parsing: "id=a,env=A")], environment: [:])
        #expect(try unset.value(for: try spec("type=secret,id=a")) == nil)
        #expect(throws: MountSyntaxError("secret a: not found")) { try unset.value(for: try spec("type=secret,id=a,required")) }
        #expect(throws: MountSyntaxError("secret b: not found")) { try sources.value(for: try spec("type=secret,id=b,required")) }
    }

    @Test func sshSourcesAreFoundById() throws {
        let sources = try SSHSource.parse(["default", "git=/k1,/k2"])
        #expect(try SSHSource.find(for: try spec("type=ssh"), in: sources)?.paths == [])
        #expect(try SSHSource.find(for: try spec("type=ssh,id=git"), in: sources)?.paths == ["/k1", "/k2"])
        #expect(try SSHSource.find(for: try spec("type=ssh,id=none"), in: sources) == nil)
        #expect(throws: MountSyntaxError("unset ssh forward key none")) { try SSHSource.find(for: try spec("type=ssh,id=none,required"), in: sources) }
        #expect(throws: MountSyntaxError("no SSH key \"default\" forwarded from the client")) { try SSHSource.find(for: try spec("type=ssh,required"), in: []) }
        #expect(throws: MountSyntaxError("invalid duplicate ID default")) { try SSHSource.parse(["default", "default=/x"]) }
    }

    @Test func onlyListingAndSigningReachTheAgent() {
        for type in UInt8.min ... .max { #expect(AgentProtocol.isAllowed([type, 0]) == (type == 11 || type == 13)) }
        #expect(!AgentProtocol.isAllowed([]))
        #expect(AgentProtocol.bodyLength([0, 0, 0, 1]) == 1)
        #expect(AgentProtocol.bodyLength([0, 4, 0, 0]) == 256 * 1024)
        for header: [UInt8] in [[0, 0, 0, 0], [0, 4, 0, 1], [255, 255, 255, 255], [0, 0, 1], []] { #expect(AgentProtocol.bodyLength(header) == nil) }
    }
}
