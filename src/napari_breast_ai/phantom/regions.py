"""Where a phantom's breasts are: the truth that an outline of the breast is held against."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from . import tissues as t
from .anatomy import build_scene
from .make import Truth
from .spec import PhantomSpec
from .traits import body_traits

BEHIND_MM = 20.0
"""How far a breast reaches beside the chest wall, behind its front."""

GLAND_CODES = (t.GLAND.code, t.LESION.code, t.ABSCESS.code)
"""Tissues of the gland, and what grew in it."""


def breast_truth(spec: PhantomSpec) -> NDArray[np.uint8]:
    """The breasts of a phantom (z, y, x): 1 the right, 2 the left one, skin included.

    What lies over the breast's elliptic base, in front of the chest's muscles, at most 20 mm behind the chest's front.
    """
    scene = build_scene(spec, body_traits(spec))
    out = np.zeros(spec.shape, np.uint8)
    body = (scene.depth > 0) & (scene.chest < 0) & (scene.y <= BEHIND_MM)
    for breast in scene.traits.breasts:
        reach = np.hypot(
            (scene.x - breast.centre_x) / breast.half_x, (scene.z - breast.centre_z) / breast.half_z
        )
        own = body & (reach <= 1) & (scene.x * breast.side > 0)
        out.ravel()[scene.index[own]] = 1 if breast.side < 0 else 2
    return out


def tissue_truth(truth: Truth, breast: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Fibroglandular tissue (z, y, x) of a phantom's breasts, lesions included."""
    return np.asarray(np.isin(truth.tissue, GLAND_CODES) & (breast > 0))
