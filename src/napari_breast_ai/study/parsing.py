"""A file's header, read lean: the wanted elements' raw bytes and the place of the pixels, nothing else.

Sorting a study needs some sixty short values of every file. A general parser makes objects of all elements;
here one read of the file's beginning is walked once by the elements' own lengths, and only what is wanted is
kept. What the file declares is held against what it has: no length reaches beyond its end, nesting, the number
of elements and what may be inflated are bounded.

Source: DICOM PS3.5 7.1 (elements), 7.5 (sequences), A.4 and A.5 (encapsulated and deflated), PS3.10 7.1 (file).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection, Iterator
from typing import BinaryIO, NamedTuple, NoReturn, Protocol

from pydicom.charset import convert_encodings
from pydicom.dataelem import RawDataElement, convert_raw_data_element
from pydicom.tag import Tag

from .errors import Unusable

UNDEFINED = 0xFFFFFFFF
PIXEL_TAGS = (0x7FE00008, 0x7FE00009, 0x7FE00010)  # float, double float, integer pixels
IMPLICIT, EXPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"

MOST_INFLATED = 64 * 2**20
"""Bytes of header that a deflated file may have."""

_CHUNK = 1 << 15
_MOST_LEVELS = 64
_MOST_ELEMENTS = 1_200_000
_LONG = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
_BRIEF = frozenset(
    (b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS",
     b"ST", b"TM", b"UI", b"UL", b"US")
)  # fmt: skip
_CHARSET, _SYNTAX = 0x00080005, 0x00020010
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_NEVER = frozenset[int]()


class Element(NamedTuple):
    """One element as stored: its VR (None where the encoding has none), its value's bytes, and their order."""

    VR: str | None
    value: bytes
    is_little_endian: bool
    is_implicit: bool


class Header:
    """Elements by tag, of a file or of one item of a sequence.

    Attributes:
        found: the wanted elements by tag.
        file_meta: group 0002; None in an item.
        implicit, little: the encoding.
        packed: where a deflated data set begins in the file, else 0.
        pixel_tag: of the element that ended the header, 0 where the file ended before any pixels.
        pixel_start, pixel_length: place (in the file, or in what is inflated) and declared length of its value.
    """

    __slots__ = (
        "_items",
        "_left",
        "charset",
        "file_meta",
        "found",
        "implicit",
        "little",
        "packed",
        "pixel_length",
        "pixel_start",
        "pixel_tag",
    )

    def __init__(self, found: dict[int, Element], implicit: bool, little: bool, left: _Left) -> None:
        self.found = found
        self._items: dict[int, tuple[Header, ...]] = {}
        self._left = left
        self.implicit, self.little = implicit, little
        self.file_meta: Header | None = None
        self.charset: tuple[str, ...] = ()
        self.packed = self.pixel_tag = self.pixel_start = self.pixel_length = 0

    def __contains__(self, tag: int) -> bool:
        return tag in self.found

    def __iter__(self) -> Iterator[int]:
        return iter(self.found)

    def get_item(self, tag: int) -> Element | None:
        """The element, or None."""
        return self.found.get(tag)

    def words(self, tag: int) -> str:
        """A text in the file's own character set. Raises what pydicom raises for an unknown or broken one."""
        element = self.found[tag]
        plain = element.value
        if plain.isascii() and b"\x1b" not in plain and b"\\" not in plain:
            return plain.decode("ascii")
        raw = RawDataElement(
            Tag(tag), element.VR, len(plain), plain, 0, element.is_implicit, element.is_little_endian
        )
        encodings = convert_encodings(list(self.charset) or "iso8859")
        return str(convert_raw_data_element(raw, encoding=encodings).value or "")

    def items(self, tag: int) -> tuple[Header, ...]:
        """The items of a sequence, parsed now; () where it is missing. Raises Unusable where it is broken."""
        if tag not in self._items:  # parsed once: the shared groups are asked for by every frame
            element = self.found.get(tag)
            sequence = element is not None and element.VR in (None, "SQ", "UN")
            self._items[tag] = tuple(self._each(element)) if element is not None and sequence else ()
        return self._items[tag]

    def _each(self, element: Element) -> Iterator[Header]:
        value, little = element.value, element.is_little_endian
        memory = _Memory(value)
        head = struct.Struct("<HHL" if little else ">HHL")
        place = 0
        while place + 8 <= len(value):
            group, number, length = head.unpack_from(value, place)
            tag = group << 16 | number
            if tag == _SEQUENCE_END:
                return
            if tag != _ITEM:
                raise Unusable("it is broken: a sequence holds something that is no item")
            self._left.elements -= 1
            if self._left.elements < 0:
                self._left.refuse()
            end = len(value) if length == UNDEFINED else place + 8 + length
            if end > len(value):
                raise Unusable("it is broken: an item is longer than its sequence")
            found, place, _ = _elements(
                memory, place + 8, end, element.is_implicit, little, None, _NEVER, self._left
            )
            item = Header(found, element.is_implicit, little, self._left)
            item.charset = self.charset
            yield item


