"""Ways to break a DICOM file, each drawn from a seeded generator: the same seed gives the same files."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable, Mapping

Mutation = Callable[[bytearray, random.Random], bytes]

_NUMBERS = (0, 1, 2, 7, 8, 0x7F, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF)
_LENGTHS = (0, 1, 7, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
_VRS = b"AE AS AT CS DA DS DT FL FD IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST TM UC UI UL UN UR US UT ZZ".split()
_SIZES = {  # US elements that say how large the image is
    "Rows": 0x00280010, "Columns": 0x00280011, "BitsAllocated": 0x00280100, "BitsStored": 0x00280101,
    "SamplesPerPixel": 0x00280002, "PixelRepresentation": 0x00280103,
}  # fmt: skip
_DECIMALS = (
    0x00180050, 0x00180080, 0x00180081, 0x00180088, 0x00181060, 0x00181314, 0x00200032, 0x00200037, 0x00280030,
    0x00281052, 0x00281053,
)  # fmt: skip
_STRINGS = (
    0x00080005, 0x00080008, 0x00080018, 0x00080022, 0x00080032, 0x00080060, 0x0008103E, 0x00100010, 0x00180020,
    0x0020000D, 0x0020000E, 0x00200011, 0x00200012, 0x00200013, 0x00200100, 0x00280008,
)  # fmt: skip
_SYNTAXES = (
    b"1.2.840.10008.1.2", b"1.2.840.10008.1.2.1", b"1.2.840.10008.1.2.2", b"1.2.840.10008.1.2.1.99",
    b"1.2.840.10008.1.2.5", b"1.2.840.10008.1.2.4.50", b"1.2.840.10008.1.2.4.51", b"1.2.840.10008.1.2.4.57",
    b"1.2.840.10008.1.2.4.70", b"1.2.840.10008.1.2.4.80", b"1.2.840.10008.1.2.4.90", b"1.2.840.10008.1.2.4.100",
    b"1.2.840.10008.1.2.4.201", b"1.2.840.10008.1.2.4.110", b"1.2.3", b"",
)  # fmt: skip
_ITEM, _ITEM_END, _SEQUENCE_END = (
    b"\xfe\xff\x00\xe0",
    b"\xfe\xff\x0d\xe0\0\0\0\0",
    b"\xfe\xff\xdd\xe0\0\0\0\0",
)


def _body(data: bytes | bytearray) -> int:
    """Where the data set begins behind the meta group."""
    if data[128:132] != b"DICM":
        return 0
    if data[132:136] == b"\x02\x00\x00\x00" and len(data) >= 144:
        return min(144 + int(struct.unpack_from("<L", data, 140)[0]), len(data))
    return min(132, len(data))


def _places(data: bytes | bytearray, tag: int) -> list[tuple[int, int, str]]:
    """Of an element: where its value begins, how long it is, its byte order; also inside sequences."""
    found = []
    for order in "<>":
        name, at = struct.pack(order + "HH", tag >> 16, tag & 0xFFFF), -1
        while (at := data.find(name, at + 1)) >= 0 and at + 12 <= len(data):
            if data[at + 4 : at + 6].isalpha():
                length, begin = struct.unpack_from(order + "H", data, at + 6)[0], at + 8
            else:
                length, begin = struct.unpack_from(order + "L", data, at + 4)[0], at + 8
            if begin + length <= len(data) and length < 5000:
                found.append((begin, length, order))
    return found


def _put(data: bytearray, tag: int, value: bytes, rng: random.Random) -> bytes:
    """Give an element a value of any length, with the lengths right around it where that is one element."""
    places = _places(data, tag)
    if not places:
        return flip(data, rng)
    begin, length, order = rng.choice(places)
    if data[begin - 4 : begin - 2].isalpha() and len(value) < 0x10000:
        data[begin - 2 : begin] = struct.pack(order + "H", len(value))
    elif not data[begin - 4 : begin - 2].isalpha():
        data[begin - 4 : begin] = struct.pack(order + "L", len(value))
    else:
        value = value[:0xFFFE]
        data[begin - 2 : begin] = struct.pack(order + "H", len(value))
    data[begin : begin + length] = value
    return bytes(data)


def flip(data: bytearray, rng: random.Random) -> bytes:
    """Some bits anywhere, most of them in the header."""
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        if data:
            reach = len(data) if rng.random() < 0.3 else min(len(data), 2500)
            data[rng.randrange(reach)] ^= 1 << rng.randrange(8)
    return bytes(data)


def overwrite(data: bytearray, rng: random.Random) -> bytes:
    """A run of bytes becomes noise, zeros or ones."""
    at, count = rng.randrange(len(data) + 1), rng.choice((1, 4, 16, 200))
    fill = rng.choice((bytes(count), b"\xff" * count, rng.randbytes(count)))
    data[at : at + count] = fill
    return bytes(data)


def cut(data: bytearray, rng: random.Random) -> bytes:
    """The end is missing."""
    return bytes(data[: rng.randrange(len(data) + 1)])


def drop(data: bytearray, rng: random.Random) -> bytes:
    """Something in the middle is missing, or there twice."""
    at, count = rng.randrange(len(data) + 1), rng.randrange(1, 300)
    data[at : at + count] = data[at : at + count] * rng.choice((0, 2, 40))
    return bytes(data)


def lengths(data: bytearray, rng: random.Random) -> bytes:
    """The length of an element is another one."""
    start, value = _body(data), rng.choice(_LENGTHS)
    for _ in range(200):
        at = rng.randrange(start, max(start + 1, len(data) - 8)) & ~1
        explicit = bytes(data[at + 4 : at + 6]) in _VRS
        if explicit:
            data[at + 6 : at + 8] = struct.pack("<H", value & 0xFFFF)
            return bytes(data)
        if bytes(data[at + 4 : at + 8]).endswith(b"\0\0") and data[at + 1] == 0:
            data[at + 4 : at + 8] = struct.pack("<L", value)
            return bytes(data)
    return flip(data, rng)


def representation(data: bytearray, rng: random.Random) -> bytes:
    """An element has another VR."""
    start = _body(data)
    places = [i + 4 for i in range(start, len(data) - 8, 2) if bytes(data[i + 4 : i + 6]) in _VRS]
    if not places:
        return flip(data, rng)
    at = rng.choice(places)
    data[at : at + 2] = rng.choice(_VRS)
    return bytes(data)


def size(data: bytearray, rng: random.Random) -> bytes:
    """The image is said to be of another size or kind."""
    for tag in rng.sample(list(_SIZES.values()), rng.choice((1, 1, 2, 3))):
        places = _places(data, tag)
        if places:
            begin, length, order = rng.choice(places)
            if length == 2:
                data[begin : begin + 2] = struct.pack(order + "H", rng.choice(_NUMBERS))
    return bytes(data)


def frames(data: bytearray, rng: random.Random) -> bytes:
    """The number of frames is another."""
    said = rng.choice((b"0 ", b"-1", b"2 ", b"1000000000", b"999999999999999999", b"1e9 ", b"x ", b"65536 "))
    if _places(data, 0x00280008):
        return _put(data, 0x00280008, said, rng)
    return _insert(data, b"\x28\x00\x08\x00IS" + struct.pack("<H", len(said)) + said, 0x00280010)


def huge(data: bytearray, rng: random.Random) -> bytes:
    """As many frames of as many pixels as can be said."""
    for tag, value in ((0x00280010, 65535), (0x00280011, 65535), (0x00280100, rng.choice((8, 16, 32, 64)))):
        for begin, length, order in _places(data, tag)[:1]:
            if length == 2:
                data[begin : begin + 2] = struct.pack(order + "H", value)
    return frames(data, rng) if rng.random() < 0.5 else bytes(data)


def decimals(data: bytearray, rng: random.Random) -> bytes:
    """Numbers that are none, or beyond all measure."""
    said = rng.choice(
        (
            b"nan ",
            b"inf ",
            b"-inf",
            b"1e308 ",
            b"-1e308",
            b"1e-320",
            b"0 ",
            b"-1",
            b"1e18",
            b"",
            b"\\\\\\",
            b"1,5 ",
        )
    )
    many = b"\\".join([said.strip()] * rng.choice((1, 2, 3, 6, 40)))
    return _put(data, rng.choice(_DECIMALS), many + b" " * (len(many) % 2), rng)


def strings(data: bytearray, rng: random.Random) -> bytes:
    """Strings with escapes, other alphabets, endless length; times and dates that are none."""
    said = rng.choice(
        (
            b"\x1b[2J\x1b]0;x\x07", b"\x1b$B\x1b(J\x1b$)C\xff", b"ISO 2022 IR 87\\ISO 2022 IR 149", b"ISO_IR 999",
            b"\\" * 300, b"\0" * 50, b"\xff\xfe" * 50, b"../../../etc/passwd ", b"C:\\Windows\\x", b"A" * 60000,
            b"99999999", b"246161.999999", b"-1", b"1" * 400, b"20240230", b"%s%n{0}", b"UTF-8", b"ISO_IR 192",
        )
    )  # fmt: skip
    return _put(data, rng.choice(_STRINGS), said + b" " * (len(said) % 2), rng)


def _insert(data: bytearray, element: bytes, before: int = 0) -> bytes:
    at = _body(data)
    if before and (places := _places(data, before)):
        at = places[0][0] - 8
    return bytes(data[:at] + element + data[at:])


def nested(data: bytearray, rng: random.Random) -> bytes:
    """Sequences in sequences, to ten thousand levels, of defined or undefined length, closed or not."""
    levels, tag = (
        rng.choice((2, 60, 70, 1000, 10_000)),
        rng.choice((b"\x08\x00\x06\x00", b"\x00\x52\x30\x92")),
    )
    explicit = rng.random() < 0.7
    closed = rng.random() < 0.5
    head = tag + (b"SQ\0\0" if explicit else b"")
    if rng.random() < 0.5:
        element = (head + b"\xff" * 4 + _ITEM + b"\xff" * 4) * levels
        element += (_ITEM_END + _SEQUENCE_END) * levels if closed else b""
    else:
        each = len(head) + 12
        element = b"".join(
            head + struct.pack("<L", each * (levels - i) - len(head) - 4) + _ITEM
            + struct.pack("<L", each * (levels - i - 1)) for i in range(levels)
        )  # fmt: skip
    return _insert(data, element, 0 if tag[0] == 8 else 0x7FE00010)


def groups(data: bytearray, rng: random.Random) -> bytes:
    """Functional groups that do not fit: too many items, empty ones, none, or of another kind."""
    many = rng.choice((0, 1, 6, 7, 20_000))
    inside = rng.choice((b"", _ITEM + b"\0\0\0\0", b"\x20\x00\x11\x91SQ\0\0\0\0\0\0", rng.randbytes(40)))
    value = (_ITEM + struct.pack("<L", len(inside)) + inside) * many
    vr = rng.choice((b"SQ", b"UN", b"OB"))
    element = rng.choice((b"\x00\x52\x30\x92", b"\x00\x52\x29\x92", b"\x20\x00\x22\x92")) + vr + b"\0\0"
    element += struct.pack("<L", len(value)) + value
    return _insert(data, element, rng.choice((0, 0x7FE00010)))


def syntax(data: bytearray, rng: random.Random) -> bytes:
    """The file says it is encoded otherwise."""
    said = rng.choice(_SYNTAXES)
    return _put(data, 0x00020010, said + b"\0" * (len(said) % 2), rng)


def bomb(data: bytearray, rng: random.Random) -> bytes:
    """A deflated data set that inflates to a hundred megabytes, before the pixels or as the pixels."""
    count = rng.choice((1, 20, 100)) << 20
    body = bytes(data[_body(data) :])
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    kind = rng.randrange(3)
    if kind == 0:  # one endless element
        zeros = b"\x08\x00\x01\x00UN\0\0" + struct.pack("<L", count)
        packed = packer.compress(zeros) + packer.compress(bytes(count))
    elif kind == 1:  # many short ones
        some = (b"\x08\x00\x01\x00LO" + struct.pack("<H", 4000) + b" " * 4000) * 250
        packed = b"".join(packer.compress(some) for _ in range(count >> 20))
    else:
        some = b"\x08\x00\x01\x00LO\0\0" * (1 << 17)
        packed = b"".join(packer.compress(some) for _ in range(count >> 20))
    packed += packer.compress(body) + packer.flush()
    head = b"\x02\x00\x10\x00UI\x16\x00" + b"1.2.840.10008.1.2.1.99"
    meta = b"\x02\x00\x00\x00UL\x04\x00" + struct.pack("<L", len(head))
    return bytes(128) + b"DICM" + meta + head + packed


def fragments(data: bytearray, rng: random.Random) -> bytes:
    """Encapsulated pixels broken: lengths of fragments, the offset table, what is in a codestream."""
    start = data.rfind(b"\xe0\x7f\x10\x00")
    if start < 0 or len(data) < start + 32:
        return flip(data, rng)
    items = [i for i in range(start + 8, len(data) - 8) if data[i : i + 4] == _ITEM]
    kind = rng.randrange(4)
    if items and kind == 0:
        at = rng.choice(items)
        data[at + 4 : at + 8] = struct.pack("<L", rng.choice((*_LENGTHS, 2, 64)))
    elif items and kind == 1:  # the beginning of a codestream, where its sizes are
        at = rng.choice(items) + 8
        for _ in range(rng.choice((1, 2, 6))):
            place = at + rng.randrange(100)
            if place < len(data):
                data[place] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    elif items and kind == 2:  # fragments in disorder, or thrown away
        at = rng.choice(items)
        del data[at : at + rng.choice((8, 30, 500))]
    else:
        for _ in range(rng.choice((1, 4, 30))):
            data[rng.randrange(start, len(data))] = rng.randrange(256)
    return bytes(data)


def pretend(data: bytearray, rng: random.Random) -> bytes:
    """Nothing, or something else under DICOM's name."""
    return rng.choice(
        (
            b"", b"\0", bytes(128), bytes(128) + b"DICM", bytes(128) + b"DICM" + rng.randbytes(3000),
            b"PK\3\4" + rng.randbytes(300), b"\x08\x00\x05\x00" + rng.randbytes(300), b"\x02\x00" * 800,
            bytes(data[:132]) + bytes(data[132:]).replace(
                b"1.2.840.10008.5.1.4.1.1.4\0", b"1.2.840.10008.1.3.10\0\0\0\0\0\0"
            ), bytes(data) * 3, bytes(data[::-1]),
        )
    )  # fmt: skip


