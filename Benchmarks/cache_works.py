"""What is timed. A work prepares, then times one step after another, each a row of the table."""
import json
import os
import sys

import cache_fixtures as fixtures
from cache_systems import Failed, run

# Row: the most that `larder mount` may take, as a multiple of the plain directory. None: shown only.
FLOORS = {
    "create, write 4 KiB, close": 8,
    "stat (hot)": 1.5,
    "open, read, close (hot)": None,
    "rename": None,
    "find (hot)": 1.5,
    "find -size (hot)": 1.5,
    "find (cold)": 2,
    "find -size (cold)": 2,
    "unlink": 2,
    "sequential write": 1.3,
    "sequential read (hot)": 1.1,
    "sequential read (cold)": None,
    "random 4 KiB reads (hot)": None,
    "random 4 KiB writes": None,
    "go mod download": 2.5,
    "go build std (cold)": None,
    "go build std (warm)": 1.15,
    "pip install (cold)": None,
    "pip install (warm)": 1.05,
    "npm ci (cold)": None,
    "npm ci (warm)": 1.1,
    "apt-get download (cold)": None,
    "apt-get download (warm)": 1.05,
    "git clone": 1.7,
    "git status (hot)": None,
}


class Place:
    """One system in one run, with a directory of its own that is new."""

    def __init__(self, system, name, record):
        self.system, self.record = system, record
        self.directory = os.path.join(system.directory, name)
        system.run(["mkdir", self.directory])

    def path(self, *names):
        return os.path.join(self.directory, *names)

    def run(self, command, **options):
        return self.system.run(command, **options)

    def measure(self, row, body, operations):
        # What earlier steps wrote is on the disk before the clock starts.
        os.sync()
        seconds, requests = self.system.counting(body)
        self.record(row, self.system.name, seconds / operations, {name: count / operations for name, count in requests.items()})

    def loop(self, row, operation, count, rounds=1):
        command = [self.system.operations, operation, self.path("files"), str(count), str(rounds)]
        self.measure(row, lambda: int(self.run(command)) / 1e9, count * rounds * (2 if operation == "rename" else 1))

    def time(self, row, command, rounds=1, **options):
        command = [self.system.operations, "time", str(rounds), *command]
        self.measure(row, lambda: int(self.run(command, **options)) / 1e9, rounds)

    def fio(self, row, *options):
        """Seconds by fio's own clock; its start is not in it."""
        direction = "write" if any("write" in option for option in options) else "read"
        command = ["fio", "--name=bench", f"--filename={self.path('data')}", "--ioengine=psync", "--thread", "--fallocate=none", "--invalidate=0",
                   "--create_on_open=1", "--randrepeat=1", "--norandommap", "--output-format=json", *options]

        def body():
            result = json.loads(self.run(command))["jobs"][0][direction]
            return result["io_bytes"] / result["bw_bytes"]

        self.measure(row, body, 1)


def environment(**variables):
    """Nothing of the caller's configuration of the tools."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    return {**kept, **variables}


class SmallFiles:
    """Hot: done before on the same mount. Cold: fresh mount, dropped page, entry and inode caches, the program in memory."""

    def __init__(self, scratch, quick):
        self.count = 2000 if quick else 20000

    def __call__(self, place):
        tree = place.path("files")
        place.loop("create, write 4 KiB, close", "create", self.count)
        place.run(["find", tree, "-size", "+1G"])
        place.loop("stat (hot)", "stat", self.count, rounds=5)
        place.run(["find", tree, "-type", "f", "-exec", "cat", "{}", "+"])
        place.loop("open, read, close (hot)", "read", self.count)
        place.loop("rename", "rename", self.count)
        for row, command in (("find", ["find", tree]), ("find -size", ["find", tree, "-size", "+1G"])):
            place.run(command)
            place.time(f"{row} (hot)", command, rounds=5)
            place.system.chill("find")
            place.time(f"{row} (cold)", command)
        place.loop("unlink", "unlink", self.count)


class LargeFile:
    """Writes go to the page cache: what the filesystem costs, not the disk. Nothing is dirty when the clock starts."""

    def __init__(self, scratch, quick):
        self.size = "64m" if quick else "1g"
        self.random = "8m" if quick else "512m"

    def __call__(self, place):
        place.fio("sequential write", "--rw=write", "--bs=1m", f"--size={self.size}")
        place.run(["cat", place.path("data")])
        place.fio("sequential read (hot)", "--rw=read", "--bs=1m", f"--size={self.size}", "--loops=4")
        place.fio("random 4 KiB reads (hot)", "--rw=randread", "--bs=4k", f"--size={self.size}", f"--io_size={self.random}")
        place.fio("random 4 KiB writes", "--rw=randwrite", "--bs=4k", f"--size={self.size}", f"--io_size={self.random}")
        place.system.chill("fio")
        place.fio("sequential read (cold)", "--rw=read", "--bs=1m", f"--size={self.size}")


class GoModules:
    """20 modules of 500 files from a proxy over file://: the tool unpacks them and makes their directories read-only."""

    def __init__(self, scratch, quick):
        self.proxy, self.project = f"{scratch}/go-proxy", f"{scratch}/go-project"
        fixtures.go_modules(self.proxy, self.project, 4 if quick else 20, 100 if quick else 500)

    def __call__(self, place):
        variables = environment(HOME=self.project, GOPROXY=f"file://{self.proxy}", GOSUMDB="off", GOFLAGS="-mod=mod", GOMODCACHE=place.path("modules"), GOCACHE=f"{self.project}/.cache")
        place.run(["rm", "-f", f"{self.project}/go.sum"])
        place.time("go mod download", ["go", "mod", "download"], env=variables, cwd=self.project)


