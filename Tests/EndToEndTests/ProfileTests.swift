import FoundationEssentials
import Glibc
import TestSupport
import Testing

extension EndToEnd {
    /// What one workload reads is fetched early for the next, in another store.
    @Suite struct ProfileTests {
        private struct Report: Decodable {
            var reference: String
            var origin: String
            var files: Int
            var bytes: Int
            var contentBytes: Int
        }

        private struct Status: Decodable {
            struct Image: Decodable {
                struct Profile: Decodable {
                    var present: Bool
                    var recording: Bool
                    var wantedSpans: Int
                    var broughtSpans: Int
                }
                var profile: Profile?
            }
            struct Fetching: Decodable {
                struct Amount: Decodable { var requests: Int }
                var causes: [String: Amount]
                var readHits: Int
                var readMisses: Int
            }
            var images: [Image]
            var fetching: Fetching
        }

        /// `larder` on a store of its own without any mount.
        private final class Command {
            let scratch: TemporaryDirectory
            let store: String
            var environment: [String: String]

            init() throws {
                scratch = try TemporaryDirectory()
                store = try scratch.subdirectory("store")
                environment = LarderCommand.environment(home: try scratch.subdirectory("home"))
            }

            func callAsFunction(_ words: String..., storing: Bool = true, then: [String] = []) throws -> Program.Output {
                try Program.run([LarderCommand.binary] + words + (storing ? ["--store", store] : []) + then, environment: environment)
            }
        }

        private func status(_ larder: MountedLarder) throws -> Status {
            try JSONDecoder().decode(Status.self, from: Data(try Files.read("\(larder.mountPoint)/status.json").utf8))
        }

        private func profile(_ larder: MountedLarder) throws -> Status.Image.Profile? { try status(larder).images.first?.profile }

        private func reports(_ output: Program.Output) throws -> [Report] {
            #expect(output.status == 0, "\(output.errors)")
            return try JSONDecoder().decode([Report].self, from: Data(output.bytes))
        }

        @Test func whatACommandReadsIsFetchedBeforeTheNextStoreReadsIt() throws {
            let registry = try RealRegistry(storage: try Fixtures.shared().registry)
            let image = "\(registry.host)/larder/large:estargz"
            let larder = try Command()
            let recorded = try larder("profile", "record", image, then: ["--", "/bin/cat", "/usr/lib/os-release", "/etc/passwd"])
            #expect(recorded.status == 0 && recorded.text.contains("bookworm") && recorded.text.contains("root:"), "\(recorded.errors)")
            #expect(recorded.errors.contains("larder: recorded "))
            let report = try #require(try reports(try larder("profile", "ls", "--json")).first)
            #expect(report.reference == image && report.origin == "command")
            // cat, its libraries and the two files; not the 300 MB around them.
            #expect(report.files >= 4 && report.bytes > 100_000 && report.bytes < 20_000_000)
            #expect(try larder("profile", "show", image).text.contains(" files, "))

            let file = "\(larder.scratch.path)/profile.json"
            #expect(try larder("profile", "export", image, file).status == 0)
            let next = try MountedLarder(["--no-background-fill"])
            #expect(try next.larder("profile", "import", image, file).status == 0)
            _ = try Program.check(["ls", next.rootfs(image)])
            #expect(Wait.until(60) { (try? profile(next)).map { $0?.present == true && ($0?.wantedSpans ?? 0) > 0 && $0?.broughtSpans == $0?.wantedSpans } ?? false })
            let text = try Program.check(["chroot", next.rootfs(image), "/bin/cat", "/usr/lib/os-release", "/etc/passwd"])
            #expect(text == recorded.text)
            let fetching = try status(next).fetching
            #expect(fetching.readHits > 0 && fetching.causes["profile"]?.requests ?? 0 > 0)
            // The kernel reads ahead as it likes, and no two times alike; so readers may still have to wait, but less than without.
            let control = try MountedLarder(["--no-background-fill"], environment: ["LARDER_PROFILES": "off"])
            _ = try Program.check(["chroot", control.rootfs(image), "/bin/cat", "/usr/lib/os-release", "/etc/passwd"])
            let without = try status(control).fetching
            #expect(fetching.readMisses < without.readMisses && fetching.causes["demand"]?.requests ?? 0 < without.causes["demand"]?.requests ?? 0, "\(fetching), \(without)")
            #expect(next.log.contains("fetching by the image's access profile"))

            #expect(try larder("profile", "rm", image).status == 0)
            #expect(try larder("profile", "show", image).status == 3)
            #expect(try larder("profile", "rm", image).status == 3)
        }

