import Caches
import Run
import Testing

/// The whole option table of BuildKit's `RUN --mount`, with its texts.
@Suite struct MountGrammarTests {
    private func parse(_ text: String, _ variables: [String: String] = [:]) throws -> MountSpec {
        try MountSpec(parsing: text, expansion: VariableExpansion(variables))
    }

    private func failure(_ text: String, _ variables: [String: String] = [:]) -> String? {
        do throws(MountSyntaxError) {
            _ = try MountSpec(parsing: text, expansion: VariableExpansion(variables))
            return nil
        } catch {
            return error.description
        }
    }

    @Test(arguments: [
        ("type=bind", MountType.bind), ("type=CACHE", .cache), ("TYPE=Tmpfs", .tmpfs), ("type=ssh", .ssh), ("type=secret,id=a", .secret), ("target=/x", .bind),
    ]) func typesAreKnownInAnyCaseAndBindIsTheDefault(text: String, type: MountType) throws {
        #expect(try parse(text).type == type)
    }

    @Test(arguments: ["target", "dst", "destination"]) func aTargetHasThreeNames(key: String) throws {
        #expect(try parse("\(key)=/A/b").target == "/A/b")
    }

    @Test(arguments: ["source", "src"]) func aSourceHasTwoNames(key: String) throws {
        #expect(try parse("\(key)=/A/b").source == "/A/b")
    }

    @Test func everyOptionIsRead() throws {
        var spec = MountSpec()
        spec.type = .cache
        spec.from = "debian:12"
        spec.source = "/var"
        spec.target = "/t"
        spec.id = "Id"
        spec.sharing = .locked
        spec.readOnly = true
        spec.mode = 0o1770
        spec.uid = 7
        spec.gid = UInt32.max
        #expect(try parse("type=cache,from=debian:12,source=/var,target=/t,id=Id,sharing=LOCKED,ro,mode=01770,uid=7,gid=4294967295") == spec)

        var secret = MountSpec()
        secret.type = .secret
        secret.id = "tok"
        secret.env = "TOKEN"
        secret.required = true
        secret.readOnly = true
        #expect(try parse("type=secret,id=tok,env=TOKEN,required") == secret)
    }

