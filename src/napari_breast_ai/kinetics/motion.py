"""Phases brought to where the pre-contrast phase lies (`pip install "napari-breast-ai[itk]"`).

Contrast changes the signal, so that signals cannot be compared as they are. Each image is first freed of its local mean
and scale (a window of some millimetres), which leaves edges and texture. A rigid registration by correlation comes
first (SimpleITK), then an elastic one, at reduced size and where there is tissue. The study itself is never changed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core import DceVolume, Progress, silent
from . import sitk
from .bspline import bspline
from .elastix import elastix, elastix_installed, need_elastix
from .enhancement import tissue_floor
from .errors import KineticsError
from .flow import elastic, freed
from .movement import Movement, Three, moved
from .signals import as_float

F32 = NDArray[np.float32]
Bool = NDArray[np.bool_]
Method = Literal["flow", "demons", "bspline", "elastix"]

METHODS = {
    "flow": "least squares in a window (fastest)",
    "demons": "symmetric demons of SimpleITK",
    "bspline": "B-spline of SimpleITK",
    "elastix": "B-spline of elastix",
}
"""The elastic steps that can be chosen, for people."""

LEAST = 4
"""Slices, rows or columns; a registration in three dimensions needs some of each."""

WIDER = 8.0
"""The rigid step's window, in windows of the elastic one."""

_STAGES = {"rigid": 10, "coarse": 10, "fine": 30, "sampling": 40, "check": 10}
"""Parts of a phase's time, in per cent."""


@dataclass(frozen=True)
class MotionSettings:
    """How phases are registered.

    Attributes:
        rigid: look for a rigid movement first.
        elastic: then for an elastic one.
        method: of the elastic step, a key of `METHODS`.
        pixel_mm: size of the voxels at the coarse level, about; the fine one has half of it within the slices. Never
            finer than the images.
        iterations: of the coarse and of the fine level, at most; of the method "flow".
        smooth_mm: standard deviation of the window that moves as one at the fine level; twice that at the coarse one; of
            the method "flow".
        window_mm: of the local mean and scale.
    """

    rigid: bool = True
    elastic: bool = True
    method: Method = "flow"
    pixel_mm: float = 3.0
    iterations: tuple[int, int] = (5, 3)
    smooth_mm: float = 12.0
    window_mm: float = 3.0

    def problems(self) -> list[str]:
        """What is wrong with the settings, in words; empty if nothing is."""
        found = []
        if not (self.rigid or self.elastic):
            found.append("A registration is rigid, elastic or both.")
        if self.method not in get_args(Method):
            found.append(
                f"There is no registration named {self.method!r}. Choose one of: {', '.join(METHODS)}."
            )
        if not all(math.isfinite(one) and one > 0 for one in (self.pixel_mm, self.smooth_mm, self.window_mm)):
            found.append("Pixel size, smoothing and window of a registration must be above 0.")
        if min(self.iterations) < 0 or max(self.iterations) > 1000:
            found.append("A registration takes 0 to 1000 iterations a level.")
        return found


@dataclass(frozen=True, eq=False)
class Corrected:
    """A study whose phases lie where the pre-contrast phase does.

    Attributes:
        volume: a new study; geometry, times and type of the pixels are the old one's, so boxes and maps stay in place.
        original: the study as it was, untouched.
        pre: the phase that the others were brought to.
        before_mm: the median movement in tissue that was found in each phase; 0 for the pre-contrast phase.
        after_mm: the same that an elastic registration at the coarse level still finds in the corrected phases.
    """

    volume: DceVolume = field(repr=False)
    original: DceVolume = field(repr=False)
    pre: int
    before_mm: tuple[float, ...]
    after_mm: tuple[float, ...]


def methods() -> tuple[Method, ...]:
    """The elastic steps that can be chosen here: elastix where it is installed."""
    return tuple(one for one in get_args(Method) if one != "elastix" or elastix_installed())


