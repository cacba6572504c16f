"""What is done in each image, and what issue 4 asks for."""
import os

from cache_disk import Failed, run

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/tmp", "GOCACHE": "/tmp/gocache", "GOFLAGS": "-mod=mod", "GOPROXY": "off", "LANG": "C.UTF-8"}
# Every so manyth file is read: 460 of 60,000, spread over all of them.
EVERY = 130


class Work:
    """`script` runs in the image by its own shell, or, with `outside`, by the host's with the tree as $1. What it prints must be what it
    prints on the native disk. Targets are seconds from nothing: without and with a profile."""

    def __init__(self, name, script, index=None, profile=None, outside=None, warm=1.1, measured=None):
        self.name, self.script, self.outside, self.measured = name, script, outside, measured
        self.targets, self.warm = {"larder, index": index, "larder, index + profile": profile}, warm

    def run(self, root):
        if self.outside:
            return run(["bash", "-o", "pipefail", "-ec", self.outside, "bash", root])
        return run(["chroot", root, "sh", "-ec", self.script], env=ENVIRONMENT)


PYTHON = Work("import", "python3 -c 'import numpy, scipy, pandas; print(pandas.DataFrame(numpy.eye(3)).shape)'", index=8, profile=3.5,
              measured="full pull 12.6, stargz on eStargz 18.7, with a recorded order 5.2, plain disk 1.8")
# -a: with the packages that Debian precompiled left aside, as they are not there in any Go since 1.20.
GO = Work("go build", "cd /src/hello && go build -a -o /tmp/hello . && /tmp/hello", index=15, profile=13,
          measured="full pull 16.9, stargz on eStargz 16.9, with a recorded order 17.2, plain disk 11.1")
WALK = Work("walk", "find / -xdev -type f -size +1 | awk 'END { print NR }'", index=3, profile=2,
            outside="find \"$1\" -xdev -type f -printf '%s\\n' | awk '{ n += 1; s += $1 } END { print n, s }'",
            measured="full pull 19.4, stargz on eStargz 12.8, with a recorded order 12.6, plain disk 0.4; warm 0.55 unpacked, 1.6 stargz")
READ = Work("walk + 460 files", f"cd /; find srv -xdev -type f | LC_ALL=C busybox sort | awk 'NR % {EVERY} == 0' | xargs cat | busybox wc -c", index=3, profile=2,
            outside=f"cd \"$1\"; find srv -xdev -type f | LC_ALL=C sort | awk 'NR % {EVERY} == 0' | xargs cat | sha256sum")
TAR = Work("tar c", "tar -cf - /srv | busybox wc -c", warm=1.3, outside="tar -C \"$1\" --one-file-system -cf - srv | wc -c",
           measured="pull, unpack and read 21, stargz 114; hot 14.8 stargz, 1.2 plain")

# A chain is done in one go, its times are all from the beginning; another chain begins from nothing.
CHAINS = {"python": {"import": [PYTHON]}, "go": {"build": [GO]}, "small": {"walk": [WALK, READ], "tar": [TAR]}}
FIRST_FILE = "etc/os-release"
# Largest resident memory of the daemon, bytes; largest size of checkpoints, spans and windows as a part of the content; most that
# decompression with checkpoints may take, as a multiple of without.
MEMORY, INDEX, COST = 150e6, 0.003, 1.1


def first_file(root):
    with open(os.path.join(root, FIRST_FILE), "rb") as file:
        if b"ID=" not in file.read():
            raise Failed(f"{root}/{FIRST_FILE} is not what it was")
