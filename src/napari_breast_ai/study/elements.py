"""Values of single DICOM elements, read without pydicom's conversion.

Sorting a study takes some forty short values of every file. pydicom converts and validates each into its own
types, warns about or refuses malformed ones, and a single bad decimal would cost the whole file. Here a
malformed value is a missing value, and the raw bytes are read as what the element's VR says.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from datetime import date
from functools import lru_cache

from pydicom.datadict import dictionary_VR

from .parsing import Header

_BINARY = {"US": "H", "SS": "h", "UL": "L", "SL": "l", "FD": "d", "FL": "f", "UV": "Q", "SV": "q"}
# VRs of vendors' elements, which no dictionary of the standard knows: b-values.
_PRIVATE = {0x0019100C: "IS", 0x00431039: "IS", 0x20011003: "FL", 0x00651009: "FD"}
_SHORT = 256  # bytes: longer values are not remembered
_DAY_S = 86400.0
_FIRST_DAY = date(2000, 1, 1).toordinal()  # near enough that seconds from it keep their microseconds


def _printable(value: str) -> str:
    """Without what a terminal would obey: headers are shown to people."""
    return value if value.isprintable() else "".join(c if c.isprintable() else " " for c in value)


def texts(dataset: Header, tag: int) -> tuple[str, ...]:
    """The values of a string element (codes, UIDs, times), stripped; () where it is missing or empty."""
    element = dataset.found.get(tag)
    if element is None or element.value == b"":
        return ()
    value = element.value
    return _parts(value) if len(value) <= _SHORT else _parts.__wrapped__(value)


@lru_cache(maxsize=16384)
def _parts(value: bytes) -> tuple[str, ...]:
    """The strings in a value; remembered, since the files of a series say most things again and again."""
    return _stripped(value.decode("latin-1").split("\\"))


def _stripped(parts: Sequence[str]) -> tuple[str, ...]:
    found = tuple(_printable(part.strip(" \0\t\r\n")) for part in parts)
    return found if any(found) else ()


def text(dataset: Header, tag: int) -> str:
    """The first value of a string element, or ""."""
    found = texts(dataset, tag)
    return found[0] if found else ""


def words(dataset: Header, tag: int) -> str:
    """The value of a string element for people, in the file's own character set; "" where there is none."""
    if tag not in dataset:
        return ""
    try:
        return _printable(dataset.words(tag).strip(" \0")).strip()
    except (ValueError, TypeError, LookupError, NotImplementedError):  # unknown or broken character set
        return " ".join(texts(dataset, tag))


def numbers(dataset: Header, tag: int) -> tuple[float, ...]:
    """The values of a numeric element; () where it is missing or any value is not a finite number."""
    element = dataset.found.get(tag)
    if element is None:
        return ()
    of_bytes = _finite if len(element.value) <= _SHORT else _finite.__wrapped__
    return of_bytes(tag, element.VR, element.is_little_endian, element.value)


@lru_cache(maxsize=16384)
def _finite(tag: int, vr: str | None, little: bool, value: bytes) -> tuple[float, ...]:
    """The numbers in a value, remembered; () where one is malformed or not finite."""
    try:
        found = _decoded(tag, vr, little, value)
    except (ValueError, KeyError, OverflowError, struct.error):
        return ()
    return found if all(math.isfinite(number) for number in found) else ()


def _decoded(tag: int, vr: str | None, little: bool, value: bytes) -> tuple[float, ...]:
    if vr in (None, "UN"):  # implicit encoding, or an archive that did not know the element
        vr = _PRIVATE.get(tag) or dictionary_VR(tag)
    assert vr is not None
    if vr.startswith("US or"):  # unsigned or signed, as the pixels are: the caller knows
        vr = "US"
    if vr in _BINARY:
        order = "<" if little else ">"
        return tuple(float(number) for (number,) in struct.iter_unpack(order + _BINARY[vr], value))
    stripped = value.decode("latin-1").strip(" \0")
    return tuple(float(part) for part in stripped.split("\\")) if stripped else ()


def number(dataset: Header, tag: int) -> float | None:
    """The first value of a numeric element, or None."""
    found = numbers(dataset, tag)
    return found[0] if found else None


def integer(dataset: Header, tag: int) -> int | None:
    """The first value of an integer element, or None."""
    value = number(dataset, tag)
    return None if value is None else int(value)


def pointer(dataset: Header, tag: int) -> int | None:
    """The first value of an element that names a tag (VR AT), or None."""
    element = dataset.get_item(tag)
    if element is None or len(element.value) < 4:
        return None
    group, number = struct.unpack("<HH" if element.is_little_endian else ">HH", element.value[:4])
    return int(group << 16 | number)


def items(dataset: Header, tag: int) -> tuple[Header, ...]:
    """The items of a sequence element; () where it is missing."""
    return dataset.items(tag)


def time_of_day(value: str) -> float | None:
    """Seconds since midnight of a TM value (HHMMSS.FFFFFF, shorter, or with colons), or None where malformed.

    Source: DICOM PS3.5 6.2, VR TM.
    """
    whole, _, fraction = value.replace(":", "").partition(".")
    if not whole.isascii() or not whole.isdigit() or len(whole) not in (2, 4, 6):
        return None
    if fraction and not (fraction.isascii() and fraction.isdigit()):
        return None
    hours, minutes, seconds = (int((whole + "0000")[i : i + 2]) for i in (0, 2, 4))
    if hours > 23 or minutes > 59 or seconds > 60:
        return None
    return hours * 3600.0 + minutes * 60.0 + seconds + (float("0." + fraction) if fraction else 0.0)


def day(value: str) -> float | None:
    """Seconds from a fixed day to the day of a DA value (YYYYMMDD), or None where malformed."""
    compact = value.replace(".", "").replace("-", "")
    if len(compact) != 8 or not (compact.isascii() and compact.isdigit()):
        return None
    try:
        ordinal = date(int(compact[:4]), int(compact[4:6]), int(compact[6:])).toordinal()
        return (ordinal - _FIRST_DAY) * _DAY_S
    except ValueError:
        return None


def moment(value: str) -> float | None:
    """Seconds from a fixed day to a DT value (YYYYMMDDHHMMSS.FFFFFF&ZZXX), or None; the zone is ignored."""
    local = value[:1] + value[1:].partition("+")[0].partition("-")[0]
    start, time = day(local[:8]), time_of_day(local[8:])
    return None if start is None or time is None else start + time
