"""A registry, and the link to it: latency, bandwidth, counts."""
import contextlib
import glob
import os
import re
import subprocess
import urllib.request

from cache_disk import Failed, run
from cache_systems import ROOT, TOOLS
from lazy_images import recipe

from fixtures import registry


def link_program():
    """The proxy, compiled when its source is newer."""
    source, binary = os.path.join(ROOT, "Benchmarks/lazy-link.c"), os.path.join(TOOLS, "lazy-link")
    if not os.path.exists(binary) or os.path.getmtime(binary) < os.path.getmtime(source):
        os.makedirs(TOOLS, exist_ok=True)
        run(["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", binary, source, "-lpthread"])
    return binary


def link_speed(text):
    """(microseconds of a round trip, bytes a second) from `20ms,100MB/s`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)ms,(\d+(?:\.\d+)?)MB/s", text)
    if not match or not float(match[2]):
        raise ValueError
    return int(float(match[1]) * 1000), int(float(match[2]) * 1e6)


def busy(log):
    """Seconds in which a request was under way, as the client saw it: from its last byte to the last of its answer."""
    open_at, last, spans = {}, {}, []

    def end(connection):
        if connection in open_at and connection in last:
            spans.append((open_at.pop(connection), last.pop(connection)))
    with open(log, errors="replace") as file:
        for line in file:
            kind, when, connection, _ = line.split(" ", 3)
            if kind == ">":
                end(connection)
                open_at[connection] = float(when)
            elif connection in open_at:
                last[connection] = float(when)
    for connection in list(open_at):
        end(connection)
    total, until = 0.0, 0.0
    for begin, over in sorted(spans):
        total += max(0.0, over - max(begin, until))
        until = max(until, over)
    return total


class Network:
    """`direct` is the registry itself, for preparing; `host` is the registry at the end of the link."""

    def __init__(self, direct, storage, speed):
        self.direct, self.storage = direct, storage
        self.proxy = subprocess.Popen([link_program(), direct.split(":")[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.host = f"127.0.0.1:{self.proxy.stdout.readline().strip()}"
        self.command(f"link {speed[0]} {speed[1]}")

    def command(self, line):
        self.proxy.stdin.write(line + "\n")
        self.proxy.stdin.flush()
        answer = self.proxy.stdout.readline().strip()
        if not answer or answer in ("unknown", "failed"):
            raise Failed(f"lazy-link: {line}: {answer or 'has ended'}")
        return answer

    def count(self):
        """Requests, bytes and connections since it was last asked."""
        return tuple(int(word) for word in self.command("count").split())

    def has(self, repository, tag="1"):
        return os.path.exists(os.path.join(self.storage, "docker/registry/v2/repositories", repository, "_manifests/tags", tag))

    def push(self, image, tag, repository):
        if not self.has(repository):
            registry.push(image.layout, tag, self.direct, repository, name="1")

    def push_blob(self, path, repository):
        """One file as a blob; its digest."""
        digest = "sha256:" + run(["sha256sum", path]).split()[0]
        begin = urllib.request.Request(f"http://{self.direct}/v2/{repository}/blobs/uploads/", method="POST", data=b"")
        with urllib.request.urlopen(begin) as answer:
            place = answer.headers["Location"]
        with open(path, "rb") as file:
            put = urllib.request.Request(f"{place}{'&' if '?' in place else '?'}digest={digest}", method="PUT", data=file,
                                         headers={"Content-Type": "application/octet-stream", "Content-Length": str(os.path.getsize(path))})
            urllib.request.urlopen(put).close()
        return digest

    def warm(self, repository):
        """The registry's own disk is in no figure: what it will send is in memory."""
        for link in glob.glob(os.path.join(self.storage, "docker/registry/v2/repositories", repository, "_layers/sha256/*/link")):
            with open(link) as file:
                name = file.read().split(":")[1]
            with contextlib.suppress(OSError), open(os.path.join(self.storage, "docker/registry/v2/blobs/sha256", name[:2], name, "data"), "rb", buffering=0) as file:
                while file.read(1 << 22):
                    pass

    def close(self):
        self.proxy.stdin.close()
        self.proxy.wait()


@contextlib.contextmanager
def network(cache, speed):
    storage = os.path.join(cache, f"registry-{recipe()}")
    os.makedirs(storage, exist_ok=True)
    with registry.registry(storage) as direct:
        link = Network(direct, storage, speed)
        try:
            yield link
        finally:
            link.close()
