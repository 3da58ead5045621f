"""Pixels of single files into a waiting array: straight from the disk where uncompressed, decoded otherwise.

Compressed frames are decoded by imagecodecs, whose decoders let other threads run, and by pydicom's own
plugins where it knows no way. What a codestream claims to be is held against the header before it is decoded.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from io import FileIO
from itertools import islice
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import generate_frames
from pydicom.pixels.utils import iter_pixels

from .headers import Frame, PixelLayout
from .parsing import DEFLATED

Plane = NDArray[np.generic]

_RLE = "1.2.840.10008.1.2.5"
_JPEG_LOSSLESS = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
_JPEG_LS = ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")
_JPEG_2000 = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
_HTJ2K = ("1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.202", "1.2.840.10008.1.2.4.203")


def fill(frames: Sequence[Frame], targets: Sequence[Plane]) -> None:
    """Read frames of *one* file into `targets`, each (rows, columns), in the scanner's units.

    Bits beyond the stored ones are dropped, padding becomes 0, MONOCHROME1 is exchanged within the stored
    range, so that high values are bright, and the frame's own rescaling is applied.

    Raises:
        Exception: whatever the disk or a decoder raises on a broken file.
    """
    source = frames[0].source
    layout = source.pixels
    if not _is_direct(layout):
        for frame, target, plane in zip(frames, targets, _decoded(frames), strict=True):
            _hold(plane, target)
            _masked(layout, plane)
            _shown(layout, plane)
            _in_units(frame, plane, target)
        return
    kind = _kind(layout)
    with open(source.path, "rb", buffering=0) as stream:  # noqa: PTH123 - the type of Path.open is wider
        for frame, target in zip(frames, targets, strict=True):
            same = frame.slope == 1.0 and frame.intercept == 0.0 and target.dtype == kind
            if same and target.flags.c_contiguous and target.shape == (source.rows, source.columns):
                _read(stream, frame, target)
                _masked(layout, target)
                _shown(layout, target)
                continue
            plane = np.empty((source.rows, source.columns), dtype=kind)
            _hold(plane, target)
            _read(stream, frame, plane)
            _masked(layout, plane)
            _shown(layout, plane)
            _in_units(frame, plane, target)


def stored_values(frames: Sequence[Frame]) -> list[Plane]:
    """The stored values of frames of *one* file, each (rows, columns), in native byte order, not rescaled.

    Raises:
        Exception: whatever the disk or a decoder raises on a broken file.
    """
    source = frames[0].source
    if _is_direct(source.pixels):
        planes: list[Plane] = []
        with open(source.path, "rb", buffering=0) as stream:  # noqa: PTH123
            for frame in frames:
                plane: Plane = np.empty((source.rows, source.columns), dtype=_kind(source.pixels))
                _read(stream, frame, plane)
                planes.append(plane)
    else:
        planes = list(_decoded(frames))
    for plane in planes:
        _masked(source.pixels, plane)
    return planes


def _is_direct(layout: PixelLayout) -> bool:
    return layout.offset is not None and layout.bits_allocated in (8, 16, 32, 64) and layout.samples == 1


def _kind(layout: PixelLayout) -> np.dtype[np.generic]:
    letter = "f" if layout.real else "i" if layout.signed else "u"
    return np.dtype(f"{letter}{layout.bits_allocated // 8}")


def _read(stream: FileIO, frame: Frame, target: Plane) -> None:
    """The frame's bytes into the array itself, without a copy."""
    layout = frame.source.pixels
    assert layout.offset is not None
    view = memoryview(cast("Any", target)).cast("B")
    stream.seek(layout.offset + (frame.number or 0) * len(view))
    done = 0
    while done < len(view):
        got = stream.readinto(view[done:])
        if not got:
            raise ValueError("the file ends inside its pixels")
        done += got
    if layout.big_endian:
        target.byteswap(inplace=True)


def _hold(plane: Plane, target: Plane) -> None:
    if plane.shape != target.shape:
        raise ValueError(f"pixels are {plane.shape}")


def _masked(layout: PixelLayout, plane: Plane) -> None:
    """Bits above the stored ones may hold overlays: push them out, and the sign back in."""
    unused = layout.bits_allocated - layout.bits_stored
    if unused <= 0 or layout.real or plane.dtype.itemsize * 8 != layout.bits_allocated:
        return
    values = cast("NDArray[np.integer[Any]]", plane)
    if layout.signed:
        np.left_shift(values, unused, out=values)
        np.right_shift(values, unused, out=values)
    else:
        np.bitwise_and(values, values.dtype.type(2**layout.bits_stored - 1), out=values)


def _shown(layout: PixelLayout, plane: Plane) -> None:
    """Light and dark as they are meant to be seen, and nothing where there is no image."""
    if layout.real:
        return
    values = cast("NDArray[np.integer[Any]]", plane)
    empty = None
    if layout.padding is not None and layout.padding != (0, 0):
        low, high = min(layout.padding), max(layout.padding)
        empty = (values >= low) & (values <= high)
    if layout.inverted:
        if layout.signed:
            np.invert(values, out=values)
        else:
            np.subtract(values.dtype.type(2**layout.bits_stored - 1), values, out=values)
    if empty is not None:
        values[empty] = 0


def _in_units(frame: Frame, plane: Plane, target: Plane) -> None:
    if frame.slope == 1.0 and frame.intercept == 0.0:
        target[...] = plane
    elif target.dtype == np.float32:
        scaled = plane.astype(np.float64)
        scaled *= frame.slope
        scaled += frame.intercept
        target[...] = scaled
    else:
        target[...] = plane.astype(np.int64) + int(frame.intercept)


