"""FlatBuffers by the book (flatbuffers.dev, "Internals"): written back to front as Google's builders do, read with a check
of every offset. Shares nothing with Larder's own."""
import struct


class Builder:
    """Positions count from the end, because the front is not known yet."""

    def __init__(self):
        self.tail = b""
        self.chunks = []
        self.size = 0
        self.vtables = {}

    def _prepend(self, data):
        self.chunks.append(data)
        self.size += len(data)

    def _align(self, width, extra):
        """Pads so that after `extra` more bytes the position is a multiple of `width`."""
        self._prepend(b"\0" * (-(self.size + extra) % width))

    def string(self, text):
        self._align(4, len(text) + 1 + 4)
        self._prepend(text + b"\0")
        self._prepend(struct.pack("<I", len(text)))
        return self.size

    def data(self, content):
        self._align(4, len(content) + 4)
        self._prepend(content)
        self._prepend(struct.pack("<I", len(content)))
        return self.size

    def references(self, targets):
        self._align(4, 4 * len(targets) + 4)
        for target in reversed(targets):
            self._prepend(struct.pack("<I", self.size + 4 - target))
        self._prepend(struct.pack("<I", len(targets)))
        return self.size

    def table(self, fields):
        """`fields`: for each field of the schema None, ("ref", position) or (struct format, value)."""
        end = self.size
        places = [0] * len(fields)
        for number, field in enumerate(fields):
            if field is None:
                continue
            kind, value = field
            if kind == "ref":
                self._align(4, 4)
                self._prepend(struct.pack("<I", self.size + 4 - value))
            else:
                width = struct.calcsize("<" + kind)
                self._align(width, width)
                self._prepend(struct.pack("<" + kind, value))
            places[number] = self.size
        self._align(4, 4)
        table = self.size + 4
        while places and places[-1] == 0:
            places.pop()
        vtable = struct.pack("<HH", 4 + 2 * len(places), table - end) + b"".join(struct.pack("<H", table - place if place else 0) for place in places)
        if vtable in self.vtables:
            # The vtable lies behind the table, so the way to it is negative.
            self._prepend(struct.pack("<i", self.vtables[vtable] - table))
            return table
        self._prepend(struct.pack("<i", len(vtable) + (-len(vtable)) % 4))
        self._prepend(b"\0" * ((-len(vtable)) % 4))
        self._prepend(vtable)
        self.vtables[vtable] = self.size
        return table

    def finish(self, root):
        self._align(8, 4)
        self._prepend(struct.pack("<I", self.size + 4 - root))
        return b"".join(reversed(self.chunks))


class Table:
    def __init__(self, data, position):
        self.data, self.position = data, position
        self.vtable = position - load(data, "i", position)
        self.fields = (load(data, "H", self.vtable) - 4) // 2
        self.length = load(data, "H", self.vtable + 2)

    @staticmethod
    def root(data):
        return Table(data, load(data, "I", 0))

    def place(self, field, width):
        if field >= self.fields:
            return None
        offset = load(self.data, "H", self.vtable + 4 + 2 * field)
        if offset == 0:
            return None
        assert 4 <= offset <= self.length - width, "a field lies outside of its table"
        assert (self.position + offset) % width == 0, "a field is not aligned"
        return self.position + offset

    def number(self, field, kind, default=0):
        place = self.place(field, struct.calcsize("<" + kind))
        return default if place is None else load(self.data, kind, place)

    def target(self, field):
        place = self.place(field, 4)
        return None if place is None else place + load(self.data, "I", place)

    def table(self, field):
        return Table(self.data, self.target(field))

    def string(self, field):
        target = self.target(field)
        return b"" if target is None else text_at(self.data, target)

    def bytes(self, field):
        target = self.target(field)
        length = load(self.data, "I", target)
        assert target + 4 + length <= len(self.data), "a vector reaches beyond the end"
        return self.data[target + 4:target + 4 + length]

    def elements(self, field):
        target = self.target(field)
        if target is None:
            return []
        places = [target + 4 + 4 * index for index in range(load(self.data, "I", target))]
        return [place + load(self.data, "I", place) for place in places]

    def tables(self, field):
        return [Table(self.data, place) for place in self.elements(field)]

    def strings(self, field):
        return [text_at(self.data, place) for place in self.elements(field)]


def load(data, kind, position):
    assert position >= 0 and position % struct.calcsize("<" + kind) == 0, "an offset is not aligned"
    return struct.unpack_from("<" + kind, data, position)[0]


def text_at(data, position):
    length = load(data, "I", position)
    assert data[position + 4 + length] == 0, "a string does not end in NUL"
    return data[position + 4:position + 4 + length]
