import FoundationEssentials
import Glibc
import Testing
import TestSupport

extension EndToEnd {
    /// What each command prints, and with which code it ends.
    @Suite struct CommandTests {
        @Test func everyCommandSpeaksJSON() throws {
            let fixtures = try Fixtures.shared()
            let registry = try RealRegistry(storage: fixtures.registry)
            let larder = try MountedLarder()
            let reference = "\(registry.host)/larder/small:estargz"
            let calls = [
                ["pull", reference], ["image", "ls"], ["image", "inspect", reference], ["status"], ["verify"], ["doctor"],
            ]
            for words in calls {
                let output = try Program.run(
                    [LarderCommand.binary] + words + ["--json", "--store", larder.store],
                    environment: LarderCommand.environment(home: larder.home))
                #expect(output.status == 0, "\(words): \(output.errors)")
                try Self.expectJSON(output.text, "\(words)")
            }
            #expect(try larder.larder("image", "ls", "--json").text.contains("larder/small:estargz"))
            #expect(try larder.larder("image", "ls").text.contains("larder/small:estargz"))
        }

        @Test func filesOfTheTreeAreJSON() throws {
            let fixtures = try Fixtures.shared()
            let registry = try RealRegistry(storage: fixtures.registry)
            let larder = try MountedLarder()
            let image = larder.image("\(registry.host)/larder/small:multi")
            for name in ["manifest.json", "config.json", "index.json", "status.json"] {
                try Self.expectJSON(Files.read("\(image)/\(name)"), name)
            }
            try Self.expectJSON(Files.read("\(larder.mountPoint)/status.json"), "status.json")
            #expect(try Files.read("\(larder.mountPoint)/metrics").contains("# TYPE larder_"))
            #expect(try Files.read("\(larder.mountPoint)/README.txt").split(separator: "\n").count >= 15)
        }

        @Test func statusSaysHowTheKernelAsks() throws {
            struct Transport: Decodable {
                var passthrough, ioUring: Bool
            }
            for wanted in [true, false] {
                let larder = try MountedLarder(wanted ? [] : ["--no-io-uring", "--no-passthrough"])
                let said = try JSONDecoder().decode(Transport.self, from: Data(Files.read("\(larder.mountPoint)/status.json").utf8))
                #expect(said.ioUring == (wanted && Self.offersRings))
                #expect(wanted || !said.passthrough)
                let text = try larder.larder("status").text
                #expect(text.contains("kernel: requests \(said.ioUring ? "through io_uring" : "from the device"), \(said.passthrough ? "with" : "no") passthrough"), "\(text)")
            }
        }

        private static var offersRings: Bool { (try? Files.read("/sys/module/fuse/parameters/enable_uring")) == "Y\n" }

        @Test func pullFetchesAllAndSaysSo() throws {
            let fixtures = try Fixtures.shared()
            let registry = try RealRegistry(storage: fixtures.registry)
            let larder = try MountedLarder()
            let reference = "\(registry.host)/larder/small:gzip"
            let pull = try larder.larder("pull", reference)
            #expect(pull.status == 0, "\(pull.errors)")
            #expect(!(pull.text + pull.errors).contains("\u{1b}["), "no terminal, so no escape sequences")
            #expect(try larder.larder("pull", "--quiet", reference).status == 0)
            registry.stop()
            let found = try Fixtures.differences(fixtures.truth("small"), larder.rootfs(reference))
            #expect(found.isEmpty, "\(found)")
        }

        @Test func removedImageIsForgotten() throws {
            let fixtures = try Fixtures.shared()
            let registry = try RealRegistry(storage: fixtures.registry)
            let larder = try MountedLarder()
            let reference = "\(registry.host)/larder/small:gzip"
            try #require(larder.larder("pull", "--quiet", reference).status == 0)
            #expect(try larder.larder("image", "rm", reference).status == 0)
            #expect(try !larder.larder("image", "ls").text.contains("small:gzip"))
            #expect(try larder.larder("image", "rm", reference).status == 3)
        }

        @Test func exitCodesTellTheKindOfFailure() throws {
            let fixtures = try Fixtures.shared()
            let registry = try RealRegistry(storage: fixtures.registry)
            let larder = try MountedLarder()
            #expect(try larder.larder("pull", "\(registry.host)/larder/small:no-such-tag").status == 3)
            #expect(try larder.larder("pull", "127.0.0.1:1/larder/small:gzip").status == 4)
            #expect(try larder.larder("pull", "not a reference").status == 64)
            #expect(try larder.larder("no-such-command").status == 64)
            #expect(try larder.larder("status", "--no-such-flag").status == 64)
            #expect(try larder.larder("umount", larder.home).status == 3)
            #expect(try Program.run(["stat", larder.rootfs("\(registry.host)/larder/small:no-such-tag")]).errors.contains("No such file"))
        }

