import Glibc
import Testing
import TestSupport

extension EndToEnd {
    /// Package managers as they are, several at once on one cache: first under `larder run`, in namespaces of their own,
    /// then by path in the mount, where everything is there already.
    @Suite struct ToolsTests {
        private let larder: MountedLarder
        private let server: PackageServer
        private var scratch: String { larder.scratch.path }

        init() throws {
            larder = try MountedLarder()
            server = try PackageServer()
        }

        @Test func eightPipsShareOneCache() throws {
            // The interpreter itself: pyenv's stand-in for it writes into a directory of its own after each pip, and eight of them at once fail.
            let python = String(try Program.check(["python3", "-c", "import sys; print(sys.executable)"], environment: environment).dropLast())
            let pip = [
                python, "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet", "--no-compile", "--root-user-action=ignore",
                "--index-url", "http://127.0.0.1:\(server.port)/pypi",
                // What comes by http is kept only from such.
                "--trusted-host", "127.0.0.1:\(server.port)", "-r", "\(server.path)/projects/pip/requirements.txt", "--target",
            ]
            try together((0..<8).map { run("pip", pip + ["\(scratch)/pip\($0)"]) })
            let cold = try server.requests(ending: ".whl")
            #expect(cold >= 15)
            let directory = try variable("PIP_CACHE_DIR", of: "pip")
            try together((8..<16).map { pip + ["\(scratch)/pip\($0)", "--cache-dir", directory] })
            #expect(try server.requests(ending: ".whl") == cold)
            try same((0..<16).map { "\(scratch)/pip\($0)" })
        }

        @Test func fourNpmsShareOneCache() throws {
            let places = try (0..<8).map { number in
                try Program.check(["cp", "-r", "\(server.path)/projects/npm", "\(scratch)/npm\(number)"])
                return "\(scratch)/npm\(number)"
            }
            func npm(_ place: String) -> [String] {
                ["npm", "--prefix", place, "--registry", "http://127.0.0.1:\(server.port)/npm/", "--no-audit", "--no-fund", "--no-update-notifier", "ci"]
            }
            try together(places.prefix(4).map { run("npm", npm($0)) })
            let cold = try server.requests(ending: ".tgz")
            #expect(cold >= 15)
            let directory = try variable("npm_config_cache", of: "npm")
            try together(places.suffix(4).map { npm($0) + ["--cache", directory] })
            #expect(try server.requests(ending: ".tgz") == cold)
            try same(places.map { "\($0)/node_modules" })
        }

        /// One at a time under `locked`, which none of them knows.
        @Test func fourAptsTakeTurns() throws {
            let own = try larder.scratch.subdirectory("apt")
            try Program.check(["mkdir", "-p", "\(own)/state", "\(own)/etc"])
            _ = try larder.scratch.write("apt/etc/sources.list", "deb [trusted=yes] http://127.0.0.1:\(server.port)/apt ./\n")
            _ = try larder.scratch.write("apt/status", "")
            let options = ["Dir::Etc::SourceList=\(own)/etc/sources.list", "Dir::Etc::SourceParts=/dev/null", "Dir::State::Status=\(own)/status", "Acquire::Languages=none",
                           "Acquire::http::Proxy=DIRECT", "APT::Sandbox::User=root"].map { "-o \($0)" }.joined(separator: " ")
            let packages = try Files.read("\(server.path)/projects/apt/packages")
            let script = "set -e; apt-get \(options) -qq update; apt-get \(options) -qq -y --download-only install \(packages); sha256sum $(apt-config shell D Dir::Cache::Archives/d | sed \"s/D='\\(.*\\)'/\\1/\")larder-deb-*.deb | sed 's|/.*/||'"
            let cold = try together((0..<4).map { _ in run("apt", ["sh", "-c", script]) })
            #expect(try server.requests(ending: ".deb") == 6)
            #expect(cold[0].lines.count == 6)
            let warm = try together((0..<4).map { _ in run("apt", ["sh", "-c", script]) })
            #expect(try server.requests(ending: ".deb") == 6)
            #expect(Set((cold + warm).map(\.text)).count == 1)
        }

