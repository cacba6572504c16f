"""The images that are mounted: real packages in ordinary gzip layers, and 60,000 small files. Made once on a host."""
import contextlib
import hashlib
import io
import json
import os
import random
import shutil
import stat
import subprocess
import sys
import tarfile

from cache_disk import Failed, run

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "Tests/Fixtures"))
from fixtures import conversion, layout  # noqa: E402

APT = "DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 --no-install-recommends"
CLEAN = "apt-get clean && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/log/apt /var/log/dpkg.log"
WHEELS = ["numpy==2.1.3", "scipy==1.14.1", "pandas==2.2.3"]


def say(text):
    print(f"  making {text} (once on this host)", file=sys.stderr, flush=True)


class Tar:
    """One layer: a tar through `gzip -6`, as `docker build` writes it. Digests of both are taken on the way."""

    def __init__(self, target, scratch):
        self.target, self.path = target, os.path.join(scratch, "layer.gz")
        self.uncompressed = hashlib.sha256()
        self.output = open(self.path, "wb")
        self.gzip = subprocess.Popen(["gzip", "-6", "-n"], stdin=subprocess.PIPE, stdout=self.output)
        self.size = 0
        self.tar = tarfile.open(mode="w|", fileobj=self, format=tarfile.PAX_FORMAT, bufsize=1 << 20)

    def write(self, data):
        self.uncompressed.update(data)
        self.size += len(data)
        self.gzip.stdin.write(data)

    def finish(self):
        """(diff id, descriptor, uncompressed size)"""
        self.tar.close()
        self.gzip.stdin.close()
        if self.gzip.wait():
            raise Failed("gzip failed")
        self.output.close()
        name = run(["sha256sum", self.path]).split()[0]
        size = os.path.getsize(self.path)
        shutil.move(self.path, self.target.path / "blobs/sha256" / name)
        return "sha256:" + self.uncompressed.hexdigest(), {"mediaType": layout.LAYER + "+gzip", "digest": "sha256:" + name, "size": size}, self.size


def add_tree(tar, top):
    """All of a directory in order of names; what overlayfs removed becomes OCI's whiteouts."""
    for directory, directories, files in os.walk(top):
        directories.sort()
        inside = os.path.relpath(directory, top)
        if inside != ".":
            tar.add(directory, inside, recursive=False)
            if "trusted.overlay.opaque" in os.listxattr(directory):
                tar.addfile(tarfile.TarInfo(os.path.join(inside, ".wh..wh..opq")))
        for name in sorted(files + [d for d in directories if os.path.islink(os.path.join(directory, d))]):
            path = os.path.join(directory, name)
            status = os.lstat(path)
            if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
                tar.addfile(tarfile.TarInfo(os.path.normpath(os.path.join(inside, ".wh." + name))))
            elif not stat.S_ISSOCK(status.st_mode):
                tar.add(path, os.path.normpath(os.path.join(inside, name)), recursive=False)


