"""Checkpoints in gzip streams, with the system's zlib through ctypes (zlib's examples/zran.c shows how)."""
import ctypes
import ctypes.util

WINDOW = 32768
Z_OK, Z_STREAM_END, Z_BUF_ERROR, Z_NO_FLUSH, Z_BLOCK = 0, 1, -5, 0, 5


class Stream(ctypes.Structure):
    _fields_ = [
        ("next_in", ctypes.c_void_p), ("avail_in", ctypes.c_uint), ("total_in", ctypes.c_ulong),
        ("next_out", ctypes.c_void_p), ("avail_out", ctypes.c_uint), ("total_out", ctypes.c_ulong),
        ("msg", ctypes.c_char_p), ("state", ctypes.c_void_p), ("zalloc", ctypes.c_void_p), ("zfree", ctypes.c_void_p),
        ("opaque", ctypes.c_void_p), ("data_type", ctypes.c_int), ("adler", ctypes.c_ulong), ("reserved", ctypes.c_ulong),
    ]


zlib = ctypes.CDLL(ctypes.util.find_library("z") or "libz.so.1")
zlib.zlibVersion.restype = ctypes.c_char_p


class Inflater:
    def __init__(self, data, position, bits):
        self.data = data
        self.buffer = (ctypes.c_char * max(len(data), 1)).from_buffer_copy(data or b"\0")
        self.position = position
        self.output = ctypes.create_string_buffer(WINDOW)
        self.stream = Stream()
        assert zlib.inflateInit2_(ctypes.byref(self.stream), bits, zlib.zlibVersion(), ctypes.sizeof(Stream)) == Z_OK

    def step(self, flush, room=WINDOW):
        """One call of inflate: (code, output)."""
        stream = self.stream
        given = min(len(self.data) - self.position, 1 << 30)
        stream.next_in, stream.avail_in = ctypes.addressof(self.buffer) + self.position, given
        stream.next_out, stream.avail_out = ctypes.addressof(self.output), room
        code = zlib.inflate(ctypes.byref(stream), flush)
        assert code in (Z_OK, Z_STREAM_END, Z_BUF_ERROR), f"inflate: {code} {stream.msg}"
        self.position += given - stream.avail_in
        return code, self.output.raw[:room - stream.avail_out]

    def reset(self, bits):
        assert zlib.inflateReset2(ctypes.byref(self.stream), bits) == Z_OK

    def close(self):
        zlib.inflateEnd(ctypes.byref(self.stream))


def checkpoints(blob, spacing):
    """(tar, [(in, out, bits, window)]): the first behind the first header, then where a block ends more than `spacing` later."""
    inflater = Inflater(blob, 0, 47)
    tar, found = bytearray(), []
    while True:
        code, output = inflater.step(Z_BLOCK)
        tar += output
        if code == Z_STREAM_END:
            if not blob[inflater.position:].strip(b"\0"):
                break
            inflater.reset(47)
            continue
        assert code != Z_BUF_ERROR, "the gzip stream is cut off"
        kind = inflater.stream.data_type
        if kind & 128 and not kind & 64 and (not tar or len(tar) - found[-1][1] > spacing):
            found.append((inflater.position, len(tar), kind & 7, bytes(tar[-WINDOW:]).rjust(WINDOW, b"\0")))
    inflater.close()
    return bytes(tar), found


def inflate_span(source, length, bits, window):
    """The content of a span from its compressed bytes alone; members may end in it."""
    inflater = Inflater(source, 1 if bits else 0, -15)
    if bits:
        assert zlib.inflatePrime(ctypes.byref(inflater.stream), bits, source[0] >> (8 - bits)) == Z_OK
    assert zlib.inflateSetDictionary(ctypes.byref(inflater.stream), window, len(window)) == Z_OK
    content, raw = bytearray(), True
    while len(content) < length:
        before = inflater.position
        code, output = inflater.step(Z_NO_FLUSH, min(WINDOW, length - len(content)))
        content += output
        if code == Z_STREAM_END:
            inflater.position += 8 if raw else 0
            inflater.reset(31)
            raw = False
        else:
            assert output or inflater.position > before, "the span is cut off"
    inflater.close()
    return bytes(content)