    @Test(arguments: [("bind", true), ("secret,id=x", true), ("ssh", true), ("cache", false), ("tmpfs", false)])
    func cacheAndTmpfsAreWritableUnlessSaid(type: String, readOnly: Bool) throws {
        #expect(try parse("type=\(type)").readOnly == readOnly)
        for key in ["ro", "readonly", "ro=true", "rw=0", "readwrite=F"] { #expect(try parse("type=\(type),\(key)").readOnly, "\(key)") }
        for key in ["rw", "readwrite", "rw=TRUE", "ro=0", "readonly=False"] { #expect(try !parse("type=\(type),\(key)").readOnly, "\(key)") }
    }

    @Test(arguments: [
        ("512m", 512 << 20), ("1g", 1 << 30), ("64", 64), ("1.5k", 1536), ("2 MiB", 2 << 20), ("3KB", 3072), ("1t", 1 << 40), ("0", 0), ("7b", 7),
    ] as [(String, UInt64)]) func sizesHaveBinaryUnits(text: String, bytes: UInt64) throws {
        #expect(try parse("type=tmpfs,size=\(text)").size == bytes)
    }

    @Test func aFieldInQuotesMayHoldCommas() throws {
        // The quotes that are left belong to the expansion, which takes them away as a shell does.
        let spec = try parse(#"type=bind,"target=/a,b","source=/say ""x,y""!""#)
        #expect(spec.target == "/a,b")
        #expect(spec.source == "/say x,y!")
    }

    static let refusals: [(String, String)] = [
        ("", "failed to parse csv mounts: EOF"),
        (#"type=bind,tar"get=/x"#, #"failed to parse csv mounts: parse error on line 1, column 14: bare " in non-quoted field"#),
        (#"type=bind,"target=/x"#, #"failed to parse csv mounts: parse error on line 1, column 21: extraneous or missing " in quoted-field"#),
        (#""type=bind"x,target=/x"#, #"failed to parse csv mounts: parse error on line 1, column 11: extraneous or missing " in quoted-field"#),
        ("type=cache,foo", "invalid field 'foo' must be a key=value pair"),
        ("type=cache,Target", "invalid field 'Target' must be a key=value pair"),
        ("type=cache,", "invalid field '' must be a key=value pair"),
        ("type=cache,required", "unexpected key 'required' for mount type 'cache'"),
        ("required,type=secret,id=a", "unexpected key 'required' for mount type 'bind'"),
        ("type=tmpfs,required=true", "unexpected key 'required' for mount type 'tmpfs'"),
        ("size=1m,type=tmpfs", "unexpected key 'size' for mount type 'bind'"),
        ("type=cache,size=1m", "unexpected key 'size' for mount type 'cache'"),
        ("type=tmpfs,size=much", "invalid value for size: much"),
        ("type=tmpfs,size=-1", "invalid value for size: -1"),
        ("type=tmpfs,size=1e", "invalid value for size: 1e"),
        ("type=cache,tagret=/x", "unexpected key 'tagret' in 'tagret=/x' (did you mean target?)"),
        ("type=cache,Sharin=locked", "unexpected key 'sharin' in 'Sharin=locked' (did you mean sharing?)"),
        ("type=cache,nothinglikeit=1", "unexpected key 'nothinglikeit' in 'nothinglikeit=1'"),
        ("type=cash", "unsupported mount type \"cash\" (did you mean cache?)"),
        ("type=volume", "unsupported mount type \"volume\""),
        ("type=", "unsupported mount type \"\""),
        ("type=a\"b", "failed to parse csv mounts: parse error on line 1, column 7: bare \" in non-quoted field"),
        ("type=cache,sharing=lock", "unsupported sharing value \"lock\" (did you mean locked?)"),
        ("type=cache,sharing=exclusive", "unsupported sharing value \"exclusive\""),
        ("type=bind,sharing=shared", "invalid cache sharing set for bind mount"),
        ("type=tmpfs,sharing=shared", "invalid cache sharing set for tmpfs mount"),
        ("type=ssh,sharing=shared", "invalid cache sharing set for ssh mount"),
        ("type=cache,ro=maybe", "invalid value for ro: maybe"),
        ("type=cache,readwrite=", "invalid value for readwrite: "),
        ("type=ssh,required=2", "invalid value for required: 2"),
        ("type=cache,mode=9", "invalid value 9 for mode"),
        ("type=cache,mode=0o755", "invalid value 0o755 for mode"),
        ("type=cache,uid=root", "invalid value root for uid"),
        ("type=cache,uid=-1", "invalid value -1 for uid"),
        ("type=cache,uid=+1", "invalid value +1 for uid"),
        ("type=cache,gid=4294967296", "invalid value 4294967296 for gid"),
        ("type=bind,mode=0755", "mode not allowed for \"bind\" type mounts"),
        ("type=bind,uid=1", "uid not allowed for \"bind\" type mounts"),
        ("type=tmpfs,gid=1", "gid not allowed for \"tmpfs\" type mounts"),
        ("type=tmpfs,mode=1777", "mode not allowed for \"tmpfs\" type mounts"),
        ("type=secret,id=a,from=b", "secret mount should not have a from"),
        ("type=secret,id=a,sharing=locked", "secret mount should not define sharing"),
        ("type=secret", "invalid secret mount. one of source, target required"),
        ("type=secret,env=TOKEN", "invalid secret mount. one of source, target required"),
        ("type=secret,id=a,source=b", "both source and id can't be set"),
        ("type=ssh,source=/x", "ssh does not support source"),
        ("type=cache,from=$base", "'from' doesn't support variable expansion, define alias stage instead"),
        ("type=wrong,from=a${b}", "'from' doesn't support variable expansion, define alias stage instead"),
        ("type=cache,target=${HOME", "failed to process \"${HOME\": syntax error: missing '}'"),
    ]

    @Test(arguments: refusals) func whatIsWrongIsSaidInBuildKitsWords(text: String, message: String) {
        #expect(failure(text) == message)
    }

    @Test func valuesAreExpandedAndKeysAreNot() throws {
        let variables = ["HOME": "/root", "T": "cache", "ID": "npm", "U": "12"]
        let spec = try parse("type=$T,target=${HOME}/.npm,id=$ID-x,uid=$U,sharing=${S:-locked}", variables)
        #expect(spec.type == .cache)
        #expect(spec.target == "/root/.npm")
        #expect(spec.id == "npm-x")
        #expect(spec.uid == 12)
        #expect(spec.sharing == .locked)
        #expect(failure("type=cache,$TARGETKEY=1", ["TARGETKEY": "id"]) == "unexpected key '$targetkey' in '$TARGETKEY=1'")
        #expect(try parse("type=bind,from=a$").from == "a$")
    }

    @Test func idsFollowFromTargetAndSource() throws {
        #expect(try parse("type=cache,target=/root/.cache/pip/").effectiveID == "/root/.cache/pip")
        #expect(try parse("type=cache,target=a/../b").effectiveID == "b")
        #expect(try parse("type=cache").effectiveID == ".")
        #expect(try parse("type=cache,target=/x,id=y").effectiveID == "y")
        #expect(try parse("type=secret,target=/a/tok").effectiveID == "tok")
        #expect(try parse("type=secret,source=s,target=/a/tok").effectiveID == "s")
        #expect(try parse("type=ssh").effectiveID == "default")
    }

    @Test func placesAreJoinedToTheWorkingDirectory() throws {
        #expect(try parse("target=a/b").place(in: "/work") == "/work/a/b")
        #expect(try parse("target=../b").place(in: "/work/x") == "/work/b")
        #expect(try parse("target=/a//b/").place(in: "/work") == "/a/b")
        #expect(try parse("type=cache").place(in: "/work") == "/work")
        #expect(try parse("type=secret,id=dir/tok").place(in: "/work") == "/run/secrets/tok")
        #expect(try parse("type=ssh").place(in: "/work", index: 2) == "/run/buildkit/ssh_agent.2")
        #expect(throws: MountSyntaxError("invalid mount target \"/\"")) { try parse("target=/..").place(in: "/work") }
        #expect(throws: MountSyntaxError("invalid mount target \"/\"")) { try parse("type=cache").place(in: "/") }
    }

    @Test func aSecretIsAFileUnlessItIsAVariableAlone() throws {
        #expect(try parse("type=secret,id=a").hasFile)
        #expect(try !parse("type=secret,id=a,env=A").hasFile)
        #expect(try parse("type=secret,id=a,env=A,target=/a").hasFile)
    }
}
