"""Prints what Python's tarfile sees in the archive argv[1], one line for each member, for a comparison with ours."""
import hashlib, os, sys, tarfile

KINDS = {tarfile.REGTYPE: "regular", tarfile.AREGTYPE: "regular", tarfile.CONTTYPE: "regular", tarfile.GNUTYPE_SPARSE: "regular",
         tarfile.DIRTYPE: "directory", tarfile.SYMTYPE: "symlink", tarfile.LNKTYPE: "hardlink", tarfile.CHRTYPE: "characterDevice",
         tarfile.BLKTYPE: "blockDevice", tarfile.FIFOTYPE: "fifo"}
raw = lambda text: text.encode("utf-8", "surrogateescape")

def time(member):
    text = member.pax_headers.get("mtime")
    if text is None:
        return f"{int(member.mtime)}.0"
    sign, text = (-1, text[1:]) if text.startswith("-") else (1, text)
    seconds, _, fraction = text.partition(".")
    total = sign * (int(seconds) * 10**9 + int((fraction + "0" * 9)[:9]))
    return f"{total // 10**9}.{total % 10**9}"

with tarfile.open(sys.argv[1], encoding="utf-8", errors="surrogateescape") as archive:
    for member in archive:
        if member.type not in KINDS:
            continue
        kind = KINDS[member.type]
        link = raw(member.linkname) if kind in ("symlink", "hardlink") else b""
        device = (member.devmajor, member.devminor) if kind.endswith("Device") else (0, 0)
        content = hashlib.sha256(archive.extractfile(member).read()).hexdigest() if kind == "regular" else "-"
        attributes = sorted((raw(key[13:]).hex(), raw(value).hex()) for key, value in member.pax_headers.items() if key.startswith("SCHILY.xattr."))
        # A long stand-in name, which tarfile prefers, comes after the true one in the header.
        name = member.pax_headers.get("GNU.sparse.name", member.name)
        print(raw(name).rstrip(b"/").hex() or "-", kind, oct(member.mode & 0o7777)[2:], member.uid, member.gid,
              member.size if kind == "regular" else 0, time(member), link.hex() or "-", "%d:%d" % device, content,
              ",".join(f"{name}={value}" for name, value in attributes) or "-")
