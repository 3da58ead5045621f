"""A narrower view of a phantom: one breast, as unilateral protocols and cut-out images show it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..core import Geometry
from .make import Phantom


def one_breast(phantom: Phantom) -> Phantom:
    """The phantom in a field of half its width and height, around the breast with the lesion (without one: her right).

    The field begins at the top of the image. Volume and truth lie in the patient where they did, so that boxes are in
    the narrower image's pixels. UIDs are those of the whole phantom: write one of the two only.
    """
    shape = phantom.volume.geometry.shape
    width = shape[2] // 2
    rows = shape[1] // 2
    traits = phantom.truth.traits
    # Columns run to the patient's left.
    first = shape[2] - width if traits is not None and traits.side > 0 else 0
    where = (..., slice(0, rows), slice(first, first + width))

    def cut(values: Any) -> Any:
        return np.ascontiguousarray(values[where])

    old = phantom.volume.geometry
    affine = old.affine.copy()
    affine[:3, 3] = old.to_patient([0, 0, first])
    boxes = tuple(
        replace(box, x0=box.x0 - first, x1=box.x1 - first).clipped(rows, width)
        for box in phantom.truth.boxes
        if box.y0 < rows - 0.5 and first - 0.5 < box.x1 and box.x0 < first + width - 0.5
    )
    volume = replace(
        phantom.volume,
        data=cut(phantom.volume.data),
        geometry=Geometry((shape[0], rows, width), old.spacing, affine),
    )
    truth = phantom.truth
    maps = {name: cut(getattr(truth, name)) for name in ("lesion", "tissue", "ktrans", "kep", "ve", "vp")}
    return replace(phantom, volume=volume, truth=replace(truth, boxes=boxes, **maps))
