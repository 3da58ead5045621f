"""The tissues: names, relaxation, proton density, kinetics; and the paint box that mixes them in a voxel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .fields import F32, Floats, f32


@dataclass(frozen=True)
class Tissue:
    """One tissue.

    T1 in ms at 1.5 and 3 T; water and fat are proton densities relative to pure water; ktrans in 1/min; ve
    and vp are volume fractions. Fat has a T1 of its own (`FAT_T1_MS`).
    """

    code: int
    name: str
    t1_ms: tuple[float, float]
    water: float
    fat: float
    ktrans: float
    ve: float
    vp: float


FAT_T1_MS = (296.0, 367.0)
"""Breast fat at 1.5 and 3 T: Rakow-Penner et al., J Magn Reson Imaging 2006;23:87-91."""

# T1: breast tissue from Rakow-Penner 2006; blood, muscle, liver, heart from Stanisz et al., Magn Reson Med
# 2005;54:507-512 and de Bazelaire et al., Radiology 2004;230:652-659; the others look right
# beside them.
AIR = Tissue(0, "air", (1000, 1000), 0.0, 0.0, 0.0, 0.1, 0.0)
SKIN = Tissue(1, "skin", (900, 1050), 0.70, 0.15, 0.060, 0.30, 0.02)
FAT = Tissue(2, "fat", (1000, 1200), 0.06, 0.92, 0.003, 0.05, 0.004)
GLAND = Tissue(3, "fibroglandular tissue", (1266, 1445), 0.80, 0.12, 0.020, 0.35, 0.01)
NIPPLE = Tissue(4, "nipple", (1000, 1150), 0.80, 0.05, 0.16, 0.40, 0.03)
VESSEL = Tissue(5, "vessel", (1441, 1932), 0.75, 0.05, 0.0, 0.1, 0.40)
MUSCLE = Tissue(6, "muscle", (1060, 1412), 0.75, 0.06, 0.050, 0.12, 0.02)
BONE = Tissue(7, "bone", (900, 1000), 0.25, 0.45, 0.02, 0.10, 0.02)
LUNG = Tissue(8, "lung", (1200, 1300), 0.10, 0.0, 0.0, 0.1, 0.04)
HEART = Tissue(9, "heart muscle", (1030, 1470), 0.60, 0.02, 0.55, 0.25, 0.08)
BLOOD = Tissue(10, "blood in heart and great vessels", (1441, 1932), 0.56, 0.0, 0.0, 0.1, 0.58)
LIVER = Tissue(11, "liver", (586, 809), 0.62, 0.04, 0.22, 0.25, 0.10)
NODE = Tissue(12, "lymph node", (1100, 1300), 0.78, 0.10, 0.18, 0.35, 0.03)
LESION = Tissue(13, "lesion", (1250, 1430), 0.82, 0.05, 0.20, 0.40, 0.03)
ABSCESS = Tissue(14, "abscess or fluid", (1900, 2200), 0.95, 0.0, 0.004, 0.10, 0.0)

TISSUES = (
    AIR, SKIN, FAT, GLAND, NIPPLE, VESSEL, MUSCLE, BONE, LUNG, HEART, BLOOD, LIVER, NODE, LESION, ABSCESS
)  # fmt: skip


class PaintBox:
    """Properties of n voxels, painted over in layers; a layer mixes with what it covers in part.

    Attributes:
        water, fat: proton densities.
        r1: relaxation rate of the water, 1/s.
        ktrans, ve, vp: kinetics of the mixture.
        label: code of the tissue that last covered at least half of the voxel.
    """

    def __init__(self, n: int, field_t: float) -> None:
        self._column = 0 if field_t < 2 else 1
        self.water = np.zeros(n, dtype=np.float32)
        self.fat = np.zeros(n, dtype=np.float32)
        self.r1 = np.ones(n, dtype=np.float32)
        self.ktrans = np.zeros(n, dtype=np.float32)
        self.ve = np.full(n, 0.1, dtype=np.float32)
        self.vp = np.zeros(n, dtype=np.float32)
        self.label = np.zeros(n, dtype=np.uint8)

    def r1_of(self, tissue: Tissue) -> float:
        """The tissue's relaxation rate in 1/s at the phantom's field."""
        return 1000.0 / tissue.t1_ms[self._column]

    @property
    def r1_fat(self) -> float:
        """Relaxation rate of fat in 1/s."""
        return 1000.0 / FAT_T1_MS[self._column]

    def paint(
        self,
        where: NDArray[np.intp] | slice,
        cover: Floats,
        tissue: Tissue,
        *,
        ktrans: Floats | float | None = None,
        ve: Floats | float | None = None,
        water: Floats | float | None = None,
    ) -> None:
        """Cover the voxels `where` by fractions (0 to 1) with a tissue, its kinetics given or its own."""
        if not isinstance(where, slice):
            # Most layers cover little of the region that they are offered.
            some = np.flatnonzero(cover > 1e-3)
            where, cover = where[some], cover[some]
            ktrans, ve, water = (v[some] if isinstance(v, np.ndarray) else v for v in (ktrans, ve, water))
        layer = (
            (self.water, tissue.water if water is None else water),
            (self.fat, tissue.fat),
            (self.r1, self.r1_of(tissue)),
            (self.ktrans, tissue.ktrans if ktrans is None else ktrans),
            (self.ve, tissue.ve if ve is None else ve),
            (self.vp, tissue.vp),
        )
        for values, new in layer:
            old = values[where]
            values[where] = old + cover * (np.asarray(new, dtype=np.float32) - old)
        label = self.label[where]
        self.label[where] = np.where(cover >= 0.5, np.uint8(tissue.code), label)

    @property
    def kep(self) -> F32:
        """ktrans / ve, 1/min."""
        return f32(self.ktrans / np.maximum(self.ve, np.float32(1e-3)))
