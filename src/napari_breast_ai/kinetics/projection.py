"""Projections of a phase or a subtraction: the highest or mean value along the slices, rows or columns, through all
of the stack or a slab, and turning around the patient's long axis."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..core import Geometry, Progress, silent
from .derived import Derived
from .errors import KineticsError
from .lazy import LazyStack
from .tiles import TILE, row_blocks, spread, threads

How = Literal["max", "mean"]
Axis = Literal[0, 1, 2]
"""Along the slices (the image keeps the stack's own plane), along the rows, along the columns."""


@dataclass(frozen=True, eq=False)
class Projection:
    """One image.

    Attributes:
        pixels: (rows, columns); float32.
        geometry: of one slice, as thick as what was projected, in the middle of it.
        name: for people.
    """

    pixels: NDArray[np.float32] = field(repr=False)
    geometry: Geometry
    name: str


def slab(geometry: Geometry, axis: Axis, centre: int, thickness_mm: float) -> tuple[int, int]:
    """First and last-but-one index of a slab around an index, at least one voxel, cut off at the stack's ends.

    Args:
        geometry: of the stack.
        axis: along which it is thick.
        centre: index.
        thickness_mm: of the slab.
    """
    count = max(1, round(thickness_mm / geometry.spacing[axis]))
    first = centre - (count - 1) // 2
    return max(0, first), min(geometry.shape[axis], first + count)


def project(
    image: Derived,
    axis: Axis = 0,
    how: How = "max",
    first: int = 0,
    stop: int | None = None,
    progress: Progress = silent,
) -> Projection:
    """Project a phase, a subtraction or a relative enhancement along an axis of the stack.

    Args:
        image: what to project.
        axis: 0 along the slices: (rows, columns); 1 along the rows: (slices, columns); 2 along the columns:
            (slices, rows).
        how: "max" or "mean".
        first, stop: indices along the axis; without them all.
        progress: may raise `Cancelled`.

    Raises:
        KineticsError: the slab holds nothing.
    """
    shape = image.geometry.shape
    stop = shape[axis] if stop is None else stop
    if not 0 <= first < stop <= shape[axis]:
        raise KineticsError(
            f"There is nothing from {first} to {stop} to project: the stack has {shape[axis]} there. Choose a slab "
            "inside it."
        )
    geometry = projected_geometry(image.geometry, axis, first, stop)
    if axis == 0:
        pixels = _along_slices(image, how, first, stop, progress)
    else:
        pixels = _in_slices(image, axis, how, first, stop, progress)
    whole = first == 0 and stop == shape[axis]
    said = "" if whole else f" of {(stop - first) * image.geometry.spacing[axis]:.0f} mm"
    return Projection(pixels, geometry, f"{'MIP' if how == 'max' else 'Mean'}{said}: {image.name}")


def projected_geometry(geometry: Geometry, axis: Axis, first: int, stop: int) -> Geometry:
    """Of the one slice that stands for the indices first to stop - 1 along an axis, in the middle between them."""
    others = [k for k in range(3) if k != axis]
    order = [axis, *others]
    affine = np.eye(4)
    affine[:3, :3] = geometry.affine[:3, order]
    affine[:3, 0] *= stop - first
    affine[:3, 3] = geometry.affine[:3, 3] + geometry.affine[:3, axis] * ((first + stop - 1) / 2)
    down, across = others
    return Geometry(
        (1, geometry.shape[down], geometry.shape[across]),
        (geometry.spacing[axis] * (stop - first), geometry.spacing[down], geometry.spacing[across]),
        affine,
    )


def brightest(
    image: Derived, axis: Axis, down: int, across: int, first: int = 0, stop: int | None = None
) -> int:
    """The index along an axis that a projection's pixel comes from: of its highest value, the first of equal ones.

    Args:
        image: what was projected.
        axis: along which.
        down, across: the pixel, counted along the other two axes of the stack, in their order.
        first, stop: of the slab; without them all.
    """
    line: list[Any] = [down, across]
    line.insert(axis, slice(first, stop))
    return first + int(np.argmax(image.at(tuple(line))))


def _along_slices(image: Derived, how: How, first: int, stop: int, progress: Progress) -> NDArray[np.float32]:
    """Tiles of rows, each through all slices: the running result stays in the cache."""
    _, rows, columns = image.geometry.shape
    out: NDArray[np.float32] = np.empty((rows, columns), np.float32)
    whole = how == "max" and image.kind == "subtraction" and image.volume.data.dtype.kind == "u"
    # Two arrays of the pixels' own small type: larger tiles stay in the cache, and cost fewer calls.
    tile_size = min(8 * TILE, -(-rows * columns // threads())) if whole else TILE

    def tile(block: slice) -> None:
        if whole:
            out[block] = _highest_rise(image, block, first, stop)
        else:
            out[block] = _running(image, block, how, first, stop)

    spread(tile, row_blocks(rows, columns, max(TILE, tile_size)), progress, "projection")
    return out


def _running(image: Derived, rows: slice, how: How, first: int, stop: int) -> NDArray[Any]:
    total: NDArray[Any] | None = None
    for z in range(first, stop):
        one = image.at((z, rows))
        if total is None:
            total = one.astype(np.float64) if how == "mean" else one.copy()
        elif how == "mean":
            total += one
        else:
            np.maximum(total, one, out=total)
    assert total is not None
    return total / (stop - first) if how == "mean" else total


def _highest_rise(image: Derived, rows: slice, first: int, stop: int) -> NDArray[Any]:
    """Highest difference of two phases of unsigned integers, which never leaves the pixels' own type.

    max(a, b) - b is the difference where that is positive, and 0 else; where nothing rises, it is computed anew.
    """
    data = image.volume.data
    assert image.base is not None
    later, earlier = data[image.phase, :, rows], data[image.base, :, rows]
    best = np.zeros(later.shape[1:], later.dtype)
    rise = np.empty_like(best)
    for z in range(first, stop):
        np.maximum(later[z], earlier[z], out=rise)
        rise -= earlier[z]
        np.maximum(best, rise, out=best)
    made = best.astype(np.float32)
    ys, xs = np.nonzero(best == 0)
    if ys.size:
        exact = np.full(ys.size, -np.inf, np.float32)
        for z in range(first, stop):
            change = later[z][ys, xs].astype(np.float32)
            change -= earlier[z][ys, xs]
            np.maximum(exact, change, out=exact)
        made[ys, xs] = exact
    return made


def _in_slices(
    image: Derived, axis: Axis, how: How, first: int, stop: int, progress: Progress
) -> NDArray[np.float32]:
    """Along rows or columns: slice by slice."""
    slices = image.geometry.shape[0]
    across = image.geometry.shape[3 - axis]
    out: NDArray[np.float32] = np.empty((slices, across), np.float32)
    wanted = (slice(first, stop), slice(None)) if axis == 1 else (slice(None), slice(first, stop))

    def one(z: int) -> None:
        pixels = image.at((z, *wanted))
        out[z] = pixels.max(axis=axis - 1) if how == "max" else pixels.mean(axis=axis - 1, dtype=np.float64)

    spread(one, range(slices), progress, "projection")
    return out


def slab_stack(image: Derived, thickness_mm: float, axis: Axis = 0, how: How = "max") -> LazyStack:
    """Sliding slabs: at each index along the axis the projection of the slab around it, computed when asked for.

    Args:
        image: what to project.
        thickness_mm: of the slab, above 0.
        axis: along which the slabs slide.
        how: "max" or "mean".

    Returns:
        (indices along the axis, rows, columns), float32.

    Raises:
        KineticsError: the slab has no thickness.
    """
    if not thickness_mm > 0:
        raise KineticsError("A slab must be thicker than 0 mm.")
    shape = image.geometry.shape
    down, across = (n for k, n in enumerate(shape) if k != axis)

    def block(begin: int, end: int) -> NDArray[np.float32]:
        made = np.empty((end - begin, down, across), np.float32)
        for k in range(begin, end):
            made[k - begin] = project(image, axis, how, *slab(image.geometry, axis, k, thickness_mm)).pixels
        return made

    return LazyStack((shape[axis], down, across), np.float32, block)