def correct_motion(
    volume: DceVolume,
    pre: int | None = None,
    settings: MotionSettings | None = None,
    progress: Progress = silent,
) -> Corrected:
    """Register every phase to the pre-contrast phase.

    Args:
        volume: the study.
        pre: the phase that stays; None for the one that the study was read with.
        settings: of the registration.
        progress: called several times a second with parts of the work, by the time that they take; may raise
            `Cancelled`, which ends the work.

    Raises:
        KineticsError: SimpleITK or elastix is not installed, there is one phase only or fewer than four slices, or the
            settings make no sense.
    """
    settings = MotionSettings() if settings is None else settings
    if found := settings.problems():
        raise KineticsError(" ".join(found))
    pre = volume.pre_contrast if pre is None else pre
    if volume.n_phases < 2 or not 0 <= pre < volume.n_phases:
        raise KineticsError("Motion is corrected between phases: open a study with two phases or more.")
    if min(volume.geometry.shape) < LEAST:
        raise KineticsError(
            f"Motion is corrected in stacks of {LEAST} slices or more: fewer tell too little. Open more slices of the "
            "study."
        )
    sitk.library()
    if settings.method == "elastix":
        need_elastix()
    data = volume.data.copy()
    before, after = [0.0] * volume.n_phases, [0.0] * volume.n_phases
    others = [phase for phase in range(volume.n_phases) if phase != pre]
    fixed, spacing = volume.data[pre], volume.geometry.spacing
    total = 100 * len(others)
    for number, phase in enumerate(others):
        steps = _Steps(progress, 100 * number, total, f"motion, phase {phase} of {volume.n_phases}")
        pair = Pair(fixed, volume.data[phase], spacing, settings)
        movement = pair.movement(steps)
        before[phase] = pair.median(movement)
        data[phase] = moved(volume.data[phase], movement, pair.where(movement), steps.part("sampling"))
        quick = replace(settings, rigid=False, elastic=True, method="flow", iterations=(4, 0))
        again = Pair(fixed, data[phase], spacing, quick)
        after[phase] = again.median(again.movement(_Steps(steps.part("check"), 0, 100, "")))
    progress(total, total, "motion")
    return Corrected(replace(volume, data=data), volume, pre, tuple(before), tuple(after))


class _Steps:
    """Tells how far the work on a phase is, stage by stage."""

    def __init__(self, progress: Progress, start: int, total: int, what: str) -> None:
        self._progress, self._start, self._total, self._what = progress, start, total, what

    def part(self, stage: str) -> Progress:
        """Progress within a stage."""
        names = list(_STAGES)
        begin = self._start + sum(_STAGES[name] for name in names[: names.index(stage)])

        def told(done: int, total: int, what: str) -> None:
            part = min(1.0, done / max(total, 1))
            self._progress(begin + int(_STAGES[stage] * part), self._total, self._what)

        return told

    def calls(self, stage: str, expected: int) -> Callable[[], None]:
        """The same for work that only says that it goes on, some `expected` times."""
        part, done = self.part(stage), 0

        def told() -> None:
            nonlocal done
            part(done, expected, "")
            done += 1

        return told


