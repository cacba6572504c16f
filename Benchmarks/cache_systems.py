"""What is compared: each system shows one directory, and knows how to run a command that sees it."""
import contextlib
import os
import re
import shutil
import subprocess
import time

from cache_disk import Failed, drop_caches, run, unmount

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TOOLS = os.path.join(ROOT, ".build/benchmarks")


def operations_tool():
    """The timed loops, compiled when the source is newer."""
    source, binary = os.path.join(ROOT, "Benchmarks/caches-ops.c"), os.path.join(TOOLS, "caches-ops")
    if not os.path.exists(binary) or os.path.getmtime(binary) < os.path.getmtime(source):
        os.makedirs(TOOLS, exist_ok=True)
        run(["cc", "-O2", "-Wall", "-Werror", "-o", binary, source])
    return binary


def debian_archive():
    """Where this host gets Debian 12 from."""
    for line in run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME)", "Created-By: Packages", "Component: main"]).splitlines():
        place, codename = line.split()
        if codename == "bookworm":
            return place
    raise RuntimeError("apt on this host has no sources of Debian 12")


def passthrough_example():
    """libfuse's example/passthrough_hp.cc as Debian 12 ships it, fetched and verified by apt, with what its build finds on Linux."""
    binary = os.path.join(TOOLS, "passthrough_hp")
    if not os.path.exists(binary):
        work = os.path.join(TOOLS, "fuse3")
        for directory in ("lists/partial", "archives/partial"):
            os.makedirs(os.path.join(work, directory), exist_ok=True)
        with open(os.path.join(work, "sources.list"), "w") as file:
            file.write(f"deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {debian_archive()} bookworm main\n")
        apt = ["apt-get", "-q", "-o", f"Dir::Etc::SourceList={work}/sources.list", "-o", "Dir::Etc::SourceParts=/dev/null",
               "-o", f"Dir::State::Lists={work}/lists", "-o", f"Dir::Cache={work}/archives", "-o", "APT::Sandbox::User=root"]
        run([*apt, "update"])
        run([*apt, "source", "--download-only", "fuse3"], cwd=work)
        archive = next(name for name in os.listdir(work) if name.endswith(".orig.tar.xz"))
        run(["tar", "-xf", archive, "--strip-components=1", "--wildcards", "*/example"], cwd=work)
        flags = run(["pkg-config", "--cflags", "--libs", "fuse3"]).split()
        run(["g++", "-O2", "-D_FILE_OFFSET_BITS=64", "-DHAVE_UTIMENSAT", "-DHAVE_POSIX_FALLOCATE", "-DHAVE_SETXATTR", "-o", binary, "example/passthrough_hp.cc", *flags, "-lpthread"], cwd=work)
    return binary


class System:
    """A plain directory; and what every other system does like it."""

    name = "plain"

    def __init__(self, disk):
        self.base = os.path.join(disk, "system")
        # As deep in every system: each component costs the kernel a tenth of a stat.
        self.point = os.path.join(self.base, "larder")
        self.directory = os.path.join(self.point, "caches", "bench")
        self.operations = operations_tool()
        self.prepare()

    def prepare(self):
        os.makedirs(self.directory)

    def mount(self):
        pass

    def unmount(self):
        pass

    def prefix(self):
        return []

    def counting(self, body):
        """What `body` returns, and the FUSE requests that it took, by opcode."""
        return body(), {}

    @contextlib.contextmanager
    def mounted(self):
        self.mount()
        try:
            yield
        finally:
            self.unmount()

    def sync(self):
        """What was written here is on the disk. Not sync(2), which waits for every other filesystem of this host too."""
        run(["sync", "-f", self.directory, self.base])

    def run(self, command, **options):
        return run([*self.prefix(), *command], **options)

    def chill(self, *programs):
        """A fresh mount and empty page caches; only the programs themselves are in memory, and Larder's own."""
        self.sync()
        self.unmount()
        drop_caches()
        self.mount()
        for program in programs:
            self.run([program, "--version"])


