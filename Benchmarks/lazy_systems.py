"""What is compared: ways from an image in a registry to a directory that shows it."""
import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import time

from cache_disk import Failed, run, unmount
from lazy_images import recipe
from lazy_works import ENVIRONMENT

from fixtures import conversion

MEGABYTE = 1e6
# What prepares a system must not keep the others waiting for ever.
BOUNDED = ["timeout", "300"]


def started(command, ready, log, seconds=120):
    """A daemon, once `ready()` holds."""
    with open(log, "w") as file:
        daemon = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
    deadline = time.monotonic() + seconds
    while not ready():
        if daemon.poll() is not None or time.monotonic() > deadline:
            daemon.kill()
            daemon.wait()
            with open(log, errors="replace") as file:
                raise Failed(f"{os.path.basename(command[0])}: {(file.read().strip().splitlines() or ['no message'])[-1][:300]}")
        time.sleep(0.005)
    return daemon


def stopped(daemon):
    if daemon is not None:
        try:
            daemon.wait(30)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


class System:
    """A directory on the disk, unpacked long ago: what everything else is a multiple of."""

    name = "native disk"
    says = "the unpacked tree on this disk, page cache empty"
    programs = []

    def __init__(self, image, disk, network):
        self.image, self.disk, self.network = image, disk, network
        self.root = os.path.join(disk, "root")
        os.makedirs(self.root)
        self.daemon = None
        self.prepare()

    @property
    def repository(self):
        return f"bench/{self.image.name}-{recipe()}"

    @property
    def reference(self):
        return f"{self.network.host}/{self.repository}:1"

    @classmethod
    def unusable(cls):
        """Why it cannot be measured here, if so."""
        return None

    def prepare(self):
        """Before the clock: the registry holds what is needed, daemons that a host always runs are running."""

    def bring(self):
        """In the clock, from nothing: the directory."""
        return self.image.plain

    def usage(self):
        """Of the daemon so far: its peak of resident memory in bytes, its CPU seconds."""
        if self.daemon is None:
            return None, None
        with open(f"/proc/{self.daemon.pid}/status") as file:
            [peak] = [int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:")]
        with open(f"/proc/{self.daemon.pid}/stat") as file:
            times = file.read().rsplit(")", 1)[1].split()[11:15]
        return peak, sum(int(word) for word in times) / os.sysconf("SC_CLK_TCK")

    @contextlib.contextmanager
    def paused(self):
        """The daemon does nothing meanwhile."""
        if self.daemon is not None:
            self.daemon.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            if self.daemon is not None:
                self.daemon.send_signal(signal.SIGCONT)

    def close(self):
        pass


class Unpacked(System):
    name = "skopeo + umoci"
    says = "skopeo copy, then umoci unpack"
    programs = [["skopeo", "--version"], ["umoci", "--version"]]

    def prepare(self):
        self.network.push(self.image, "gzip", self.repository)

    def bring(self):
        run(["skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{self.reference}", f"oci:{self.disk}/layout:1"])
        run(["umoci", "--log=error", "unpack", "--image", f"{self.disk}/layout:1", f"{self.disk}/bundle"])
        return f"{self.disk}/bundle/rootfs"


class Containerd(System):
    name = "ctr images pull"
    says = "containerd (running before), overlayfs snapshotter: ctr images pull, ctr images mount"
    programs = [["ctr", "--version"]]

    def prepare(self):
        self.network.push(self.image, "gzip", self.repository)
        config, self.socket = os.path.join(self.disk, "config.toml"), os.path.join(self.disk, "socket")
        with open(config, "w") as file:
            file.write(conversion.CONFIG.format(root=self.disk))
        self.daemon = started(["containerd", "--config", config], lambda: os.path.exists(self.socket), os.path.join(self.disk, "log"))

    def bring(self):
        run(["ctr", "--address", self.socket, "images", "pull", "--plain-http", self.reference])
        run(["ctr", "--address", self.socket, "images", "mount", self.reference, self.root])
        return self.root

    def close(self):
        with contextlib.suppress(Failed):
            unmount(self.root)
        self.daemon.terminate()
        stopped(self.daemon)


class Ratarmount(System):
    name = "ratarmount"
    says = "skopeo copy, then ratarmount of the blobs (no whiteouts)"
    home = ""

    @classmethod
    def unusable(cls):
        if not os.path.exists(os.path.join(cls.home, "bin/ratarmount")):
            try:
                run(["python3", "-m", "venv", cls.home])
                run([os.path.join(cls.home, "bin/pip"), "install", "-q", "ratarmount==1.3.0", "rapidgzip==0.15.2"])
            except (Failed, OSError) as error:
                shutil.rmtree(cls.home, ignore_errors=True)
                return str(error)
        cls.programs = [["skopeo", "--version"], [os.path.join(cls.home, "bin/ratarmount"), "--version"]]
        return None

    def prepare(self):
        self.network.push(self.image, "gzip", self.repository)

    def bring(self):
        run(["skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{self.reference}", f"oci:{self.disk}/layout:1"])
        blobs = [f"{self.disk}/layout/blobs/{layer['digest'].replace(':', '/')}" for layer in self.image.manifest()[1]["layers"]]
        self.daemon = started([os.path.join(self.home, "bin/ratarmount"), "-f", "--index-folders", self.disk, "-o", "allow_other,suid,dev", *blobs, self.root],
                              lambda: os.path.ismount(self.root), os.path.join(self.disk, "log"))
        return self.root

    def close(self):
        if self.daemon is not None:
            unmount(self.root)
            stopped(self.daemon)


class Erofs(System):
    name = "erofs"
    says = "an erofs (lz4hc) of the tree, made before: curl of it, then the kernel mounts it"
    programs = [["curl", "--version"]]

    @classmethod
    def unusable(cls):
        with open("/proc/filesystems") as file:
            return None if "erofs" in file.read() or subprocess.run(["modprobe", "erofs"], capture_output=True).returncode == 0 else "this kernel has no erofs"

    def prepare(self):
        self.network.push(self.image, "gzip", self.repository)
        self.digest = self.network.push_blob(self.image.erofs, self.repository)

    def bring(self):
        run(["curl", "-sSf", "-o", f"{self.disk}/image", f"http://{self.network.host}/v2/{self.repository}/blobs/{self.digest}"])
        run(["mount", "-t", "erofs", "-o", "loop,ro", f"{self.disk}/image", self.root])
        return self.root

    def close(self):
        if os.path.ismount(self.root):
            unmount(self.root)


class Larder(System):
    """An image that the registry has as it was built, and nothing beside it."""

    name = "larder"
    says = "plain gzip, no index anywhere: the first touch streams every layer"
    larder = ""
    tag, suffix = "gzip", ""
    options = []

    @classmethod
    def lacks(cls, command):
        # What is no subcommand gets the help of the whole.
        said = subprocess.run([cls.larder, *command.split(), "--help"], capture_output=True, text=True).stdout
        return None if f"USAGE: larder {command}" in said else f"this larder has no `{command}`"

    def prepare(self):
        self.network.push(self.image, self.tag, self.repository)
        self.store = os.path.join(self.disk, "store")
        self.programs = [[self.larder, "--version"]]

    @property
    def repository(self):
        return f"bench/{self.image.name}-{recipe()}{self.suffix}"

    def mount(self):
        self.daemon = started([self.larder, "mount", "--foreground", "--store", self.store, *self.options, "--tree", f"images/{self.reference}", self.root],
                              lambda: os.path.ismount(self.root), os.path.join(self.disk, "log"))
        return self.root

    def bring(self):
        return self.mount()

    def close(self):
        if self.daemon is None:
            return
        try:
            run([self.larder, "umount", self.root])
        except Failed:
            # Whatever is wrong with it, the next one begins on a clean disk.
            self.daemon.kill()
            unmount(self.root)
            raise
        finally:
            stopped(self.daemon)


class LarderPull(Larder):
    name = "larder pull"
    says = "larder pull, then the mount"

    def bring(self):
        run([self.larder, "pull", "-q", "--store", self.store, self.reference])
        return self.mount()


class LarderEstargz(Larder):
    name = "larder, eStargz"
    says = "the image converted by ctr-remote"
    tag, suffix = "estargz", "-estargz"


class LarderIndex(Larder):
    """Plain gzip beside which `larder index push` has put an index. What a binary writes stays with that binary."""

    name = "larder, index"
    says = "plain gzip with a pushed index"
    pushing = ["--no-profile"]

    @classmethod
    def unusable(cls):
        return cls.lacks("index push")

    @classmethod
    def build(cls):
        status = os.stat(cls.larder)
        return hashlib.sha256(f"{status.st_size} {status.st_mtime_ns}".encode()).hexdigest()[:8]

    @property
    def suffix(self):
        return f"-index-{self.build()}"

    def record(self, store, reference):
        pass

    def prepare(self):
        super().prepare()
        done = os.path.join(self.network.storage, self.repository.replace("/", "-") + ".json")
        if os.path.exists(done):
            return
        store, reference = os.path.join(self.disk, "author"), f"{self.network.direct}/{self.repository}:1"
        run([self.larder, "pull", "-q", "--store", store, reference])
        begun = time.perf_counter()
        self.record(store, reference)
        recorded = time.perf_counter()
        run([*BOUNDED, self.larder, "index", "push", "--store", store, *self.pushing, reference])
        with open(done, "w") as file:
            json.dump({"record": recorded - begun, "push": time.perf_counter() - recorded}, file)
        shutil.rmtree(store)


class LarderProfile(LarderIndex):
    name = "larder, index + profile"
    says = "plain gzip with a pushed index and a recorded profile of this work"
    pushing = []

    @classmethod
    def unusable(cls):
        return cls.lacks("index push") or cls.lacks("profile record")

    @property
    def suffix(self):
        return f"-profile-{self.chain}-{self.build()}"

    def record(self, store, reference):
        variables = "; ".join(f"export {name}={value}" for name, value in ENVIRONMENT.items())
        run([*BOUNDED, self.larder, "profile", "record", "--store", store, reference, "--", "sh", "-ec", f"{variables}; {self.script}"])


SYSTEMS = [System, Unpacked, Containerd, Ratarmount, Erofs, LarderPull, Larder, LarderEstargz, LarderIndex, LarderProfile]
