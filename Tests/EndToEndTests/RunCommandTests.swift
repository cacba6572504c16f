import Glibc
import Testing
import TestSupport

extension EndToEnd {
    /// `larder run` as the shell of a build host has it. Its options one by one are `RunTests`' affair.
    @Suite struct RunCommandTests {
        private let scratch: TemporaryDirectory
        private let store: String
        private let home: String

        init() throws {
            scratch = try TemporaryDirectory()
            (store, home) = (try scratch.subdirectory("store"), try scratch.subdirectory("home"))
        }

        private func start(_ words: [String], _ more: [String: String] = [:]) throws -> Program {
            try Program([LarderCommand.binary, "run", "--store", store] + words, environment: LarderCommand.environment(home: home, more))
        }

        private func run(_ words: String..., environment more: [String: String] = [:]) throws -> Program.Output {
            try start(words, more).wait()
        }

        @Test func theCommandsEndIsLardersEnd() throws {
            #expect(try run("--", "sh", "-c", "exit 7").status == 7)
            #expect(try run("--", "/nonexistent/program").status == 127)
            #expect(try run("--", "/etc/passwd").status == 126)
            #expect(try run("--mount=type=nonsense", "--", "true").status == 125)
            #expect(try run("--", "sh", "-c", "kill -KILL $$").status == 128 + SIGKILL)
            let program = try start(["--", "sh", "-c", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.1; done"])
            try #require(Wait.until(120) { program.outputSoFar == "ready\n" }, "\(program.errorsSoFar)")
            program.signal(SIGTERM)
            #expect(try program.wait().status == 9)
        }

        @Test func whatTheCommandSeesIsTheDirectoryOnTheDisk() throws {
            let target = "\(scratch.path)/not/there/yet"
            let output = try run("--mount=type=cache,id=c,target=\(target)", "--", "sh", "-ec", "echo kept >\(target)/f; stat -c %d:%i \(target)/f")
            #expect(output.status == 0, "\(output.errors)")
            let below = "\(store)/caches/c/instances/0/f"
            #expect(try Files.read(below) == "kept\n")
            #expect(try Program.check(["stat", "-c", "%d:%i", below]) == output.text)
            #expect(try !Files.exists("\(scratch.path)/not"), "a mount point that was made stayed behind")
            #expect(try Files.read("/proc/self/mounts").contains(scratch.path) == false)
            let again = try run("--mount=type=cache,id=c,target=\(target),ro", "--", "sh", "-c", "cat \(target)/f; echo x >\(target)/f")
            #expect(again.text == "kept\n" && again.status != 0)
        }

        /// Where anybody could look: the store, the home, temporary directories, every process's command line, what is said.
        @Test func aSecretIsNowhereButInTheCommand() throws {
            var random = SeededGenerator.named("aSecretIsNowhereButInTheCommand")
            let secret = "hush\(random.next())\(random.next())"
            let file = try scratch.write("secret", secret)
            // The search itself works.
            let planted = try scratch.write("planted", "before \(secret) after")
            let script = """
                set -e
                test "$(cat /run/secrets/one)" = "$(cat \(file))"
                test "$(stat -f -c %T /run/secrets/one)" = tmpfs
                test "$(stat -c %a:%u /run/secrets/one)" = 400:0
                test "$TWO" = "$(cat \(file))"
                touch \(scratch.path)/looking
                while [ -e \(scratch.path)/looking ]; do sleep 0.05; done
                """
            let program = try start(
                ["--secret", "id=one,src=\(file)", "--secret", "id=two,env=GIVEN", "--mount=type=secret,id=one", "--mount=type=secret,id=two,env=TWO",
                 "--mount=type=cache,id=beside,target=\(scratch.path)/cache", "--", "sh", "-c", script],
                ["GIVEN": secret, "TMPDIR": try scratch.subdirectory("tmp")])
            try #require(Wait.until(120) { (try? Files.exists("\(scratch.path)/looking")) ?? false }, "\(program.errorsSoFar)")
            let places = """
                find \(scratch.path) /dev/shm /var/tmp -xdev -type f ! -path \(file) -exec grep -lF -f \(file) {} + 2>/dev/null
                grep -lF -f \(file) /proc/[0-9]*/cmdline 2>/dev/null
                true
                """
            let during = try Program.run(["sh", "-c", places])
            try Program.check(["rm", "\(scratch.path)/looking"])
            let output = try program.wait()
            #expect(output.status == 0, "\(output.errors)")
            #expect(during.text == "\(planted)\n")
            #expect(!output.errors.contains(secret) && !output.text.contains(secret))
            #expect(try Program.run(["sh", "-c", places]).text == "\(planted)\n")
            let missing = try run("--mount=type=secret,id=none,required", "--", "true")
            #expect(missing.status == 125 && missing.errors.contains("secret none: not found"), "\(missing.errors)")
        }

        @Test func anotherUserRunsWithoutRoot() throws {
            try Program.check(["chown", "-R", "65534:65534", home, store])
            try Program.check(["chmod", "755", scratch.path])
            try Program.check(["install", "-m", "755", LarderCommand.binary, "\(scratch.path)/larder"])
            let words = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "\(scratch.path)/larder", "run", "--store", store,
                         "--mount=type=cache,id=c,target=\(home)/cache", "--mount=type=tmpfs,target=\(home)/none", "--", "sh", "-ec",
                         "id -u; echo mine >\(home)/cache/f; stat -f -c %T \(home)/none"]
            let output = try Program.run(words, environment: LarderCommand.environment(home: home))
            if output.status == 125, output.errors.contains("user namespace") || output.errors.contains("userns") {
                // The kernel of this host does not allow it, and that is what was said.
                return #expect(Environment.current["CI"] == nil, "\(output.errors)")
            }
            #expect(output.status == 0 && output.text == "65534\ntmpfs\n", "\(output.text)\(output.errors)")
            #expect(try Program.check(["stat", "-c", "%u", "\(store)/caches/c/instances/0/f"]) == "65534\n")
        }
    }
}