class FuseSystem(System):
    """A daemon in the foreground that shows `source` at `point`."""

    daemon = None

    def prepare(self):
        self.source = os.path.join(self.base, "source")
        os.makedirs(self.point)
        os.makedirs(os.path.join(self.source, "caches", "bench"))

    def command(self):
        raise NotImplementedError

    def mount(self):
        log = open(os.path.join(self.base, "log"), "w+")
        with log:
            self.daemon = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            deadline = time.monotonic() + 30
            while not os.path.ismount(self.point):
                if self.daemon.poll() is not None or time.monotonic() > deadline:
                    self.daemon.kill()
                    self.daemon.wait()
                    log.seek(0)
                    raise Failed(f"{self.name} does not mount: {(log.read().strip().splitlines() or ['no message'])[-1]}")
                time.sleep(0.02)

    def unmount(self):
        if self.daemon is None:
            return
        unmount(self.point)
        try:
            self.daemon.wait(30)
        except subprocess.TimeoutExpired:
            self.daemon.kill()
            self.daemon.wait()
        self.daemon = None


class Bindfs(FuseSystem):
    name = "bindfs"

    def command(self):
        return ["bindfs", "-f", self.source, self.point]


class FuseOverlay(FuseSystem):
    name = "fuse-overlayfs"

    def command(self):
        for directory in ("lower", "work"):
            os.makedirs(os.path.join(self.base, directory), exist_ok=True)
        return ["fuse-overlayfs", "-f", "-o", f"lowerdir={self.base}/lower,upperdir={self.source},workdir={self.base}/work", self.point]


class PassthroughExample(FuseSystem):
    name = "passthrough_hp"

    def command(self):
        return [passthrough_example(), "--foreground", self.source, self.point]


class LarderMount(FuseSystem):
    """The whole mount: the cache by its path."""

    name = "larder mount"
    larder = ""

    def prepare(self):
        self.store = os.path.join(self.base, "store")
        os.makedirs(self.point)
        run([self.larder, "cache", "create", "--store", self.store, "bench"])

    def command(self):
        return [self.larder, "mount", "--foreground", "--store", self.store, self.point]

    def metrics(self):
        with open(os.path.join(self.point, "metrics")) as file:
            return {name: int(float(count)) for name, count in re.findall(r'^larder_fuse_requests_total\{operation="(\w+)"\} (\S+)', file.read(), re.M)}

    def counting(self, body):
        self.metrics()
        # Asking costs requests as well: two askings in a row show how many.
        asked, before = self.metrics(), self.metrics()
        result = body()
        # RELEASE and FORGET come after the fact.
        time.sleep(0.1)
        after = self.metrics()
        counts = {name: after[name] - before.get(name, 0) - (before.get(name, 0) - asked.get(name, 0)) for name in after}
        return result, {name: count for name, count in counts.items() if count > 0}


class LarderTree(LarderMount):
    """One cache as a mount of its own. It has no `metrics`."""

    name = "larder mount --tree"

    def prepare(self):
        super().prepare()
        os.makedirs(self.directory)
        self.point = self.directory

    def command(self):
        return [self.larder, "mount", "--foreground", "--store", self.store, "--tree", "caches/bench", self.point]

    def counting(self, body):
        return body(), {}


class LarderRun(System):
    """The cache as a command under `larder run` sees it. The clock runs inside, so starting it is not in any figure."""

    name = "larder run"
    larder = ""

    def prepare(self):
        super().prepare()
        self.store = os.path.join(self.base, "store")

    def prefix(self):
        return [self.larder, "run", "--store", self.store, f"--mount=type=cache,id=bench,target={self.directory}", "--"]


SYSTEMS = [System, Bindfs, FuseOverlay, PassthroughExample, LarderMount, LarderTree, LarderRun]


def needed():
    """Debian packages that are not here, by the program that each is for."""
    programs = {"cc": "gcc", "g++": "g++", "pkg-config": "pkg-config", "xz": "xz-utils", "bindfs": "bindfs", "fuse-overlayfs": "fuse-overlayfs",
                "fio": "fio", "go": "golang-go", "npm": "npm", "git": "git", "openssl": "openssl", "dpkg-deb": "dpkg"}
    missing = [package for program, package in programs.items() if not shutil.which(program)]
    probes = {"libfuse3-dev": ["pkg-config", "--exists", "fuse3"], "python3-pip": ["python3", "-m", "pip", "--version"]}
    for package, probe in probes.items():
        if not shutil.which(probe[0]) or subprocess.run(probe, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
            missing.append(package)
    if not os.path.exists("/usr/share/keyrings/debian-archive-keyring.gpg"):
        missing.append("debian-archive-keyring")
    return missing