class GoBuild:
    """-trimpath, because Go 1.19 brings the standard library compiled without it and would have nothing to do."""

    def __init__(self, scratch, quick):
        self.package = "fmt" if quick else "std"
        self.home = f"{scratch}/go-home"
        os.makedirs(self.home)

    def __call__(self, place):
        variables = environment(HOME=self.home, GOCACHE=place.path("build"), GOFLAGS="-trimpath", GOPROXY="off")
        command = ["go", "build", self.package]
        place.time("go build std (cold)", command, env=variables, cwd=self.home)
        place.time("go build std (warm)", command, rounds=5, env=variables, cwd=self.home)


class Pip:
    """15 wheels from an index over TLS on loopback (pip caches nothing else). The cache is measured; what is installed goes to
    a plain directory."""

    def __init__(self, scratch, quick):
        self.base = f"{scratch}/pip"
        self.names = fixtures.wheel_index(f"{self.base}/index", 3 if quick else 15)
        self.certificate = fixtures.certificate(f"{self.base}/certificate")

    def __call__(self, place):
        with fixtures.served(f"{self.base}/index", self.certificate) as port:
            variables = environment(HOME=self.base, PIP_CONFIG_FILE="/dev/null", PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_ROOT_USER_ACTION="ignore", PIP_NO_INPUT="1",
                                    PIP_INDEX_URL=f"https://localhost:{port}/simple", PIP_CERT=self.certificate + ".pem", PIP_CACHE_DIR=place.path("pip"))
            for heat in ("cold", "warm"):
                target = f"{self.base}/target"
                run(["rm", "-rf", target])
                place.time(f"pip install ({heat})", [sys.executable, "-m", "pip", "install", "--target", target, *self.names], env=variables)


class Npm:
    """200 packages from a registry on loopback. The cache is measured; node_modules is a plain directory."""

    def __init__(self, scratch, quick):
        self.base = f"{scratch}/npm"
        fixtures.npm_project(f"{self.base}/registry", f"{self.base}/project", 20 if quick else 200)

    def __call__(self, place):
        with fixtures.served(f"{self.base}/registry") as port:
            for heat in ("cold", "warm"):
                run(["rm", "-rf", f"{self.base}/project/node_modules"])
                place.time(f"npm ci ({heat})", ["npm", "ci", "--no-audit", "--no-fund", "--no-update-notifier", "--ignore-scripts", "--prefer-offline", "--loglevel=error",
                                                 f"--cache={place.path('npm')}", f"--registry=http://127.0.0.1:{port}/"],
                           env=environment(HOME=self.base), cwd=f"{self.base}/project")


class Apt:
    """30 packages of 1 MiB. `copy:` and not `file:`, because apt uses packages of `file:` where they are and caches nothing."""

    def __init__(self, scratch, quick):
        self.base = f"{scratch}/apt"
        self.names = fixtures.apt_repository(self.base, 5 if quick else 30)
        fixtures.write(f"{self.base}/sources.list", f"deb [trusted=yes] copy:{self.base} ./\n".encode())

    def __call__(self, place):
        place.run(["mkdir", "-p", place.path("lists/partial"), place.path("archives/partial")])
        settings = {"Dir::Etc::SourceList": f"{self.base}/sources.list", "Dir::Etc::SourceParts": "/dev/null", "Dir::Etc::Parts": "/dev/null", "Dir::Etc::Preferences": "/dev/null",
                    "Dir::Etc::PreferencesParts": "/dev/null", "Dir::State::Lists": place.path("lists"), "Dir::Cache": place.directory, "Dir::State::Status": f"{self.base}/status",
                    "Dir::State::Extended_States": f"{self.base}/extended", "APT::Sandbox::User": "root"}
        apt = ["apt-get", "-qq", *(word for name, value in settings.items() for word in ("-o", f"{name}={value}"))]
        place.run([*apt, "update"])
        download = [*apt, "install", "--download-only", "--yes", "--no-install-recommends", *self.names]
        place.time("apt-get download (cold)", download)
        place.time("apt-get download (warm)", download, rounds=3)



class Git:
    """A repository of 5,000 files, cloned from a plain directory through git's own transport."""

    def __init__(self, scratch, quick):
        self.repository = f"{scratch}/git/repository.git"
        os.makedirs(os.path.dirname(self.repository))
        fixtures.git_repository(self.repository, 500 if quick else 5000)
        self.environment = environment(HOME=f"{scratch}/git", GIT_CONFIG_NOSYSTEM="1")

    def __call__(self, place):
        clone = place.path("clone")
        place.time("git clone", ["git", "clone", "--quiet", f"file://{self.repository}", clone], env=self.environment)
        status = ["git", "-C", clone, "status", "--porcelain"]
        if place.run(status, env=self.environment).strip():
            raise Failed("git status: a fresh clone shows changes")
        place.time("git status (hot)", status, rounds=5, env=self.environment)


WORKS = {"files": SmallFiles, "io": LargeFile, "go-mod": GoModules, "go-build": GoBuild, "pip": Pip, "npm": Npm, "apt": Apt, "git": Git}