        @Test func verifyNamesWhatIsWrongAndRepairs() throws {
            let fixtures = try Fixtures.shared()
            let registry = try RealRegistry(storage: fixtures.registry)
            let larder = try MountedLarder()
            let reference = "\(registry.host)/larder/small:gzip"
            try #require(larder.larder("pull", "--quiet", reference).status == 0)
            #expect(try larder.larder("verify").status == 0)
            larder.stop()
            // The largest file of the store loses one bit.
            let victim = try Program.check(["sh", "-c", "find '\(larder.store)' -type f -printf '%s %p\\n' | sort -n | tail -1 | cut -d' ' -f2"]).dropLast()
            try Program.check(["python3", "-c", "import sys; f = open(sys.argv[1], 'r+b'); f.seek(4097); b = f.read(1)[0]; f.seek(4097); f.write(bytes([b ^ 1]))", String(victim)])
            let name = victim.split(separator: "/").last ?? ""
            let bad = try larder.larder("verify")
            #expect(bad.status == 5)
            #expect((bad.text + bad.errors).contains(name), "\(bad.text)\(bad.errors)")
            #expect(try larder.larder("verify", "--repair").status != 1)
            #expect(try larder.larder("verify").status == 0)
            try larder.start()
            let found = try Fixtures.differences(fixtures.truth("small"), larder.rootfs(reference))
            #expect(found.isEmpty, "\(found)")
        }

        @Test func helpAndCompletionExistForEveryCommand() throws {
            for words in [[], ["mount"], ["umount"], ["pull"], ["image"], ["image", "ls"], ["image", "inspect"], ["image", "rm"], ["status"], ["verify"], ["doctor"]] {
                let output = try Program.run([LarderCommand.binary] + words + ["--help"])
                #expect(output.status == 0 && output.text.contains("USAGE: larder"), "\(words)")
            }
            for shell in ["bash", "zsh", "fish"] {
                #expect(try Program.check([LarderCommand.binary, "--generate-completion-script", shell]).contains("umount"))
            }
        }

        private struct Command: Decodable {
            struct Option: Decodable {
                struct Name: Decodable {
                    var kind: String
                    var name: String
                }
                var names: [Name]?
            }
            var arguments: [Option]?
            var subcommands: [Command]?

            var longNames: Set<String> {
                Set((arguments ?? []).flatMap { $0.names ?? [] }.filter { $0.kind == "long" }.map { "--\($0.name)" }).union((subcommands ?? []).flatMap(\.longNames))
            }
        }

        private struct CommandLine: Decodable {
            var command: Command
        }

        @Test func theManualHasEveryOptionAndNoOther() throws {
            let description = try Program.check([LarderCommand.binary, "--experimental-dump-help"])
            let options = try JSONDecoder().decode(CommandLine.self, from: Data(description.utf8)).command.longNames
            #expect(options.isSuperset(of: ["--store", "--index-trust", "--no-pin"]))
            let manual = try Files.read("\(Checkout.scripts)/man/larder.1").replacing("\\-", with: "-").replacing(/\\f[A-Z]/, with: "")
            let named = Set(manual.matches(of: /--[a-z]+(-[a-z]+)*/).map { String($0.output.0) })
            #expect(options.subtracting(named).isEmpty)
            // That of du.
            #expect(named.subtracting(options) == ["--apparent-size"])
        }

        @Test func flagsOutweighEnvironmentOutweighsFile() throws {
            let scratch = try TemporaryDirectory()
            let file = try scratch.write("config.json", #"{"store": "\#(scratch.path)/from-file"}"#)
            func storeInUse(_ environment: [String: String], _ words: String...) throws -> String {
                let variables = LarderCommand.environment(home: scratch.path, environment.merging(["LARDER_CONFIG": file]) { a, _ in a })
                let output = try Program.run([LarderCommand.binary, "image", "ls"] + words, environment: variables)
                // There is none yet, and the complaint names it.
                #expect(output.status == 3)
                return output.errors
            }
            #expect(try storeInUse([:]).contains("\(scratch.path)/from-file\n"))
            #expect(try storeInUse(["LARDER_STORE": "\(scratch.path)/from-environment"]).contains("\(scratch.path)/from-environment\n"))
            #expect(try storeInUse(["LARDER_STORE": "\(scratch.path)/from-environment"], "--store", "\(scratch.path)/from-flag")
                .contains("\(scratch.path)/from-flag\n"))
        }