class _Left:
    """How many elements may still be walked before the file counts as hostile."""

    __slots__ = ("elements",)

    def __init__(self) -> None:
        self.elements = _MOST_ELEMENTS

    def refuse(self) -> NoReturn:
        raise Unusable(f"it is broken: its header has more than {_MOST_ELEMENTS} elements")


class _Bytes(Protocol):
    """Bytes that are fetched as the walk comes to them."""

    def window(self, place: int, count: int) -> tuple[bytes, int]:
        """Some bytes and the place of their first; they hold [place, place + count) unless the end is near."""

    def reaches(self, place: int) -> bool:
        """Whether there are bytes up to `place` (exclusive)."""


class _Memory:
    def __init__(self, value: bytes) -> None:
        self._value = value

    def window(self, place: int, count: int) -> tuple[bytes, int]:
        return self._value, 0

    def reaches(self, place: int) -> bool:
        return place <= len(self._value)


class _File:
    def __init__(self, stream: BinaryIO, size: int, start: bytes) -> None:
        self._stream, self._size = stream, size
        self._buffer, self._base = start, 0

    def window(self, place: int, count: int) -> tuple[bytes, int]:
        if not self._base <= place <= place + count <= self._base + len(self._buffer):
            self._stream.seek(place)
            self._buffer, self._base = self._stream.read(max(count, _CHUNK)), place
        return self._buffer, self._base

    def reaches(self, place: int) -> bool:
        return place <= self._size


class _Inflated:
    """What a deflated data set inflates to, as far as it is asked for, up to a bound."""

    def __init__(self, stream: BinaryIO, start: int) -> None:
        stream.seek(start)
        self._stream = stream
        self._machine = zlib.decompressobj(-zlib.MAX_WBITS)
        self._buffer = b""

    def window(self, place: int, count: int) -> tuple[bytes, int]:
        self.reaches(place + count)
        return self._buffer, 0

    def reaches(self, place: int) -> bool:
        if place > MOST_INFLATED:
            raise Unusable(f"it is broken: its header inflates to more than {MOST_INFLATED >> 20} MiB")
        pieces, have = [self._buffer], len(self._buffer)
        # At least twice what there was: a copy of all for every few elements would take minutes.
        goal = place if place <= have else max(place, min(2 * have, MOST_INFLATED))
        while have < goal and not self._machine.eof:
            packed = self._machine.unconsumed_tail or self._stream.read(_CHUNK)
            if not packed:
                break
            pieces.append(self._machine.decompress(packed, max(goal - have, _CHUNK)))
            have += len(pieces[-1])
        if len(pieces) > 1:
            self._buffer = b"".join(pieces)
        return place <= have


def read_header(stream: BinaryIO, size: int, wanted: Collection[int]) -> Header:
    """Walk a file from its start to its pixels and keep the elements whose tags are in `wanted`.

    Args:
        stream: an open file that begins with the preamble, or (in old exports) with the data set.
        size: of the file in bytes.
        wanted: a set of tags.

    Raises:
        Unusable: the file ends inside an element, or its structure is broken or hostile.
        OSError, zlib.error: from the disk, from inflating.
    """
    start = stream.read(_CHUNK)
    source: _Bytes = _File(stream, size, start)
    left = _Left()
    place = 132 if start[128:132] == b"DICM" else 0
    meta, place, _ = _elements(source, place, size, False, True, None, _NEVER, left, only_group=2)
    given = meta.get(_SYNTAX)
    syntax = given.value.decode("latin-1").strip(" \0") if given else ""
    end = size
    packed = place if syntax == DEFLATED else 0
    if packed:
        source, place, end = _Inflated(stream, place), 0, 1 << 62  # where it ends is not known
    implicit, little = _encoding(source, place, syntax)
    found, place, stop = _elements(source, place, end, implicit, little, wanted, frozenset(PIXEL_TAGS), left)
    header = Header(found, implicit, little, left)
    header.file_meta = Header(meta, False, True, left)
    header.packed = packed
    header.pixel_tag, header.pixel_start, header.pixel_length = stop[0], place, stop[1]
    if (charset := found.get(_CHARSET)) is not None:
        header.charset = tuple(part.strip(" \0") for part in charset.value.decode("latin-1").split("\\"))
    return header


def _encoding(source: _Bytes, place: int, syntax: str) -> tuple[bool, bool]:
    """Implicit, little endian: as the file says, unless its first element shows otherwise."""
    buffer, base = source.window(place, 8)
    first = buffer[place - base : place - base + 8]
    little = syntax != BIG_ENDIAN
    if not syntax and len(first) == 8:  # the first group is 0008: seen the wrong way round it is large
        little = struct.unpack("<H", first[:2])[0] < 0x400
    if len(first) < 8:
        return syntax == IMPLICIT, little
    return not _is_vr(first[4:6]), little