        @Test func aCommandThatFailsLeavesTheProfileAsItWas() throws {
            let registry = try RealRegistry(storage: try Fixtures.shared().registry)
            let image = "\(registry.host)/larder/large:estargz"
            let larder = try Command()
            let failed = try larder("profile", "record", image, then: ["--", "/bin/sh", "-c", "exit 7"])
            #expect(failed.status == 7 && failed.errors.contains("--always"))
            #expect(try reports(try larder("profile", "ls", "--json")).isEmpty)
            let kept = try larder("profile", "record", "--always", image, then: ["--", "/bin/sh", "-c", "exit 7"])
            #expect(kept.status == 7)
            #expect(try reports(try larder("profile", "ls", "--json")).count == 1)
            #expect(try larder("profile", "record", image, then: ["--", "/no/such/program"]).status == 127)
            #expect(try reports(try larder("profile", "ls", "--json")).count == 1)
        }

        /// Also when it is the command that fails, or the run: what recording needs is in $TMPDIR and goes with it.
        @Test func recordingLeavesNothingInTheTemporaryDirectory() throws {
            let registry = try RealRegistry(storage: try Fixtures.shared().registry)
            let image = "\(registry.host)/larder/large:estargz"
            let larder = try Command()
            let temporary = try larder.scratch.subdirectory("temporary")
            larder.environment["TMPDIR"] = temporary
            for (program, status) in [("/bin/true", 0), ("/bin/false", 1), ("/no/such/program", 127)] {
                #expect(try larder("profile", "record", image, then: ["--", program]).status == status)
                #expect(try Program.check(["ls", "-A", temporary]) == "")
            }
            larder.environment["TMPDIR"] = temporary + "/none"
            let failed = try larder("profile", "record", image, then: ["--", "/bin/true"])
            #expect(failed.status == 125 && failed.errors.contains("\(temporary)/none/larder-profile."), "\(failed.errors)")
        }

        @Test(arguments: [true, false])
        func aMountedImageIsRecordedAtItsFirstUseUnlessThatIsOff(isOn: Bool) throws {
            let registry = try RealRegistry(storage: try Fixtures.shared().registry)
            let image = "\(registry.host)/larder/small:estargz"
            let larder = try MountedLarder(environment: isOn ? [:] : ["LARDER_PROFILES": "off"])
            _ = try Program.check(["cat", "\(larder.rootfs(image))/top/hello"])
            #expect(try profile(larder)?.recording == isOn)
            larder.stop()
            let found = try reports(try larder.larder("profile", "ls", "--json"))
            #expect(found.map(\.origin) == (isOn ? ["mount"] : []))
            if isOn { #expect(found.first?.files == 1) }
        }

        @Test func aFileThatIsNoProfileOfTheImageIsRefusedByName() throws {
            let fixtures = try Fixtures.shared()
            let registry = try RealRegistry(storage: fixtures.registry)
            let larder = try Command()
            let digest = "sha256:" + String(repeating: "a", count: 64)
            let other = try larder.scratch.write("other.json", #"{"mediaType":"application/vnd.larder.profile.v1+json","origin":"command","layers":[{"digest":"\#(digest)","space":"tar","contentBytes":9}],"touches":[0,0,9]}"#)
            for file in ["/etc/passwd", other] {
                let output = try larder("profile", "import", "\(registry.host)/larder/small:estargz", file)
                #expect(output.status == 1 && output.errors.contains(file) && output.errors.contains("not an access profile"), "\(output.errors)")
            }
        }
    }
}