def twice(data: bytearray, rng: random.Random) -> bytes:
    """Two ways at once."""
    first, second = rng.sample(_SIMPLE, 2)
    return second(bytearray(first(data, rng)), rng)


_SIMPLE: tuple[Mutation, ...] = (
    flip, overwrite, cut, drop, lengths, representation, size, frames, huge, decimals, strings, nested, groups,
    syntax, fragments,
)  # fmt: skip
MUTATIONS: tuple[Mutation, ...] = (*_SIMPLE, fragments, flip, twice, twice, pretend)
_RARE = bomb  # costs the most time: one file in a hundred


def _packed(data: bytes) -> bytes:
    body = _body(data)
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return data[:body] + packer.compress(data[body:]) + packer.flush()


def mutated(seeds: Mapping[str, bytes], count: int, seed: int = 0, start: int = 0) -> list[tuple[str, bytes]]:
    """Files number `start` to `start + count`, each as (name, content); a file's content depends on its number."""
    names = sorted(seeds)
    found = []
    for number in range(start, start + count):
        rng = random.Random(f"{seed} {number}")
        name = rng.choice(names)
        way = _RARE if rng.random() < 0.01 else rng.choice(MUTATIONS)
        content = seeds[name]
        if "deflated" in name and rng.random() < 0.7:  # what is inside is broken, the packing is whole
            body = _body(content)
            inside = content[:body] + zlib.decompress(content[body:], -zlib.MAX_WBITS)
            broken = way(bytearray(inside), rng)
            content = broken if way in (_RARE, pretend) else _packed(broken)
        else:
            content = way(bytearray(content), rng)
        found.append((f"{number:06d}-{way.__name__}-{name}", content))
    return found
