"""Attaches SOCI indexes to images in a registry (soci/soci_index.go, soci_convert.go)."""
import json
import urllib.error
import urllib.request
from urllib.parse import urljoin, urlsplit

from .ztoc import digest

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
ACCEPT = ", ".join([INDEX, MANIFEST, "application/vnd.docker.distribution.manifest.v2+json", "application/vnd.docker.distribution.manifest.list.v2+json"])
EMPTY = b"{}"
DAMAGES = ["digest", "window", "names", "sizes"]


class Repository:
    def __init__(self, name):
        """`name`: http://HOST/NAME:TAG"""
        parts = urlsplit(name)
        path, self.tag = parts.path[1:].rsplit(":", 1)
        self.base = f"{parts.scheme}://{parts.netloc}/v2/{path}/"

    def call(self, method, path, data=None, headers=None):
        request = urllib.request.Request(urljoin(self.base, path), data=data, method=method, headers=headers or {})
        with urllib.request.urlopen(request) as answer:
            return answer.headers, answer.read()

    def manifest(self, reference):
        headers, data = self.call("GET", f"manifests/{reference}", headers={"Accept": ACCEPT})
        return data, headers["Content-Type"]

    def blob(self, name):
        return self.call("GET", f"blobs/{name}")[1]

    def put_blob(self, data):
        headers, _ = self.call("POST", "blobs/uploads/", b"")
        location = urljoin(self.base, headers["Location"])
        self.call("PUT", location + ("&" if "?" in location else "?") + "digest=" + digest(data), data, {"Content-Type": "application/octet-stream"})

    def put_manifest(self, data, media_type, reference=None):
        self.call("PUT", f"manifests/{reference or digest(data)}", data, {"Content-Type": media_type})
        return dict(mediaType=media_type, digest=digest(data), size=len(data))


def push(name, version, build, damage=None):
    """Makes the index, attaches it, and returns its digest. Version 2 makes the tag an image index."""
    repository = Repository(name)
    data, media_type = repository.manifest(repository.tag)
    manifest = json.loads(data)
    assert "layers" in manifest, "the tag names no single image"
    subject = dict(mediaType=media_type, digest=digest(data), size=len(data))
    ztocs = []
    for layer in manifest["layers"]:
        content = spoil(build(repository.blob(layer["digest"])), damage)
        repository.put_blob(content)
        ztocs.append(dict(mediaType="application/octet-stream", digest=digest(content), size=len(content), annotations={
            "com.amazon.soci.image-layer-digest": layer["digest"], "com.amazon.soci.image-layer-mediaType": layer["mediaType"],
            "com.amazon.soci.span-size": str(4 << 20),
        }))
    repository.put_blob(EMPTY)
    kind = f"application/vnd.amazon.soci.index.v{version}+json"
    index = dict(
        schemaVersion=2, mediaType=MANIFEST, artifactType=kind, config=dict(mediaType=kind, digest=digest(EMPTY), size=len(EMPTY)), layers=ztocs,
        annotations={"com.amazon.soci.build-tool-identifier": "soci-encode"},
    )
    if version == 1:
        index["subject"] = subject
        pushed = repository.put_manifest(json.dumps(index).encode(), MANIFEST)
        attach(repository, subject["digest"], dict(pushed, artifactType=kind, annotations=index["annotations"]))
        return pushed["digest"]
    del index["artifactType"]
    pushed = repository.put_manifest(json.dumps(index).encode(), MANIFEST)
    manifest.setdefault("annotations", {})["com.amazon.soci.index-digest"] = pushed["digest"]
    platform = {key: value for key, value in json.loads(repository.blob(manifest["config"]["digest"])).items() if key in ("architecture", "os", "variant")}
    image = repository.put_manifest(json.dumps(manifest).encode(), media_type)
    top = dict(schemaVersion=2, mediaType=INDEX, manifests=[
        dict(image, platform=platform),
        dict(pushed, artifactType=kind, platform=platform, annotations={"com.amazon.soci.image-manifest-digest": image["digest"]}),
    ])
    repository.put_manifest(json.dumps(top).encode(), INDEX, repository.tag)
    return pushed["digest"]


def attach(repository, subject, descriptor):
    """The tag that stands for the referrers API where a registry has none; one that has both answers the same."""
    tag = subject.replace(":", "-")
    try:
        known = json.loads(repository.manifest(tag)[0])["manifests"]
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise
        known = []
    top = dict(schemaVersion=2, mediaType=INDEX, manifests=known + [descriptor])
    repository.put_manifest(json.dumps(top).encode(), INDEX, tag)


def verify(name, check):
    """Holds the first SOCI index of version 1 that is attached to an image to the format; returns what its zTOCs hold."""
    repository = Repository(name)
    data, media_type = repository.manifest(repository.tag)
    referrers = json.loads(repository.manifest(digest(data).replace(":", "-"))[0])["manifests"]
    kind = "application/vnd.amazon.soci.index.v1+json"
    found = next(entry for entry in referrers if entry.get("artifactType") == kind)
    bytes = repository.manifest(found["digest"])[0]
    index = json.loads(bytes)
    assert (digest(bytes), len(bytes)) == (found["digest"], found["size"])
    assert index["mediaType"] == MANIFEST and index["subject"] == dict(mediaType=media_type, digest=digest(data), size=len(data))
    assert index["config"] == dict(mediaType=kind, digest=digest(EMPTY), size=2) and repository.blob(digest(EMPTY)) == EMPTY
    assert index["annotations"]["com.amazon.soci.build-tool-identifier"]
    layers = {layer["digest"]: layer["mediaType"] for layer in json.loads(data)["layers"]}
    report = []
    for entry in index["layers"]:
        layer = entry["annotations"]["com.amazon.soci.image-layer-digest"]
        assert entry["mediaType"] == "application/octet-stream" and entry["annotations"]["com.amazon.soci.image-layer-mediaType"] == layers[layer]
        content = repository.blob(entry["digest"])
        assert (digest(content), len(content)) == (entry["digest"], entry["size"])
        report.append(dict(check(repository.blob(layer), content), layer=layer))
    return report


def spoil(content, damage):
    """A lie of a kind that the format itself does not show."""
    if damage is None:
        return content
    content = bytearray(content)
    if damage == "digest":
        place = content.rindex(b"sha256:") + 7
        content[place:place + 8] = b"00000000" if content[place:place + 8] != b"00000000" else b"11111111"
    elif damage == "names":
        # A later member takes the first one's time: the spans are right, the tree is not.
        place = content.index(b"Z\0", content.index(b"T")) - 1
        content[place] = ord("1") if content[place] != ord("1") else ord("2")
    elif damage == "window":
        middle = len(content) // 2
        content[middle:middle + 4096] = bytes(4096)
    return bytes(content)