def _decoded(frames: Sequence[Frame]) -> Iterator[Plane]:
    """Planes of frames of one file that must be decoded, in the frames' order."""
    source, layout = frames[0].source, frames[0].source.pixels
    numbers = [frame.number or 0 for frame in frames]
    if layout.transfer_syntax == DEFLATED and layout.samples == 1:
        yield from _inflated(frames, numbers)
        return
    decode = _decoder(layout.transfer_syntax) if layout.samples == 1 else None
    if decode is None or layout.bits_allocated not in (8, 16, 32):
        for plane in iter_pixels(source.path, indices=numbers, raw=True):
            yield np.array(plane)
        return
    shape, kind = (source.rows, source.columns), _kind(layout)
    with source.path.open("rb") as stream:
        stream.seek(layout.start)
        packed = generate_frames(stream, number_of_frames=layout.frames)
        wanted = dict.fromkeys(numbers)
        found = {
            number: frame for number, frame in enumerate(islice(packed, max(wanted) + 1)) if number in wanted
        }
    if len(found) < len(wanted):
        raise ValueError("the file ends inside its pixels")
    for number in numbers:
        plane = decode(found[number], shape, kind).astype(kind, copy=False)
        yield plane if plane.flags.writeable else plane.copy()


def _inflated(frames: Sequence[Frame], numbers: Sequence[int]) -> Iterator[Plane]:
    """Frames of a deflated file: no more is inflated than the header says there is."""
    source, layout = frames[0].source, frames[0].source.pixels
    count = source.rows * source.columns
    machine = zlib.decompressobj(-zlib.MAX_WBITS)
    size = (count * layout.frames * layout.bits_allocated + 7) // 8
    with source.path.open("rb") as stream:
        stream.seek(layout.packed)
        values = machine.decompress(stream.read(), layout.start + size)[layout.start :]
    if len(values) < size:
        raise ValueError("the file ends inside its pixels")
    if layout.bits_allocated == 1:  # packed from the lowest bit, frames without a gap, PS3.5 8.1.1
        stored = np.unpackbits(np.frombuffer(values, np.uint8), bitorder="little")
    else:
        kind = _kind(layout).newbyteorder(">" if layout.big_endian else "<")
        stored = np.frombuffer(values, dtype=kind).astype(kind.newbyteorder("="))
    for number in numbers:
        plane = stored[number * count : (number + 1) * count].reshape(source.rows, source.columns)
        yield plane.copy()


def _decoder(syntax: str) -> Callable[[bytes, tuple[int, int], np.dtype[np.generic]], Plane] | None:
    if syntax == _RLE:
        return _run_lengths
    if syntax in (*_JPEG_LOSSLESS, *_JPEG_LS):
        return _jpeg_lossless if syntax in _JPEG_LOSSLESS else _jpeg_ls
    return _jpeg_2000 if syntax in (*_JPEG_2000, *_HTJ2K) else None


def _run_lengths(data: bytes, shape: tuple[int, int], kind: np.dtype[np.generic]) -> Plane:
    import imagecodecs

    # A run of two bytes makes 128 at most: a frame that claims more is not decoded.
    count = shape[0] * shape[1]
    if count * kind.itemsize > 64 * len(data):
        raise ValueError("its run lengths cannot make an image of that size")
    # The decoder trusts the table of segments (PS3.5 G.5), and reads wherever it points to.
    table = struct.unpack_from("<16L", data) if len(data) >= 64 else (0,)
    places = table[1 : 1 + kind.itemsize]
    if (
        table[0] != kind.itemsize
        or places[0] < 64
        or list(places) != sorted(places)
        or places[-1] >= len(data)
    ):
        raise ValueError("its table of run-length segments is broken")
    values = imagecodecs.dicomrle_decode(data, kind.newbyteorder("<"))
    plane = np.frombuffer(values, dtype=kind.newbyteorder("<"))
    if plane.size < count:
        raise ValueError("its run lengths end before the image does")
    return plane[:count].reshape(shape).astype(kind)


def _jpeg_lossless(data: bytes, shape: tuple[int, int], kind: np.dtype[np.generic]) -> Plane:
    import imagecodecs

    _agree(_jpeg_size(data), shape)
    # libjpeg-turbo: ljpeg_decode reads beyond a broken stream and ends the process.
    return cast("Plane", imagecodecs.jpeg8_decode(data))


def _jpeg_ls(data: bytes, shape: tuple[int, int], kind: np.dtype[np.generic]) -> Plane:
    import imagecodecs

    _agree(_jpeg_size(data), shape)
    return cast("Plane", imagecodecs.jpegls_decode(data))


def _jpeg_2000(data: bytes, shape: tuple[int, int], kind: np.dtype[np.generic]) -> Plane:
    import imagecodecs

    start = data.find(b"\xff\x4f\xff\x51", 0, 4096)
    if start < 0 or len(data) < start + 24:
        raise ValueError("its codestream has no beginning")
    width, height, left, top = struct.unpack_from(">4L", data, start + 8)
    _agree((height - top, width - left), shape)
    return cast("Plane", imagecodecs.jpeg2k_decode(data, numthreads=1))


def _agree(size: tuple[int, int] | None, shape: tuple[int, int]) -> None:
    if size != shape:
        raise ValueError(f"its codestream is of {size} pixels, its header says {shape}")


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Rows and columns from the frame header (SOF0 to SOF15, JPEG-LS SOF55), ITU-T T.81 B.2.2."""
    place = 2
    while place + 9 <= len(data):
        if data[place] != 0xFF:
            return None
        marker = data[place + 1]
        if marker == 0xFF:
            place += 1
        elif marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            rows, columns = struct.unpack_from(">HH", data, place + 5)
            return rows, columns
        else:
            place += 2 + int(struct.unpack_from(">H", data, place + 2)[0])
    return None
