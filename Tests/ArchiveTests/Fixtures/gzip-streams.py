#!/usr/bin/env python3
"""Writes gzip streams of every kind that encoders make, from a seed: N.gz and what it holds, N.raw.

    gzip-streams.py SEED COUNT DIRECTORY

Members have headers with and without optional fields; the deflate data comes from zlib with random level, strategy, window,
memory level (which sizes the blocks) and flushes, so that blocks of all three types, empty ones and such that end at every bit occur.
"""
import random
import struct
import sys
import zlib


def content(rng, limit):
    out = bytearray()
    while len(out) < limit:
        kind = rng.randrange(6)
        length = rng.randrange(1, max(2, limit // 3))
        if kind == 0:
            out += bytes(rng.randrange(256) for _ in range(min(length, 40_000)))
        elif kind == 1:
            out += b"".join(b"line %d of the file\n" % rng.randrange(1 << rng.randrange(1, 24)) for _ in range(length // 20))
        elif kind == 2:
            out += bytes([rng.randrange(256)]) * length
        elif kind == 3:
            out += bytes(min(length, 512 * rng.randrange(1, 40)))
        elif kind == 4 and out:
            # From as far back as deflate reaches, and a little further.
            distance = min(len(out), rng.choice([1, 2, 258, 4096, 32_505, 32_506, 32_767, 32_768, 32_769, 60_000]))
            for _ in range(min(length, 5_000)):
                out.append(out[-distance])
        else:
            words = [bytes(rng.choice(b"etaoinshrdlu") for _ in range(rng.randrange(1, 9))) for _ in range(200)]
            while length > 0:
                word = rng.choice(words)
                out += word + b" "
                length -= len(word) + 1
    return bytes(out[:limit])


def header(rng):
    flags, more = 0, b""
    if rng.random() < 0.3:
        extra = bytes(rng.randrange(256) for _ in range(rng.randrange(40)))
        flags, more = flags | 4, more + struct.pack("<H", len(extra)) + extra
    if rng.random() < 0.3:
        flags, more = flags | 8, more + b"layer.tar\0"
    if rng.random() < 0.2:
        flags, more = flags | 16, more + b"a comment\0"
    head = b"\x1f\x8b\x08" + bytes([flags | (2 if rng.random() < 0.2 else 0)]) + struct.pack("<IBB", rng.randrange(1 << 32), 0, 3) + more
    return head + (struct.pack("<H", zlib.crc32(head) & 0xFFFF) if head[3] & 2 else b"")


def member(rng, data):
    strategies = [zlib.Z_DEFAULT_STRATEGY, zlib.Z_FILTERED, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE, zlib.Z_FIXED]
    strategy = rng.choice(strategies) if rng.random() < 0.6 else zlib.Z_DEFAULT_STRATEGY
    encoder = zlib.compressobj(rng.randrange(10), zlib.DEFLATED, -rng.randrange(9, 16), rng.randrange(1, 10), strategy)
    flushes = rng.choice([[], [zlib.Z_SYNC_FLUSH], [zlib.Z_FULL_FLUSH], [zlib.Z_PARTIAL_FLUSH, zlib.Z_BLOCK], [
        zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH, zlib.Z_PARTIAL_FLUSH, zlib.Z_BLOCK]])
    largest = rng.choice([50, 5_000, 100_000])
    body, position = b"", 0
    while position < len(data):
        step = rng.randrange(1, largest) if flushes else len(data)
        body += encoder.compress(data[position:position + step])
        position += step
        if flushes:
            body += encoder.flush(rng.choice(flushes))
    return header(rng) + body + encoder.flush() + struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)


def stream(rng):
    way = rng.randrange(4)
    if way == 0:
        pieces = [content(rng, rng.randrange(1, 400_000))]
    elif way == 1:
        pieces = [content(rng, rng.randrange(200_000)) for _ in range(rng.randrange(1, 5))]
    elif way == 2:
        # As pigz --independent and eStargz: many small members.
        pieces = [content(rng, rng.randrange(6_000)) for _ in range(rng.randrange(1, 60))]
    else:
        pieces = [content(rng, rng.randrange(3) * rng.randrange(1, 30_000)) for _ in range(rng.randrange(1, 12))]
    packed = b"".join(member(rng, piece) for piece in pieces)
    if rng.random() < 0.2:
        packed += bytes(rng.randrange(1, 2_000))
    return packed, b"".join(pieces)


def main():
    seed, count, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    rng = random.Random(seed)
    for number in range(count):
        packed, raw = stream(rng)
        with open(f"{folder}/{number}.gz", "wb") as file:
            file.write(packed)
        with open(f"{folder}/{number}.raw", "wb") as file:
            file.write(raw)


main()
