"""What is timed. A work prepares, then times one step after another, each a row of the table, and yields after each: then the
other systems do the same step. What a step needs in memory it reads before its clock starts, because others drop caches."""
import json
import os
import shutil
import sys

import cache_fixtures as fixtures
from cache_disk import Failed

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
    "apt-get download (again)": None,
    "apt-get download (warm)": 1.05,
    "git clone --depth 1": None,
    "git clone": 1.7,
    "git status (hot)": None,
}

# Caches of their own, each filled and then used.
ROUNDS = [(number, heat) for number in range(3) for heat in ("cold", "warm")]


class Place:
    """One system in one run, on a disk that holds nothing else."""

    def __init__(self, system, disk, record):
        self.system, self.record = system, record
        self.directory = system.directory
        self.beside = os.path.join(disk, "beside")
        os.mkdir(self.beside)

    def path(self, *names):
        return os.path.join(self.directory, *names)

    def run(self, command, **options):
        return self.system.run(command, **options)

    def warm(self, command):
        """The command for nothing, its output thrown away."""
        self.run([self.system.operations, "time", "1", *command])

    def measure(self, row, body, operations, first=None):
        """Seconds, requests and operations, all told. `first` is what another call gave, which is the beginning of this."""
        # What earlier steps wrote is on the disk before the clock starts.
        self.system.sync()
        seconds, requests = self.system.counting(body)
        if first:
            seconds, operations = seconds + first[0], operations + first[2]
            requests = {name: requests.get(name, 0) + first[1].get(name, 0) for name in {**requests, **first[1]}}
        self.record(row, self.system.name, seconds / operations, {name: count / operations for name, count in requests.items()})
        return seconds, requests, operations

    def loop(self, row, operation, count, rounds=1):
        command = [self.system.operations, operation, self.path("files"), str(count), str(rounds)]
        self.measure(row, lambda: int(self.run(command)) / 1e9, count * rounds * (2 if operation == "rename" else 1))

    def time(self, row, command, rounds=1, first=None, **options):
        command = [self.system.operations, "time", str(rounds), *command]
        return self.measure(row, lambda: int(self.run(command, **options)) / 1e9, rounds, first)

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
        yield
        place.warm(["find", tree, "-size", "+1G"])
        for _ in range(5):
            place.loop("stat (hot)", "stat", self.count, rounds=5)
            yield
        place.warm(["find", tree, "-type", "f", "-exec", "cat", "{}", "+"])
        for row, operation in (("open, read, close (hot)", "read"), ("rename", "rename")):
            for _ in range(5):
                place.loop(row, operation, self.count)
                yield
        commands = (("find", ["find", tree]), ("find -size", ["find", tree, "-size", "+1G"]))
        for row, command in commands:
            place.warm(command)
            for _ in range(5):
                place.time(f"{row} (hot)", command, rounds=5)
                yield
        for row, command in commands:
            for _ in range(5):
                place.system.chill("find")
                place.time(f"{row} (cold)", command)
                yield
        place.warm(["find", tree, "-size", "+1G"])
        place.loop("unlink", "unlink", self.count)
        for _ in range(2):
            yield
            place.run(["rm", "-r", tree])
            place.loop("create, write 4 KiB, close", "create", self.count)
            yield
            place.loop("unlink", "unlink", self.count)


class LargeFile:
    """Writes go to the page cache: what the filesystem costs, not the disk. Nothing is dirty when the clock starts."""

    def __init__(self, scratch, quick):
        self.size = "64m" if quick else "512m"
        self.random = "8m" if quick else "256m"

    def __call__(self, place):
        for _ in range(5):
            place.run(["rm", "-f", place.path("data")])
            place.fio("sequential write", "--rw=write", "--bs=1m", f"--size={self.size}")
            yield
        place.warm(["cat", place.path("data")])
        for row, options in (("sequential read (hot)", ["--rw=read", "--bs=1m", "--loops=4"]), ("random 4 KiB reads (hot)", ["--rw=randread", "--bs=4k", f"--io_size={self.random}"]),
                             ("random 4 KiB writes", ["--rw=randwrite", "--bs=4k", f"--io_size={self.random}"])):
            for _ in range(5):
                place.fio(row, f"--size={self.size}", *options)
                yield
        for _ in range(5):
            place.system.chill("fio")
            place.fio("sequential read (cold)", "--rw=read", "--bs=1m", f"--size={self.size}")
            yield


class GoModules:
    """20 modules of 500 files from a proxy over file://: the tool unpacks them and makes their directories read-only."""

    def __init__(self, scratch, quick):
        self.proxy, self.project = f"{scratch}/go-proxy", f"{scratch}/go-project"
        fixtures.go_modules(self.proxy, self.project, 4 if quick else 20, 100 if quick else 500)

    def __call__(self, place):
        shutil.copy(f"{self.project}/go.mod", place.beside)
        variables = environment(HOME=place.beside, GOPROXY=f"file://{self.proxy}", GOSUMDB="off", GOFLAGS="-mod=mod", GOCACHE=f"{place.beside}/.cache")
        for number in range(3):
            place.time("go mod download", ["go", "mod", "download"], env={**variables, "GOMODCACHE": place.path(f"modules{number}")}, cwd=place.beside)
            yield