class Pair:
    """Two phases of a study at the sizes that they are registered at.

    Attributes:
        base: no movement, on cells of about twice the coarse level's voxels, around what is tissue in either phase.
        coarse, fine: voxels of the study to one of the level.
        tissue: cells with tissue in either phase.
    """

    def __init__(
        self,
        fixed: NDArray[Any],
        moving: NDArray[Any],
        spacing: tuple[float, float, float],
        settings: MotionSettings | None = None,
    ) -> None:
        self._settings = settings = MotionSettings() if settings is None else settings
        self._images = fixed, moving
        self.fine, self.coarse, cell = _sizes(fixed.shape, spacing, settings.pixel_mm)
        shape: Three = (fixed.shape[0], fixed.shape[1], fixed.shape[2])
        count = [n // k for n, k in zip(shape, cell, strict=True)]
        whole = Movement(np.zeros((3, *count), np.float32), cell, _middle(shape, count, cell), shape, spacing)
        floor = tissue_floor(fixed)
        small = [sitk.reduced(_part(one, whole), self.coarse) for one in (fixed, moving)]
        per_cell: Three = (cell[0] // self.coarse[0], cell[1] // self.coarse[1], cell[2] // self.coarse[2])
        masks = [sitk.reduced((one > floor).astype(np.float32), per_cell) > 0 for one in small]
        tissue = ndimage.binary_dilation(masks[0] | masks[1])
        if not tissue.any():
            tissue[:] = True
        box = ndimage.find_objects(tissue.astype(np.uint8))[0]
        self.tissue: Bool = tissue[box]
        self._inside: Bool = masks[0][box]
        corner = [c + one.start * k for c, one, k in zip(whole.corner, box, cell, strict=True)]
        self.base = replace(
            whole,
            grid=np.zeros((3, *self.tissue.shape), np.float32),
            corner=(corner[0], corner[1], corner[2]),
        )
        within = tuple(slice(one.start * k, one.stop * k) for one, k in zip(box, per_cell, strict=True))
        self._coarse = small[0][within], small[1][within]

    def movement(self, steps: _Steps | None = None) -> Movement:
        """Where each voxel of the first phase is found in the second.

        Args:
            steps: is told how far the work is; what it raises ends the work.
        """
        settings, base = self._settings, self.base
        steps = _Steps(silent, 0, 100, "") if steps is None else steps
        transform = None
        if settings.rigid:
            told = steps.calls("rigid", 40)
            told()
            window = WIDER * settings.window_mm
            transform = sitk.rigid(*self._coarse, self.coarse, base, window, told)
            base = sitk.on_cells(transform, base, base.cell)
        if not settings.elastic:
            return base
        if settings.method == "demons":
            count = sum(sitk.DEMONS)
            told = steps.calls("fine", count)
            return sitk.demons(
                [self._level(one) for one in (self.coarse, self.fine)], transform, self.base, told
            )
        if settings.method == "elastix":
            fixed, moving, step = self._level(self.coarse)
            return elastix(fixed, moving, self._tissue(step), step, base, steps.part("fine"))
        if settings.method == "bspline":
            fixed, moving, step = self._level(self.fine)
            return bspline(fixed, moving, self._tissue(step), step, base, steps.part("fine"))
        found = np.zeros_like(base.grid)
        levels = (("coarse", self.coarse, 2 * settings.smooth_mm), ("fine", self.fine, settings.smooth_mm))
        for (name, step, smooth), count in zip(levels, settings.iterations, strict=True):
            if count:
                told = steps.calls(name, 44 * count)
                told()
                fixed, moving, step = self._level(step)
                found = elastic(fixed, moving, step, base, found, count, smooth, told)
        return replace(base, grid=base.grid + found)

    def where(self, movement: Movement) -> Bool:
        """Cells of a movement that have tissue in either phase, and those beside them."""
        return self._tissue(movement.cell)

    def median(self, movement: Movement) -> float:
        """The median movement in the first phase's tissue, in mm."""
        if not self._inside.any():
            return 0.0
        ratio = [mine // its for mine, its in zip(self.base.cell, movement.cell, strict=True)]
        grid = movement.grid[
            :, ratio[0] // 2 :: ratio[0], ratio[1] // 2 :: ratio[1], ratio[2] // 2 :: ratio[2]
        ]
        return float(np.median(np.linalg.norm(grid[:, self._inside], axis=0)))

    def _tissue(self, step: Three) -> Bool:
        """The same cells, of that many voxels of the study."""
        mask = self.tissue
        for axis, (mine, its) in enumerate(zip(self.base.cell, step, strict=True)):
            mask = mask.repeat(mine // its, axis)
        return mask

    def _level(self, step: Three) -> tuple[F32, F32, Three]:
        """Both phases at a level's size, freed of their local mean and scale there."""
        spacing = tuple(mm * k for mm, k in zip(self.base.spacing, step, strict=True))
        if step == self.coarse:
            images = self._coarse
        else:
            images = (
                sitk.reduced(_part(self._images[0], self.base), step),
                sitk.reduced(_part(self._images[1], self.base), step),
            )
        one, other = (
            freed(image, (spacing[0], spacing[1], spacing[2]), self._settings.window_mm) for image in images
        )
        return one, other, step


def _part(phase: NDArray[Any], place: Movement) -> F32:
    """What of a phase the cells of a movement cover."""
    cells = zip(place.corner, place.grid.shape[1:], place.cell, strict=True)
    z, y, x = (slice(corner, corner + n * k) for corner, n, k in cells)
    return as_float(phase[z, y, x])


def _middle(shape: Three, count: list[int], cell: Three) -> Three:
    z, y, x = ((size - n * k) // 2 for size, n, k in zip(shape, count, cell, strict=True))
    return z, y, x


def _sizes(
    shape: tuple[int, ...], spacing: tuple[float, float, float], pixel_mm: float
) -> tuple[Three, Three, Three]:
    """Voxels to one of the fine level, of the coarse level, and to a cell, along each axis; each divides the next."""
    made = []
    for axis, (n, mm) in enumerate(zip(shape, spacing, strict=True)):
        # Few slices or pixels cannot be reduced further.
        most = max(1, n // (4 if axis == 0 else 8))
        fine = min(most, max(1, round((pixel_mm if axis == 0 else pixel_mm / 2) / mm)))
        coarse = fine * max(1, min(most // fine, round(pixel_mm / (mm * fine))))
        made.append(
            (fine, coarse, coarse * max(1, min(n // (2 * coarse), round(2 * pixel_mm / (mm * coarse)))))
        )
    z, y, x = made
    return (z[0], y[0], x[0]), (z[1], y[1], x[1]), (z[2], y[2], x[2])