def _is_vr(name: bytes) -> bool:
    return len(name) == 2 and 65 <= name[0] <= 90 and 65 <= name[1] <= 90


def _elements(
    source: _Bytes,
    place: int,
    end: int,
    implicit: bool,
    little: bool,
    wanted: Collection[int] | None,
    stops: frozenset[int],
    left: _Left,
    only_group: int | None = None,
) -> tuple[dict[int, Element], int, tuple[int, int]]:
    """The elements from `place` to `end`, to the end of an item, or to a tag of `stops` or another group.

    Returns:
        The wanted elements (all where `wanted` is None), the place behind them, and, where a tag stopped the
        walk, that tag and its declared length; the place is then that of its value.
    """
    found: dict[int, Element] = {}
    order = "<" if little else ">"
    head, long = struct.Struct(order + "HHL").unpack_from, struct.Struct(order + "L").unpack_from
    short = struct.Struct(order + "H").unpack_from
    buffer, base = source.window(place, 12)
    have = len(buffer)
    while place < end:
        at = place - base
        if at < 0 or at > have - 12:
            buffer, base = source.window(place, 12)
            have, at = len(buffer), place - base
            if have - at < 8:
                break  # what is left is no element
        group, number, length = head(buffer, at)
        tag = group << 16 | number
        if tag == _ITEM_END and not stops:
            return found, place + 8, (0, 0)
        if only_group is not None and group != only_group:
            break
        left.elements -= 1
        if left.elements < 0:
            left.refuse()
        name = None if implicit else buffer[at + 4 : at + 6]
        begin = place + 8
        if name is not None:
            if name in _LONG:
                if have - at < 12:
                    break
                length, begin = long(buffer, at + 8)[0], place + 12
            elif name in _BRIEF or _is_vr(name):
                length = short(buffer, at + 6)[0]
            else:  # an element without a VR among others that have one
                name = None
        if tag in stops:
            return found, begin, (tag, length)
        keep = wanted is None or tag in wanted
        within = implicit or name is None or name == b"UN"  # how the items of a sequence are encoded
        if length == UNDEFINED:
            place = _behind(source, begin, within, little, left)
        else:
            place = begin + length
            if place > end or (place > base + have and not source.reaches(place)):
                raise Unusable(f"the file is cut short: it ends inside element ({group:04X},{number:04X})")
        if keep:
            if not base <= begin <= place <= base + have:
                buffer, base = source.window(begin, place - begin)
                have = len(buffer)
            value = buffer[begin - base : place - base]
            if len(value) < place - begin:
                raise Unusable(f"the file is cut short: it ends inside element ({group:04X},{number:04X})")
            found[tag] = Element(None if name is None else name.decode("ascii"), value, little, within)
    return found, place, (0, 0)


def _behind(source: _Bytes, place: int, implicit: bool, little: bool, left: _Left) -> int:
    """The place behind a sequence (or encapsulated value) of undefined length that begins at `place`."""
    order = "<" if little else ">"
    head, long = struct.Struct(order + "HHL").unpack_from, struct.Struct(order + "L").unpack_from
    short = struct.Struct(order + "H").unpack_from
    levels = [(True, implicit)]  # whether items come next, and how the elements in them are encoded
    buffer, base = source.window(place, 12)
    while levels:
        at = place - base
        if not 0 <= at <= len(buffer) - 12:
            buffer, base = source.window(place, 12)
            at = place - base
            if len(buffer) - at < 8:
                raise Unusable("the file is cut short: it ends inside a sequence")
        left.elements -= 1
        if left.elements < 0:
            left.refuse()
        items, implicit = levels[-1]
        group, number, length = head(buffer, at)
        tag = group << 16 | number
        if items or tag == _ITEM_END:
            place += 8
            if tag == (_SEQUENCE_END if items else _ITEM_END):
                levels.pop()
            elif tag != _ITEM:
                raise Unusable("it is broken: a sequence holds something that is no item")
            elif length == UNDEFINED:
                levels.append((False, implicit))
            else:
                place += length
        else:
            name = None if implicit else buffer[at + 4 : at + 6]
            place += 8
            if name in _LONG:
                if len(buffer) - at < 12:
                    raise Unusable("the file is cut short: it ends inside a sequence")
                length, place = long(buffer, at + 8)[0], place + 4
            elif name is not None and _is_vr(name):
                length = short(buffer, at + 6)[0]
            else:
                name = None
            if length == UNDEFINED:
                levels.append((True, implicit or name is None or name == b"UN"))
            else:
                place += length
        if len(levels) > _MOST_LEVELS:
            raise Unusable("it is broken: its sequences are nested too deeply")
    return place
