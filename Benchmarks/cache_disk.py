"""The disk that is measured on, and commands that say what was wrong."""
import contextlib
import os
import shutil
import subprocess
import time


class Failed(Exception):
    """A command that did not do its work, with the last thing it said."""


def run(command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", stdin=subprocess.DEVNULL, timeout=1800, **options)
    if done.returncode:
        said = " / ".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-3:])
        raise Failed(f"{os.path.basename(command[0])}: {said[-400:] or f'exit status {done.returncode}'}")
    return done.stdout


def host():
    """What the figures depend on, in words."""
    try:
        with open("/sys/module/fuse/parameters/enable_uring") as parameter:
            rings = "on" if parameter.read(1) == "Y" else "off"
    except OSError:
        rings = "absent"
    return f"Linux {os.uname().release}, {os.cpu_count()} cores, FUSE over io_uring {rings}"


class Disk:
    """A filesystem in an image on the disk that is measured, made anew for each run: every system finds it alike, whatever was
    deleted before. (Without a journal ext4 takes no inode that was freed in the last minute, and looks for one at each create:
    20,000 files after deleting as many took 10 s instead of 0.5.)"""

    size = 12 << 30

    def __init__(self, scratch, name, mkfs):
        self.image, self.point, self.mkfs = os.path.join(scratch, f"{name}.img"), os.path.join(scratch, name), mkfs.split()
        os.makedirs(self.point)
        with open(self.image, "wb") as file:
            file.truncate(self.size)
        # Not --direct-io: writing back random pages would take a request to the disk for each.
        self.device = run(["losetup", "--find", "--show", self.image]).strip()

    @contextlib.contextmanager
    def fresh(self):
        run([*self.mkfs, self.device])
        # What ext4 has put off must not be done in the background while the clock runs.
        run(["mount", *(["-o", "noinit_itable"] if "ext4" in self.mkfs[0] else []), self.device, self.point])
        try:
            yield self.point
        finally:
            unmount(self.point)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        run(["losetup", "--detach", self.device])


def unmount(point):
    # What has just closed its files may still be there for a moment.
    for _ in range(100):
        if subprocess.call(["umount", point], stderr=subprocess.DEVNULL) == 0 or not os.path.ismount(point):
            return
        time.sleep(0.05)
    holders = subprocess.run(["fuser", "-vm", point], capture_output=True, text=True).stderr if shutil.which("fuser") else ""
    subprocess.call(["umount", "-l", point])
    raise Failed(f"{point} is still in use {holders.strip()}")


def drop_caches():
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("3")