        /// `LARDER_GO_PACKAGES=std` builds the whole standard library, which takes minutes; by default as much of it as a
        /// program with JSON and formatting needs.
        @Test func fourGoBuildsShareOneCache() throws {
            let packages = Environment.current["LARDER_GO_PACKAGES"].map { [$0] } ?? ["encoding/json", "text/template"]
            let places = try (0..<8).map { number in
                try Program.check(["cp", "-r", "\(server.path)/projects/go", "\(scratch)/go\(number)"])
                return "\(scratch)/go\(number)"
            }
            func build(_ place: String, proxy: String, _ more: [String] = []) -> [String] {
                ["env", "-C", place, "GOFLAGS=-mod=mod", "GOSUMDB=off", "GOPROXY=\(proxy)", "CGO_ENABLED=0"] + more
                    + ["sh", "-ec", "go build \(packages.joined(separator: " ")); go build -trimpath -o program .; ./program"]
            }
            let cold = try together(places.prefix(4).map { run("go", build($0, proxy: "file://\(server.path)/go")) }, limit: 900)
            let variables = try ["GOCACHE", "GOMODCACHE"].map { try "\($0)=\(variable($0, of: "go"))" }
            let warm = try together(places.suffix(4).map { build($0, proxy: "off", variables) }, limit: 900)
            #expect(Set((cold + warm).map(\.text)) == ["6\n"])
            for place in places { try Program.check(["cmp", "\(places[0])/program", "\(place)/program"]) }
            // Four more times nothing to compile: what go says that it runs.
            let said = try Program.run(build(places[4], proxy: "off", variables + ["GOFLAGS=-mod=mod -x"]), environment: environment)
            #expect(said.status == 0 && !said.errors.contains("/compile "), "\(said.errors.suffix(2000))")
        }

        @Test func gitAndSQLiteWorkInACache() throws {
            try Program.check(["mkdir", "\(larder.mountPoint)/caches/work"])
            let work = "\(larder.mountPoint)/caches/work"
            let git = """
                set -e
                export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=n GIT_AUTHOR_EMAIL=e GIT_COMMITTER_NAME=n GIT_COMMITTER_EMAIL=e
                git init -q \(work)/one; cd \(work)/one
                for n in 1 2 3; do mkdir -p d$n; for f in $(seq 100); do echo $n $f > d$n/$f; done; git add .; git commit -qm $n; done
                git gc -q; git fsck --strict
                for n in 1 2 3 4; do git clone -q --no-local \(work)/one \(work)/clone$n & clones="$clones $!"; done
                for clone in $clones; do wait $clone; done
                for n in 1 2 3 4; do cd \(work)/clone$n; git status --porcelain; git fsck --strict; git rev-parse HEAD; done | sort | uniq -c
                """
            let cloned = try Program.run(["bash", "-c", git], environment: environment)
            #expect(cloned.status == 0 && cloned.lines.count == 1 && cloned.text.contains("4 "), "\(cloned.text)\(cloned.errors)")
            let sqlite = """
                import sqlite3, sys
                database = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
                assert database.execute("pragma journal_mode").fetchone() == ("wal",)
                for number in range(250):
                    database.execute("begin immediate")
                    database.execute("insert into t values (?, ?)", (sys.argv[2], number))
                    database.execute("commit")
                """
            let file = try larder.scratch.write("sqlite.py", sqlite)
            // By one alone: SQLite waits for no lock when it changes the mode, and says "locked" where two do it at once, on any filesystem.
            let make = "import sqlite3, sys; d = sqlite3.connect(sys.argv[1]); assert d.execute('pragma journal_mode=wal').fetchone() == ('wal',); d.execute('create table t (who, number)')"
            try Program.check(["python3", "-c", make, "\(work)/database"])
            try together((0..<4).map { ["python3", file, "\(work)/database", "\($0)"] })
            let count = "import sqlite3, sys; d = sqlite3.connect(sys.argv[1]); print(d.execute('select count(*), count(distinct who) from t').fetchone(), d.execute('pragma integrity_check').fetchone())"
            #expect(try Program.check(["python3", "-c", count, "\(work)/database"]) == "(1000, 4) ('ok',)\n")
        }

        // MARK: -

        private var environment: [String: String] {
            LarderCommand.environment(home: larder.home, ["no_proxy": "127.0.0.1", "PIP_CONFIG_FILE": "/dev/null"])
        }

        private func run(_ preset: String, _ command: [String]) -> [String] {
            [LarderCommand.binary, "run", "--store", larder.store, "--preset", preset, "--"] + command
        }

        /// All of them at once; each has to succeed.
        @discardableResult
        private func together(_ commands: [[String]], limit: Double = 300) throws -> [Program.Output] {
            let programs = try commands.map { try Program($0, environment: environment) }
            return try programs.map { program in
                let output = try program.wait(limit: limit)
                try #require(output.status == 0, "\(program.name): \(output.text.suffix(2000))\(output.errors.suffix(4000))")
                return output
            }
        }

        /// What `larder env` sets for the mount.
        private func variable(_ name: String, of preset: String) throws -> String {
            let output = try Program.check([LarderCommand.binary, "env", "--github", "--store", larder.store, "--mount", larder.mountPoint, preset], environment: environment)
            let line = output.split(separator: "\n").first { $0.hasPrefix("\(name)=") }
            return String(try #require(line, "\(output)").dropFirst(name.utf8.count + 1))
        }

        private func same(_ trees: [String]) throws {
            for tree in trees.dropFirst() { try Program.check(["diff", "-r", trees[0], tree]) }
        }
    }
}
