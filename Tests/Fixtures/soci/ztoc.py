"""zTOCs as soci-snapshotter writes them (ztoc/fbs/ztoc.fbs, version 0.9), made and read back with Python's tarfile and zlib."""
import hashlib
import io
import struct
import tarfile
from datetime import datetime, timedelta, timezone
from decimal import ROUND_FLOOR, Decimal

from . import zran
from .flatbuffer import Builder, Table

SPAN = 4 << 20
TYPES = {
    tarfile.REGTYPE: b"reg", tarfile.AREGTYPE: b"reg", tarfile.DIRTYPE: b"dir", tarfile.SYMTYPE: b"symlink", tarfile.LNKTYPE: b"hardlink",
    tarfile.CHRTYPE: b"char", tarfile.BLKTYPE: b"block", tarfile.FIFOTYPE: b"fifo",
    # soci itself refuses "contiguous" files.
    tarfile.CONTTYPE: b"reg",
}


def raw(text):
    return text.encode("utf-8", "surrogateescape")


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def time_text(info):
    exact = Decimal(info.pax_headers.get("mtime", str(info.mtime)))
    seconds = int(exact.to_integral_value(ROUND_FLOOR))
    nanoseconds = int((exact - seconds) * 10**9)
    text = (datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")
    return (text + (f".{nanoseconds:09d}".rstrip("0") if nanoseconds else "") + "Z").encode()


def members(tar):
    """What soci writes down of every member, and where the archive ends."""
    found = []
    with tarfile.open(fileobj=io.BytesIO(tar), encoding="utf-8", errors="surrogateescape") as archive:
        for info in archive:
            if info.issparse() or info.type not in TYPES:
                raise ValueError(f"{info.name}: soci does not know members of this kind")
            regular = TYPES[info.type] == b"reg"
            found.append(dict(
                name=raw(info.name) + (b"/" if info.isdir() else b""), type=TYPES[info.type], offset=info.offset_data,
                size=info.size if regular else 0, link=raw(info.linkname), mode=info.mode, uid=info.uid, gid=info.gid, uname=raw(info.uname),
                gname=raw(info.gname), time=time_text(info), major=info.devmajor, minor=info.devminor,
                records={raw(key): raw(value) for key, value in info.pax_headers.items()},
            ))
    last = max((member["offset"] + -(-member["size"] // 512) * 512 for member in found), default=0)
    return found, min(last + 1024, len(tar))


def build(blob, span=SPAN, version=2):
    """The zTOC of a layer. Version 1 leaves out the first checkpoint, and of plain tar writes 20 bare bytes."""
    if blob[:2] == b"\x1f\x8b":
        tar, points = zran.checkpoints(blob, span)
        stored = points
        if version == 1:
            assert points[0][:3] == (10, 0, 0), "version 1 can only describe layers with a header of ten bytes"
            stored = points[1:]
        state = struct.pack("<iq", len(points), span) + b"".join(struct.pack("<qqB", *point[:3]) + point[3] for point in stored)
        starts = [point[0] - (1 if point[2] else 0) for point in points]
        ends = [point[0] for point in points[1:]] + [len(blob)]
        algorithm = None
    else:
        tar = blob
        starts = list(range(0, len(blob), span))
        ends = starts[1:] + [len(blob)]
        algorithm = 2
        if version == 1:
            state = struct.pack("<iqq", 2, span, len(blob))
        else:
            inner = Builder()
            state = inner.finish(inner.table([("i", 2), ("q", span), ("q", len(blob))]))
    toc, end = members(tar)
    builder = Builder()
    entries = []
    for member in toc:
        records = [
            builder.table([("ref", builder.string(key)), ("ref", builder.string(value))]) for key, value in sorted(member["records"].items())
        ]
        texts = {key: builder.string(member[key]) for key in ("name", "type", "link", "uname", "gname", "time")}
        numbers = {key: (kind, member[key]) if member[key] else None for key, kind in (
            ("offset", "q"), ("size", "q"), ("mode", "q"), ("uid", "I"), ("gid", "I"), ("major", "q"), ("minor", "q"))}
        entries.append(builder.table([
            ("ref", texts["name"]), ("ref", texts["type"]), numbers["offset"], numbers["size"], ("ref", texts["link"]), numbers["mode"],
            numbers["uid"], numbers["gid"], ("ref", texts["uname"]), ("ref", texts["gname"]), ("ref", texts["time"]), numbers["major"],
            numbers["minor"], ("ref", builder.references(records)),
        ]))
    contents = builder.table([("ref", builder.references(entries))])
    digests = builder.references([builder.string(digest(blob[start:stop]).encode()) for start, stop in zip(starts, ends)])
    info = builder.table([algorithm and ("b", algorithm), ("i", len(starts) - 1), ("ref", digests), ("ref", builder.data(state))])
    return builder.finish(builder.table([
        ("ref", builder.string(b"0.9")), ("ref", builder.string(b"soci-encode")), ("q", len(blob)), ("q", end), ("ref", contents), ("ref", info),
    ]))


def check(blob, data):
    """Holds a zTOC against its layer by the rules of the format; returns what it is worth saying about it."""
    root = Table.root(data)
    assert root.string(0) == b"0.9" and root.number(2, "q") == len(blob)
    info = root.table(5)
    digests, state = [text.decode() for text in info.strings(2)], info.bytes(3)
    assert info.number(1, "i") == len(digests) - 1
    size = root.number(3, "q")
    if info.number(0, "b", 1) == 1:
        count, span = struct.unpack_from("<iq", state)
        assert len(state) == 12 + 32785 * count and count == len(digests)
        points = [struct.unpack_from("<qqB", state, 12 + 32785 * i) + (state[29 + 32785 * i:12 + 32785 * (i + 1)],) for i in range(count)]
        assert points[0][1] == 0
        tar = bytearray()
        for number, (start, content, bits, window) in enumerate(points):
            stop, end = points[number + 1][:2] if number + 1 < count else (len(blob), size)
            source = blob[start - (1 if bits else 0):stop]
            assert len(tar) == content and digest(source) == digests[number], f"span {number}"
            tar += zran.inflate_span(source, end - content, bits, window)
        whole = zran.checkpoints(blob, 1 << 60)[0]
    else:
        inner = Table.root(state)
        span, count = inner.number(1, "q"), len(digests)
        assert (inner.number(0, "i"), inner.number(2, "q"), count) == (2, len(blob), -(-len(blob) // span))
        assert digests == [digest(blob[start:start + span]) for start in range(0, len(blob), span)]
        tar = whole = blob
    toc, end = members(whole)
    # soci stops counting at the end of the archive, which may not be the end of the tar.
    assert size in (end, len(whole)) and tar[:size] == whole[:size] and len(tar) >= size, "the spans do not make the tar"
    found = [dict(
        name=entry.string(0), type=entry.string(1), offset=entry.number(2, "q"), size=entry.number(3, "q"), link=entry.string(4),
        mode=entry.number(5, "q"), uid=entry.number(6, "I"), gid=entry.number(7, "I"), uname=entry.string(8), gname=entry.string(9),
        time=entry.string(10), major=entry.number(11, "q"), minor=entry.number(12, "q"),
        records={record.string(0): record.string(1) for record in entry.tables(13)},
    ) for entry in root.table(4).tables(0)]
    for member in found + toc:
        member["name"] = member["name"].rstrip(b"/")
    for one, other in zip(found, toc):
        assert one == other, f"{one}\nis not\n{other}"
    assert len(found) == len(toc)
    return dict(spans=count, span=span, members=len(found), size=size)
