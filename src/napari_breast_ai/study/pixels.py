"""Stored pixel values of single files: straight from the disk where uncompressed, decoded otherwise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from .headers import Frame, PixelLayout


def stored_values(frames: Sequence[Frame]) -> list[NDArray[np.generic]]:
    """The stored values of frames of *one* file, each (rows, columns), in native byte order, not rescaled.

    Raises:
        Exception: whatever the disk or a decoder raises on a broken file.
    """
    source = frames[0].source
    if _is_direct(source.pixels):
        return [_direct(frame) for frame in frames]
    numbers = [frame.number or 0 for frame in frames]
    if source.pixels.transfer_syntax == DeflatedExplicitVRLittleEndian:
        dataset = dcmread(source.path)  # inflates; from here on the pixels are plain
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        planes = iter_pixels(dataset, indices=numbers, raw=True)
    else:
        planes = iter_pixels(source.path, indices=numbers, raw=True)
    return [np.asarray(plane) for plane in planes]


def _is_direct(layout: PixelLayout) -> bool:
    return layout.offset is not None and layout.bits_allocated in (8, 16, 32) and layout.samples == 1


def _direct(frame: Frame) -> NDArray[np.generic]:
    source, layout = frame.source, frame.source.pixels
    assert layout.offset is not None
    kind = np.dtype(
        f"{'>' if layout.big_endian else '<'}{'i' if layout.signed else 'u'}{layout.bits_allocated // 8}"
    )
    count = source.rows * source.columns
    start = layout.offset + (frame.number or 0) * count * kind.itemsize
    plane: NDArray[np.generic] = np.fromfile(source.path, dtype=kind, count=count, offset=start)
    plane = plane.astype(kind.newbyteorder("="), copy=False).reshape(source.rows, source.columns)
    unused = layout.bits_allocated - layout.bits_stored
    if unused > 0:  # bits above the stored ones may hold overlays: push them out, and the sign back in
        plane = np.right_shift(np.left_shift(plane, unused), unused)
    return plane
