"""What the tools fetch: packages made here, the same on every host, served from this host alone. Nothing is downloaded."""
import base64
import contextlib
import gzip
import hashlib
import http.server
import io
import json
import os
import random
import ssl
import subprocess
import tarfile
import textwrap
import threading
import zipfile

from cache_disk import run


def filler(seed, size):
    """Text that compresses about as sources do."""
    source = random.Random(seed)
    words = ["".join(source.choices("abcdefghijklmnopqrstuvwxyz", k=source.randint(2, 9))) for _ in range(400)]
    text = " ".join(source.choices(words, k=size // 5 + 1))
    return text[:size].ljust(size, "x").encode()


def write(path, content):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def end_headers(self):
        if self.path.endswith((".whl", ".tgz")):
            self.send_header("Cache-Control", "max-age=31536000, immutable")
        super().end_headers()


@contextlib.contextmanager
def served(directory, certificate=None):
    """The port on loopback where `directory` is served, over TLS if there is a certificate."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), lambda *request: QuietHandler(*request, directory=directory))
    server.daemon_threads = True
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate + ".pem", certificate + ".key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def certificate(base):
    run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", base + ".key", "-out", base + ".pem"])
    return base


def wheel_index(directory, count):
    """A simple index (PEP 503) of wheels of 40 modules and 256 KiB that does not compress."""
    names = [f"bench-package-{number:02}" for number in range(count)]
    for number, name in enumerate(names):
        module, records, archive = name.replace("-", "_"), [], io.BytesIO()
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as wheel:
            members = {f"{module}/m{index:02}.py": b'"""' + filler(1000 * number + index, 6000) + b'"""\nVALUE = 1\n' for index in range(40)}
            members[f"{module}/__init__.py"] = b""
            members[f"{module}/data.bin"] = random.Random(number).randbytes(1 << 18)
            info = f"{module}-1.0.dist-info"
            members[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode()
            members[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: bench\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            for path, content in members.items():
                wheel.writestr(zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
                digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
                records.append(f"{path},sha256={digest},{len(content)}")
            wheel.writestr(zipfile.ZipInfo(f"{info}/RECORD", (2020, 1, 1, 0, 0, 0)), "\n".join([*records, f"{info}/RECORD,,"]) + "\n")
        file = f"{module}-1.0-py3-none-any.whl"
        write(f"{directory}/files/{file}", archive.getvalue())
        digest = hashlib.sha256(archive.getvalue()).hexdigest()
        write(f"{directory}/simple/{name}/index.html", f'<!DOCTYPE html><a href="../../files/{file}#sha256={digest}">{file}</a>\n'.encode())
    return names


def npm_project(registry, project, count):
    """Tarballs of 15 files, and a project whose lock file names them all. npm asks its configured registry for what the
    lock file says is at registry.npmjs.org."""
    packages = {"": {"name": "bench", "version": "1.0.0", "dependencies": {}}}
    for number in range(count):
        name, archive = f"bench-package-{number:03}", io.BytesIO()
        with gzip.GzipFile(fileobj=archive, mode="wb", mtime=0) as stream, tarfile.open(fileobj=stream, mode="w") as tar:
            members = {f"lib/m{index:02}.js": filler(1000 * number + index, 3000) for index in range(14)}
            members["package.json"] = json.dumps({"name": name, "version": "1.0.0"}).encode()
            for path, content in members.items():
                member = tarfile.TarInfo("package/" + path)
                member.size, member.mode = len(content), 0o644
                tar.addfile(member, io.BytesIO(content))
        write(f"{registry}/{name}/-/{name}-1.0.0.tgz", archive.getvalue())
        integrity = "sha512-" + base64.b64encode(hashlib.sha512(archive.getvalue()).digest()).decode()
        packages[""]["dependencies"][name] = "1.0.0"
        packages[f"node_modules/{name}"] = {"version": "1.0.0", "resolved": f"https://registry.npmjs.org/{name}/-/{name}-1.0.0.tgz", "integrity": integrity}
    write(f"{project}/package.json", json.dumps(packages[""]).encode())
    write(f"{project}/package-lock.json", json.dumps({"name": "bench", "version": "1.0.0", "lockfileVersion": 3, "requires": True, "packages": packages}).encode())


def apt_repository(directory, count):
    """A repository of packages of 1 MiB that does not compress."""
    entries = []
    for number in range(count):
        name = f"bench-package-{number:02}"
        control = f"Package: {name}\nVersion: 1.0\nArchitecture: all\nMaintainer: Bench <bench@localhost>\nDescription: filler\n"
        write(f"{directory}/build/DEBIAN/control", control.encode())
        write(f"{directory}/build/usr/share/{name}", random.Random(number).randbytes(1 << 20))
        run(["dpkg-deb", "--root-owner-group", "-Znone", "--build", f"{directory}/build", f"{directory}/{name}.deb"])
        os.unlink(f"{directory}/build/usr/share/{name}")
        with open(f"{directory}/{name}.deb", "rb") as file:
            content = file.read()
        entries.append(f"{control}Filename: ./{name}.deb\nSize: {len(content)}\nSHA256: {hashlib.sha256(content).hexdigest()}\n")
    write(f"{directory}/Packages", "\n".join(entries).encode())
    write(f"{directory}/status", b"")
    return [f"bench-package-{number:02}" for number in range(count)]


def go_modules(proxy, project, modules, files):
    """A module proxy over file://, and a go.mod that requires all of it."""
    required = []
    for number in range(modules):
        module, version = f"bench.test/module{number:02}", "v1.0.0"
        base, archive = f"{proxy}/{module}/@v/{version}", io.BytesIO()
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as bundle:
            prefix = f"{module}@{version}/"
            bundle.writestr(prefix + "go.mod", f"module {module}\n")
            for index in range(files):
                bundle.writestr(f"{prefix}p{index // 20:02}/f{index:03}.go", b"package p\n\n// " + filler(1000 * number + index, 3000) + b"\n")
        write(base + ".zip", archive.getvalue())
        write(base + ".mod", f"module {module}\n".encode())
        write(base + ".info", json.dumps({"Version": version, "Time": "2020-01-01T00:00:00Z"}).encode())
        write(f"{proxy}/{module}/@v/list", f"{version}\n".encode())
        required.append(f"require {module} {version}\n")
    write(f"{project}/go.mod", ("module bench.test/main\n\ngo 1.19\n\n" + "".join(required)).encode())


def git_repository(directory, files, commits):
    """A bare, packed repository as a server has it: `files` sources of 8 KiB on average (half below 4), 20 in a directory, and a
    history in which each commit changes three lines of three files."""
    run(["git", "init", "--quiet", "--bare", "--initial-branch=main", directory])
    source = random.Random(0)
    paths = [f"src/d{number // 20:03}/f{number:05}.txt" for number in range(files)]
    contents = [textwrap.wrap(filler(number, min(int(source.lognormvariate(8.3, 1.2)), 1 << 18) + 100).decode(), 72) for number in range(files)]
    with subprocess.Popen(["git", "-C", directory, "fast-import", "--quiet"], stdin=subprocess.PIPE) as importer:
        def commit(second, changed):
            importer.stdin.write(b"commit refs/heads/main\ncommitter Bench <bench@localhost> %d +0000\ndata 5\nbench\n" % (1577836800 + second))
            for number in changed:
                content = "\n".join(contents[number] + [""]).encode()
                importer.stdin.write(b"M 100644 inline %s\ndata %d\n%s\n" % (paths[number].encode(), len(content), content))

        commit(0, range(files))
        for second in range(1, commits):
            changed = source.sample(range(files), 3)
            for number in changed:
                for _ in range(3):
                    line = source.randrange(len(contents[number]))
                    contents[number][line] = f"{source.getrandbits(128):x} {contents[number][line]}"[:72]
            commit(second, changed)
    if importer.returncode:
        raise RuntimeError("git fast-import failed")
    run(["git", "-C", directory, "repack", "-adfq"])
