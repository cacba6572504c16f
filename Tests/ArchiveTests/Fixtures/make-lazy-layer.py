"""Writes a lazily readable layer to argv[1] and its annotations to argv[2]: a small encoder of its own, after the format
documents. argv[3] is podman (zstd:chunked of containers/storage), grouped (eStargz with several files in one gzip member) or
legacy (the same with the 47-byte footer of stargz); argv[4] is a seed."""
import base64, gzip, hashlib, io, json, random, struct, subprocess, sys, tarfile

blob_path, annotations_path, form, seed = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
choose = random.Random(seed)
zstd = form == "podman"
sha = lambda data: "sha256:" + hashlib.sha256(data).hexdigest()
blob, member = bytearray(), bytearray()

def compress(data):
    if zstd:
        return subprocess.run(["zstd", "-q", "-c"], input=bytes(data), stdout=subprocess.PIPE, check=True).stdout
    return gzip.compress(bytes(data), mtime=0)

def flush():
    """Ends the gzip member or zstd frame; the next byte begins a new one."""
    if member:
        blob.extend(compress(member))
        member.clear()
    return len(blob)

def header(info):
    return info.tobuf(tarfile.PAX_FORMAT)

entries = []
for number in range(choose.randint(1, 25)):
    name = f"d{choose.randrange(4)}/f{number}-\u00e9\"\\\n"
    info = tarfile.TarInfo(name)
    info.mtime, info.mode, info.uid, info.gid = 1_600_000_000 + number, choose.choice([0o644, 0o4755, 0o1777]), number, 70000
    base = {"name": name, "mode": info.mode, "uid": number, "gid": 70000, "modtime": f"2020-09-13T14:26:{40 + number % 20:02}.000000000+02:00"}
    info.mtime = 1_600_000_000 + number % 20
    kind = choose.choice(["reg"] * 5 + ["dir", "symlink", "char"])
    if kind != "reg":
        if kind == "dir":
            base["name"] += "/"  # as tarfile writes it
        info.type = {"dir": tarfile.DIRTYPE, "symlink": tarfile.SYMTYPE, "char": tarfile.CHRTYPE}[kind]
        if kind == "symlink":
            base["linkName"] = info.linkname = "../" + name
        if kind == "char":
            base["devMajor"], base["devMinor"] = info.devmajor, info.devminor = 5, 300
        entries.append({"type": kind, **base})
        member.extend(header(info))
        continue
    pieces = [choose.choice([choose.randbytes, bytes])(choose.choice([1, 700, 5000])) for _ in range(choose.randint(0, 4))]
    data = b"".join(pieces)
    info.size = len(data)
    info.pax_headers = {"SCHILY.xattr.user.n": "v"}
    base["xattrs"] = {"user.n": base64.b64encode(b"v").decode()}
    member.extend(header(info))
    file = [{"type": "reg", **base, "size": len(data), "digest": sha(data)}]
    at = 0
    for index, piece in enumerate(pieces):
        # Podman begins a frame at every chunk; grouped eStargz only now and then.
        if zstd or choose.random() < 0.4:
            flush()
        chunk = file[0] if index == 0 else {"type": "chunk", "name": name}
        if index > 0:
            file.append(chunk)
        chunk["offset"] = len(blob)
        if member:
            chunk["innerOffset"] = len(member)
        if at:
            chunk["chunkOffset"] = at
        if len(pieces) > 1 and (zstd or index + 1 < len(pieces)):
            chunk["chunkSize"] = len(piece)
        if len(pieces) > 1 or not zstd:
            chunk["chunkDigest"] = sha(piece)
        if zstd and len(pieces) > 1 and not any(piece):
            chunk["chunkType"] = "zeros"
        member.extend(piece)
        at += len(piece)
    if zstd and data:
        file[0]["endOffset"] = flush()
    member.extend(bytes(-len(data) % 512))
    entries.extend(file)

toc = json.dumps({"version": 1, "entries": entries, "ignored": [{"a": [1.5e3, True, None]}]}, ensure_ascii=choose.random() < 0.5).encode()
if zstd:
    member.extend(bytes(1024))
    flush()
    skippable = lambda data: struct.pack("<II", 0x184D2A50, len(data)) + data
    packed, split = compress(toc), compress(b"tar-split")
    offset = len(blob) + 8
    blob += skippable(packed) + skippable(split)
    blob += skippable(struct.pack("<7Q", offset, len(packed), len(toc), 1, offset + len(packed) + 8, len(split), 9) + b"GNUlInUx")
    annotations = {"io.github.containers.zstd-chunked.manifest-checksum": sha(packed),
                   "io.github.containers.zstd-chunked.manifest-position": f"{offset}:{len(packed)}:{len(toc)}:1"}
else:
    offset = flush()
    info = tarfile.TarInfo("stargz.index.json")
    info.size = len(toc)
    member.extend(header(info) + toc + bytes(-len(toc) % 512 + 1024))
    flush()
    field = b"%016xSTARGZ" % offset
    field = field if form == "legacy" else b"SG" + struct.pack("<H", len(field)) + field
    blob += b"\x1f\x8b\x08\x04\0\0\0\0\0\xff" + struct.pack("<H", len(field)) + field + b"\x01\0\0\xff\xff" + bytes(8)
    annotations = {"containerd.io/snapshot/stargz/toc.digest": sha(toc)}

open(blob_path, "wb").write(blob)
open(annotations_path, "w").write("".join(f"{key}={value}\n" for key, value in annotations.items()))
