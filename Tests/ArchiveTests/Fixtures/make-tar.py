"""Writes an archive to argv[1] with Python's tarfile: argv[2] is the format, argv[3] the seed of what is in it."""
import io, random, sys, tarfile

path, form, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
choose = random.Random(seed)
limit = {"USTAR": 90, "GNU": 400, "PAX": 400}[form]
ustar = form == "USTAR"

def name():
    letters = "abcXYZ0189._- \u00e9\u4e2d\udcff" if not ustar else "abcXYZ._-\udce9"
    parts = ["".join(choose.choice(letters) for _ in range(choose.randint(1, 30))) for _ in range(choose.randint(1, 12))]
    text = "/".join(parts)
    while len(text.encode("utf-8", "surrogateescape")) > limit:
        text = text[:-1]
    return text.strip("/") or "x"

kinds = [tarfile.REGTYPE] * 6 + [tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.CONTTYPE]
with tarfile.open(path, "w", format=getattr(tarfile, form + "_FORMAT"), encoding="utf-8", errors="surrogateescape") as archive:
    for _ in range(choose.randint(0, 40)):
        member = tarfile.TarInfo(name())
        member.type = choose.choice(kinds)
        member.mode = choose.randrange(0o10000)
        member.uid = choose.choice([0, 1000, 0o7777777, 0o10000000, 2**31, 2**32 - 2][: 3 if ustar else 6])
        member.gid = choose.choice([0, 50, 0o7777777])
        member.mtime = choose.choice([0, 1, 1700000000] + ([] if ustar else [-1, 2**35, -2**33]))
        if form == "PAX":
            member.mtime = choose.choice([member.mtime, 1.5, -1.25, 1700000000.125])
            member.pax_headers = {"comment": "n" * choose.randint(0, 300)}
            if choose.random() < 0.3:
                member.pax_headers["SCHILY.xattr.user." + choose.choice("ab")] = choose.choice(["v", "\udcff\udc80", "two\nlines=", "x" * 3000])
        if member.type in (tarfile.SYMTYPE, tarfile.LNKTYPE):
            member.linkname = name()
        if member.type in (tarfile.CHRTYPE, tarfile.BLKTYPE):
            member.devmajor, member.devminor = choose.randrange(256), choose.randrange(4096)
        data = choose.randbytes(choose.choice([0, 1, 511, 512, 513, 70000])) if member.type in (tarfile.REGTYPE, tarfile.CONTTYPE) else b""
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