class Build:
    """Layers on top of each other: each is what a command changed in a chroot, seen by overlayfs."""

    def __init__(self, target, scratch):
        self.target, self.scratch, self.lower, self.layers = target, scratch, [], []

    def add(self, top):
        writer = Tar(self.target, self.scratch)
        add_tree(writer.tar, top)
        self.layers.append(writer.finish())

    def bottom(self, top):
        self.lower = [top]
        self.add(top)

    def step(self, script, host=None):
        """`script` runs in the image; before it, `host` may put files into it."""
        number = len(self.lower)
        upper, work, merged = (os.path.join(self.scratch, f"{kind}{number}") for kind in ("upper", "work", "merged"))
        for directory in (upper, work, merged):
            os.makedirs(directory)
        # Nothing that points into other directories of the upper one: a layer has no way to say it.
        run(["mount", "-t", "overlay", "overlay", "-o", f"lowerdir={':'.join(self.lower)},upperdir={upper},workdir={work},redirect_dir=off,metacopy=off,index=off", merged])
        try:
            if host:
                host(merged)
            with chroot_mounts(merged):
                shutil.copy("/etc/resolv.conf", os.path.join(self.scratch, "resolv.conf"))
                run(["mount", "--bind", os.path.join(self.scratch, "resolv.conf"), os.path.join(merged, "etc/resolv.conf")])
                try:
                    run(["chroot", merged, "sh", "-ec", script], env={**os.environ, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"})
                finally:
                    run(["umount", os.path.join(merged, "etc/resolv.conf")])
        finally:
            run(["umount", merged])
        self.lower.insert(0, upper)
        self.add(upper)

    def finish(self, tag):
        self.target.image(tag, [diff for diff, _, _ in self.layers], [descriptor for _, descriptor, _ in self.layers])
        return sum(size for _, _, size in self.layers)


@contextlib.contextmanager
def chroot_mounts(root):
    """What a command expects to find: /proc, /dev, an empty /tmp."""
    mounts = [(["-t", "proc", "proc"], "proc"), (["--bind", "/dev"], "dev"), (["-t", "tmpfs", "tmpfs"], "tmp")]
    done = []
    try:
        for arguments, name in mounts:
            run(["mount", *arguments, os.path.join(root, name)])
            done.append(name)
        yield
    finally:
        for name in reversed(done):
            run(["umount", "-l", os.path.join(root, name)])


def debian(cache):
    """A minimal Debian 12, the lowest layer of both images with packages."""
    base = os.path.join(cache, "debian")
    if not os.path.exists(base):
        say("a minimal Debian 12, by debootstrap")
        shutil.rmtree(base + ".partial", ignore_errors=True)
        run(["debootstrap", "--variant=minbase", "bookworm", base + ".partial"])
        run(["chroot", base + ".partial", "sh", "-ec", CLEAN])
        os.rename(base + ".partial", base)
    return base


def make_python(build, cache):
    build.bottom(debian(cache))
    build.step(f"{APT} update; {APT} install -y python3 ca-certificates; {CLEAN}")

    def wheels(root):
        target = os.path.join(root, "usr/local/lib/python3.11/dist-packages")
        run([sys.executable, "-m", "pip", "install", "-q", "--no-compile", "--only-binary=:all:", "--platform=manylinux2014_x86_64", "--platform=manylinux_2_27_x86_64",
             "--python-version=3.11", "--implementation=cp", "--root-user-action=ignore", "--target", target, *WHEELS])
    build.step("python3 -m compileall -q /usr/local/lib/python3.11/dist-packages || true", wheels)
    build.step("mkdir /app && echo 'import numpy, scipy, pandas' > /app/main.py")


def make_go(build, cache):
    build.bottom(debian(cache))
    build.step(f"{APT} update; {APT} install -y ca-certificates git gcc g++ make pkg-config libc6-dev; {CLEAN}")
    build.step(f"{APT} update; {APT} install -y golang-go; {CLEAN}")
    build.step("""mkdir -p /src/hello; cd /src/hello; printf 'module hello\\n\\ngo 1.19\\n' > go.mod
printf 'package main\\n\\nimport "fmt"\\n\\nfunc main() { fmt.Println("hello") }\\n' > main.go""")


def words(source):
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    return ["".join(source.choices(letters, weights=range(52, 0, -2), k=source.randint(2, 11))) for _ in range(5000)]


def text(source, vocabulary, cumulative, size):
    """Words by Zipf's law in lines: gzip makes about a third of it, as of source code."""
    parts, length = [], 0
    while length < size:
        line = " " * source.choice((0, 0, 4, 8)) + " ".join(source.choices(vocabulary, cum_weights=cumulative, k=source.randint(4, 13))) + source.choice((".", ";", ",", "()", ""))
        parts.append(line)
        length += len(line) + 1
    return ("\n".join(parts) + "\n").encode()[:size]


SMALL_FILES = 60_000


def make_busybox(build):
    """As much of a system as it takes to run a shell."""
    root = os.path.join(build.scratch, "busybox")
    for directory in ("bin", "dev", "etc", "proc", "tmp"):
        os.makedirs(os.path.join(root, directory))
    run(["apt-get", "-qq", "download", "busybox-static"], cwd=build.scratch)
    [package] = [name for name in os.listdir(build.scratch) if name.startswith("busybox-static")]
    run(["dpkg-deb", "-x", package, "package"], cwd=build.scratch)
    shutil.copy(os.path.join(build.scratch, "package/bin/busybox"), os.path.join(root, "bin/busybox"))
    for name in ("sh", "cat", "find", "tar", "xargs", "awk"):
        os.symlink("busybox", os.path.join(root, "bin", name))
    with open(os.path.join(root, "etc/os-release"), "w") as file:
        file.write("ID=busybox\n")
    build.bottom(root)


def make_small(build, _):
    """Three layers of 20,000 files of 0.5 to 8 KiB each: packages with a few directories and a dozen files, as node_modules has."""
    make_busybox(build)
    source = random.Random(4)
    vocabulary = words(source)
    cumulative, total = [], 0.0
    for rank in range(len(vocabulary)):
        total += 1 / (rank + 2)
        cumulative.append(total)
    for layer in range(3):
        writer = Tar(build.target, build.scratch)

        def add(path, data=None):
            info = tarfile.TarInfo(path)
            info.mtime = 1_700_000_000 + layer
            info.mode, info.type = (0o755, tarfile.DIRTYPE) if data is None else (0o644, tarfile.REGTYPE)
            info.size = len(data or b"")
            writer.tar.addfile(info, None if data is None else io.BytesIO(data))

        add("srv")
        add(f"srv/set{layer}")
        count = number = 0
        while count < SMALL_FILES // 3:
            top = f"srv/set{layer}/{source.choice(vocabulary)}-{number}"
            number += 1
            directories = [top] + [f"{top}/{name}" for name in source.sample(["lib", "src", "test", "dist", "types", "docs"], source.randint(1, 4))]
            for directory in directories:
                add(directory)
                for index in range(min(source.randint(2, 9), SMALL_FILES // 3 - count)):
                    size = int(512 * 16 ** source.random())
                    add(f"{directory}/{source.choice(vocabulary)}{index}.{source.choice(('js', 'json', 'md', 'ts'))}", text(source, vocabulary, cumulative, size))
                    count += 1
        build.layers.append(writer.finish())


MAKERS = {"python": make_python, "go": make_go, "small": make_small}


def recipe():
    with open(__file__, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()[:12]


class Image:
    """One image in the cache: an OCI layout with the tags gzip and estargz, the tree that umoci makes of it, an erofs of that tree."""

    def __init__(self, name, directory):
        self.name, self.directory = name, directory
        self.layout = layout.Layout(os.path.join(directory, "layout"))
        self.plain = os.path.join(directory, "unpacked/rootfs")
        self.erofs = os.path.join(directory, "image.erofs")
        with open(os.path.join(directory, "facts.json")) as file:
            facts = json.load(file)
        self.uncompressed, self.compressed, self.layers, self.files = (facts[key] for key in ("uncompressed", "compressed", "layers", "files"))

    def blob(self, digest):
        return os.path.join(self.layout.path, "blobs/sha256", digest.split(":")[1])

    def manifest(self, tag="gzip"):
        with open(os.path.join(self.layout.path, "index.json")) as file:
            [descriptor] = [m for m in json.load(file)["manifests"] if m["annotations"]["org.opencontainers.image.ref.name"] == tag]
        with open(self.blob(descriptor["digest"])) as file:
            return descriptor["digest"], json.load(file)


def make(name, cache, scratch):
    """The image `name`, made if it is not in the cache."""
    final = os.path.join(cache, f"{name}-{recipe()}")
    if not os.path.exists(final):
        partial = final + ".partial"
        shutil.rmtree(partial, ignore_errors=True)
        os.makedirs(partial)
        say(f"{name}: gzip layers")
        build = Build(layout.Layout(os.path.join(partial, "layout")), scratch)
        MAKERS[name](build, cache)
        uncompressed = build.finish("gzip")
        say(f"{name}: the tree by umoci, and erofs")
        run(["umoci", "--log=error", "unpack", "--image", f"{partial}/layout:gzip", f"{partial}/unpacked"])
        run(["mkfs.erofs", "-zlz4hc", f"{partial}/image.erofs", f"{partial}/unpacked/rootfs"])
        say(f"{name}: eStargz by ctr-remote")
        with conversion.containerd() as converter:
            converter.convert(build.target, "gzip", "estargz", "--estargz")
        with open(os.path.join(partial, "facts.json"), "w") as file:
            json.dump({"uncompressed": uncompressed, "compressed": sum(layer["size"] for _, layer, _ in build.layers), "layers": len(build.layers),
                       "files": int(run(["sh", "-c", f"find {partial}/unpacked/rootfs -type f | wc -l"]))}, file)
        os.rename(partial, final)
    return Image(name, final)


if __name__ == "__main__":
    import tempfile
    place = sys.argv[2] if len(sys.argv) > 2 else "/var/cache/larder-benchmarks"
    with tempfile.TemporaryDirectory(prefix="larder-bench-", dir="/var/tmp") as work:
        made = make(sys.argv[1], place, work)
        print(made.directory, made.uncompressed, made.compressed, made.layers, made.files)
