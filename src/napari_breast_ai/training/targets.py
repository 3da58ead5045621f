"""Lesion boxes as targets for an attention map of h × w cells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..core import NORMAL_TISSUE, Box
from ..inference.box_cells import ReduceRule, boxes_to_map

NOT_A_LESION = (NORMAL_TISSUE,)
"""Classes of boxes that mark something else than a lesion."""


def attention_maps(
    boxes: Sequence[Sequence[Box]],
    image_shape: tuple[int, int],
    map_shape: tuple[int, int],
    rule: ReduceRule = "area",
) -> NDArray[np.float32]:
    """What an attention is taught: boxes of lesions of n slices, reduced as `boxes_to_map` does. float32 (n, h, w)."""
    maps = [
        boxes_to_map([box for box in one if box.label not in NOT_A_LESION], image_shape, map_shape, rule)
        for one in boxes
    ]
    return np.stack(maps)
