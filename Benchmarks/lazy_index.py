"""What an index weighs, and what it costs to make one while a layer is decompressed."""
import glob
import json
import os
import struct
import urllib.error
import urllib.request

from cache_disk import Failed, run
from cache_systems import ROOT, TOOLS
from lazy_images import recipe
from lazy_systems import MEGABYTE, LarderIndex
from lazy_works import COST, INDEX

# Sources/TreeIndex/IndexFormat.swift
SECTIONS = {"nodes": 96, "children": 4, "heap": 1, "attributes": 1, "runs": 24, "spans": 80, "chunks": 64, "objects": 40, "layers": 96, "starts": 16, "windows": 1}
SPACING = 2 << 20


def checkpoints_program():
    """The decompressor of this checkout in a program of its own, compiled when a source is newer."""
    sources = {name: glob.glob(os.path.join(ROOT, "Sources", name, "**/*.swift"), recursive=True) for name in ("OCI", "Archive")}
    own, binary = os.path.join(ROOT, "Benchmarks/checkpoints.swift"), os.path.join(TOOLS, "checkpoints")
    if os.path.exists(binary) and os.path.getmtime(binary) > max(map(os.path.getmtime, [own, *sources["OCI"], *sources["Archive"]])):
        return binary
    os.makedirs(TOOLS, exist_ok=True)
    flags = ["swiftc", "-O", "-wmo", "-swift-version", "6", "-enable-upcoming-feature", "ExistentialAny", "-parse-as-library", "-I", TOOLS]
    for library in ("CCrypto", "CIsal", "CZlib", "CZstd"):
        flags += ["-Xcc", f"-fmodule-map-file={ROOT}/Sources/{library}/module.modulemap"]
    objects = []
    for name, files in sources.items():
        objects.append(os.path.join(TOOLS, f"{name}.o"))
        run([*flags, "-module-name", name, "-emit-module", "-emit-module-path", os.path.join(TOOLS, f"{name}.swiftmodule"), "-emit-object", "-o", objects[-1], *files])
    run([*flags, "-module-name", "Checkpoints", "-o", binary, own, *objects, "-lcrypto", "-lisal", "-lz", "-lzstd"])
    return binary


def weigh(path):
    """(content bytes, bytes by section, bytes of the file) of a layer's index, nothing for a snapshot's."""
    with open(path, "rb") as file:
        header = file.read(344)
    magic, version, what = struct.unpack_from("<8sIB", header)
    if magic != b"LARDRIDX" or version != 2:
        raise Failed(f"{path} is no index of version 2")
    counts = [struct.unpack_from("<QQ", header, 168 + 16 * number)[1] for number in range(len(SECTIONS))]
    return None if what == 1 else (struct.unpack_from("<Q", header, 160)[0], {name: count * SECTIONS[name] for name, count in zip(SECTIONS, counts)}, os.path.getsize(path))


def pushed(network, repository, digest):
    """Bytes of the blobs that `index push` has put beside an image, by way of the tag that stands in for the referrers API."""
    def get(reference):
        kinds = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json"
        with urllib.request.urlopen(urllib.request.Request(f"http://{network.direct}/v2/{repository}/manifests/{reference}", headers={"Accept": kinds})) as answer:
            return json.load(answer)
    try:
        artifacts = [get(one["digest"]) for one in get(digest.replace(":", "-"))["manifests"]]
    except urllib.error.HTTPError:
        return None
    return sum(layer["size"] for artifact in artifacts for layer in artifact["layers"])


def report(image, disk, network, larder):
    """Prints the figures of one image; returns those that have a limit."""
    asked = []
    repository = f"bench/{image.name}-{recipe()}"
    network.push(image, "gzip", repository)
    with disk.fresh() as point:
        store = os.path.join(point, "store")
        run([larder, "pull", "-q", "--store", store, f"{network.direct}/{repository}:1"])
        files = {os.stat(path).st_ino: path for path in glob.glob(os.path.join(store, "trees/sha256/*.index"))}
        try:
            weights = [weight for weight in map(weigh, files.values()) if weight]
        except Failed as error:
            print(f"  index: {error}")
            weights = []
    # Under two names an index may be two files.
    weights = list({json.dumps(weight): weight for weight in weights}.values())
    if weights:
        content = sum(weight[0] for weight in weights)
        starts = sum(weight[1][name] for weight in weights for name in ("spans", "starts", "windows"))
        whole = sum(weight[2] for weight in weights)
        tree = sum(weight[1][name] for weight in weights for name in ("nodes", "children", "heap", "attributes"))
        sent = pushed(network, f"bench/{image.name}-{recipe()}-index-{LarderIndex.build()}", image.manifest()[0])
        print(f"\n  index of {content / MEGABYTE:.0f} MB: spans, starts and windows {starts:,} bytes ({starts / content:.3%}; SOCI's windows: 0.78%), the tree {tree:,} ({tree / content:.3%}), "
              f"whole files {whole:,} ({whole / content:.3%}), as pushed {f'{sent:,} ({sent / content:.3%})' if sent else '-'}")
        asked.append((f"{image.name}: spans, starts and windows, % of the content", 100 * starts / content, 100 * INDEX))
    try:
        blobs = [image.blob(layer["digest"]) for layer in image.manifest()[1]["layers"]]
        plain, cut = (int(word) for word in run([checkpoints_program(), "3", str(SPACING), *blobs]).split())
        print(f"  making it: {plain / 1e9:.2f} s CPU to decompress the layers, {cut / 1e9:.2f} s with checkpoints ({cut / plain - 1:+.1%})")
        asked.append((f"{image.name}: decompression with checkpoints, as a multiple of without", cut / plain, COST))
    except (Failed, OSError) as error:
        print(f"  what making it costs is not known: {error}")
    return asked