class GoBuild:
    """-trimpath, because Go 1.19 brings the standard library compiled without it and would have nothing to do."""

    def __init__(self, scratch, quick):
        self.package = "fmt" if quick else "std"

    def __call__(self, place):
        variables = environment(HOME=place.beside, GOCACHE=place.path("build"), GOFLAGS="-trimpath", GOPROXY="off")
        command = ["go", "build", self.package]
        for heat in ("cold", *["warm"] * 5):
            place.time(f"go build std ({heat})", command, env=variables, cwd=place.beside)
            yield


class Pip:
    """15 wheels from an index over TLS on loopback (pip caches nothing else). The cache is measured; what is installed goes to
    a plain directory."""

    def __init__(self, scratch, quick):
        self.index = f"{scratch}/pip-index"
        self.names = fixtures.wheel_index(self.index, 3 if quick else 15)
        self.certificate = fixtures.certificate(f"{scratch}/pip-certificate")

    def __call__(self, place):
        with fixtures.served(self.index, self.certificate) as port:
            variables = environment(HOME=place.beside, PIP_CONFIG_FILE="/dev/null", PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_ROOT_USER_ACTION="ignore", PIP_NO_INPUT="1",
                                    PIP_INDEX_URL=f"https://localhost:{port}/simple", PIP_CERT=self.certificate + ".pem")
            for number, heat in ROUNDS:
                place.time(f"pip install ({heat})", [sys.executable, "-m", "pip", "install", "--target", f"{place.beside}/{heat}{number}", *self.names],
                           env={**variables, "PIP_CACHE_DIR": place.path(f"pip{number}")})
                yield


class Npm:
    """200 packages from a registry on loopback. The cache is measured; node_modules is a plain directory."""

    def __init__(self, scratch, quick):
        self.registry, self.project = f"{scratch}/npm-registry", f"{scratch}/npm-project"
        fixtures.npm_project(self.registry, self.project, 20 if quick else 200)

    def __call__(self, place):
        with fixtures.served(self.registry) as port:
            for number, heat in ROUNDS:
                project = f"{place.beside}/{heat}{number}"
                shutil.copytree(self.project, project)
                place.time(f"npm ci ({heat})", ["npm", "ci", "--no-audit", "--no-fund", "--no-update-notifier", "--ignore-scripts", "--prefer-offline", "--loglevel=error",
                                                 f"--cache={place.path(f'npm{number}')}", f"--registry=http://127.0.0.1:{port}/"],
                           env=environment(HOME=place.beside), cwd=project)
                yield


class Apt:
    """30 packages of 1 MiB. `copy:` and not `file:`, because apt uses packages of `file:` where they are and caches nothing."""

    def __init__(self, scratch, quick):
        self.repository = f"{scratch}/apt"
        self.names = fixtures.apt_repository(self.repository, 5 if quick else 30)
        fixtures.write(f"{self.repository}/sources.list", f"deb [trusted=yes] copy:{self.repository} ./\n".encode())

    def __call__(self, place):
        place.run(["mkdir", "-p", place.path("lists/partial"), place.path("archives/partial")])
        nothing = "/dev/null"
        settings = {"Dir::Etc::SourceList": f"{self.repository}/sources.list", "Dir::Etc::SourceParts": nothing, "Dir::Etc::Parts": nothing, "Dir::Etc::Preferences": nothing,
                    "Dir::Etc::PreferencesParts": nothing, "Dir::State::Lists": place.path("lists"), "Dir::Cache": place.directory, "Dir::State::Status": f"{self.repository}/status",
                    "Dir::State::Extended_States": f"{place.beside}/extended", "APT::Sandbox::User": "root"}
        apt = ["apt-get", "-qq", *(word for name, value in settings.items() for word in ("-o", f"{name}={value}"))]
        place.run([*apt, "update"])
        download = [*apt, "install", "--download-only", "--yes", "--no-install-recommends", *self.names]
        for _ in range(5):
            place.run([*apt, "clean"])
            place.time("apt-get download (cold)", download)
            yield
            first = place.time("apt-get download (again)", download)
            place.time("apt-get download (warm)", download, rounds=9, first=first)
            yield


class Git:
    """A repository of 5,000 files with a history, cloned from a plain directory through git's own transport; with and without the
    history."""

    def __init__(self, scratch, quick):
        self.repository = f"{scratch}/git/repository.git"
        os.makedirs(os.path.dirname(self.repository))
        fixtures.git_repository(self.repository, *((500, 300) if quick else (5000, 3000)))

    def __call__(self, place):
        clone, variables = place.path("clone"), environment(HOME=place.beside, GIT_CONFIG_NOSYSTEM="1")
        for row, options in (("git clone --depth 1", ["--depth", "1"]), ("git clone", [])):
            for _ in range(3):
                place.run(["rm", "-rf", clone])
                place.time(row, ["git", "clone", "--quiet", *options, f"file://{self.repository}", clone], env=variables)
                yield
        status = ["git", "-C", clone, "status", "--porcelain"]
        if place.run(status, env=variables).strip():
            raise Failed("git status: a fresh clone shows changes")
        for _ in range(3):
            place.time("git status (hot)", status, rounds=5, env=variables)
            yield


WORKS = {"files": SmallFiles, "io": LargeFile, "go-mod": GoModules, "go-build": GoBuild, "pip": Pip, "npm": Npm, "apt": Apt, "git": Git}