        @Test(arguments: [
            (#"{"stor": "/x"}"#, "stor"), (#"{"hosts": {"a.example": {"mirror": []}}}"#, "hosts.a.example.mirror"),
            (#"{"fetchTimeout": "soon"}"#, "fetchTimeout"), (#"{"store": "#, "JSON"), (#"{"hosts": []}"#, "hosts"),
        ])
        func wrongConfigurationIsAnErrorThatNamesTheKey(text: String, named: String) throws {
            let scratch = try TemporaryDirectory()
            let file = try scratch.write("config.json", text)
            let output = try Program.run(
                [LarderCommand.binary, "status", "--config", file], environment: LarderCommand.environment(home: scratch.path))
            #expect(output.status == 64)
            #expect(output.errors.contains(file) && output.errors.contains(named), "\(output.errors)")
        }

        @Test func detachedMountIsReadyWhenTheCommandReturns() throws {
            let fixtures = try Fixtures.shared()
            let scratch = try TemporaryDirectory()
            let mountPoint = try scratch.subdirectory("mount"), store = try scratch.subdirectory("store")
            let environment = LarderCommand.environment(home: scratch.path)
            try Program.check([LarderCommand.binary, "mount", "--store", store, "--layout", "local=\(fixtures.layouts)", mountPoint], environment: environment)
            defer { umount2(mountPoint, Int32(MNT_DETACH)) }
            #expect(try Program.check(["cat", "\(mountPoint)/images/local/small:gzip/rootfs/top/hello"]) == "hello from the top layer\n")
            #expect(try Files.exists("\(store)/larder.log"))
            try Program.check([LarderCommand.binary, "umount", mountPoint], environment: environment)
            #expect(try Program.check(["ls", mountPoint]).isEmpty)
        }

        @Test func mountSaysWhyItCannot() throws {
            let scratch = try TemporaryDirectory()
            let environment = LarderCommand.environment(home: scratch.path)
            let absent = try Program.run([LarderCommand.binary, "mount", "--store", "\(scratch.path)/store", "\(scratch.path)/absent"], environment: environment)
            #expect(absent.status != 0 && absent.errors.contains("\(scratch.path)/absent"))
            let mountPoint = try scratch.subdirectory("mount")
            let unknown = try Program.run(
                [LarderCommand.binary, "mount", "--store", "\(scratch.path)/store", "--tree", "images/127.0.0.1:1/a:b", mountPoint], environment: environment)
            #expect(unknown.status != 0 && unknown.errors.contains("127.0.0.1:1"))
            #expect(try Program.check(["ls", mountPoint]).isEmpty)
        }

        @Test func nothingCanBeWritten() throws {
            let fixtures = try Fixtures.shared()
            let larder = try MountedLarder(["--layout", "local=\(fixtures.layouts)"])
            let rootfs = larder.rootfs("local/small:gzip")
            let file = "\(rootfs)/top/hello"
            try Program.check(["cat", file])
            let attempts = [
                ["touch", "\(rootfs)/new"], ["mkdir", "\(rootfs)/new"], ["rm", file], ["mv", file, "\(rootfs)/moved"], ["chmod", "600", file],
                ["chown", "1", file], ["ln", file, "\(rootfs)/link"], ["ln", "-s", "x", "\(rootfs)/link"], ["mkfifo", "\(rootfs)/fifo"],
                ["truncate", "-s", "0", file], ["setfattr", "-n", "user.x", "-v", "y", file], ["rmdir", "\(rootfs)/top"],
                ["touch", "\(larder.mountPoint)/new"], ["mkdir", "\(larder.mountPoint)/images/new"],
            ]
            for words in attempts {
                let output = try Program.run(words)
                #expect(output.status != 0 && output.errors.contains("Read-only file system"), "\(words): \(output.errors)")
            }
        }

        @Test func extendedAttributesTellWhereAFileIsFrom() throws {
            let fixtures = try Fixtures.shared()
            let larder = try MountedLarder(["--layout", "local=\(fixtures.layouts)"])
            let file = "\(larder.rootfs("local/small:gzip"))/top/hello"
            let digest = try Program.check(["sha256sum", file]).prefix(64)
            #expect(try Program.check(["getfattr", "--only-values", "-n", "user.larder.digest", file]) == "sha256:\(digest)")
            #expect(try Program.check(["getfattr", "--only-values", "-n", "user.larder.source", file]) == "local")
            let layer = try Program.check(["getfattr", "--only-values", "-n", "user.larder.layer", file])
            #expect(try Files.read("\(larder.image("local/small:gzip"))/manifest.json").contains(layer))
        }

        private static func expectJSON(_ text: String, _ what: String) throws {
            let scratch = try TemporaryDirectory()
            let file = try scratch.write("document.json", text)
            #expect(try Program.run(["python3", "-m", "json.tool", file]).status == 0, "\(what): \(text)")
        }
    }
}
