"""From tissue maps to what a scanner stores: signal, coil, motion, noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .anatomy import Scene, grid_axes
from .fields import F32, f32, smooth_field, stream
from .spec import PhantomSpec
from .tissues import PaintBox
from .tracer import HAEMATOCRIT, RELAXIVITY, impulse_table, parker_aif, spoiled_gradient_echo

TR_S = 0.0045
TE_S = 0.0020
FLIP_DEG = 12.0
ARRIVAL_S = 12.0
"""From the injection to the bolus in the arteries."""
_R2_STAR = 6.0
_SCALE = 30_000.0


def arrival_minutes(spec: PhantomSpec) -> NDArray[np.float64]:
    """Minutes from the bolus' arrival to the middle of each phase (centre of k-space)."""
    middle = (np.arange(spec.n_phases) + 0.5) * spec.interval_s
    return np.asarray((middle - spec.interval_s - ARRIVAL_S) / 60.0, dtype=np.float64)


class SignalModel:
    """The noise-free signal of the scene's voxels at any phase."""

    def __init__(self, box: PaintBox, minutes: NDArray[np.float64], fat_signal: F32 | float) -> None:
        self._box = box
        kep_grid = np.geomspace(1e-3, 40.0, 400)
        self._table = impulse_table(minutes, kep_grid).astype(np.float32)
        self._blood = (parker_aif(minutes) / (1 - HAEMATOCRIT)).astype(np.float32)
        at = np.log(np.clip(box.kep, 1e-3, 39.9) / np.float32(1e-3)) / np.log(kep_grid[1] / kep_grid[0])
        self._low = np.minimum(at.astype(np.int32), kep_grid.size - 2)
        self._part = (at - self._low).astype(np.float32)
        r1_fat = np.array([box.r1_fat], dtype=np.float32)
        self._fat: F32 = (box.fat * fat_signal * spoiled_gradient_echo(r1_fat, TR_S, FLIP_DEG)[0]).astype(
            np.float32
        )

    def concentration(self, phase: int) -> F32:
        """mM of contrast agent in each voxel's water."""
        row = self._table[phase]
        uptake = row[self._low] * (1 - self._part) + row[self._low + 1] * self._part
        return f32(self._box.ktrans * uptake + self._box.vp * self._blood[phase])

    def signal(self, phase: int) -> F32:
        """Signal, in units of the proton density of water."""
        c = self.concentration(phase)
        water = spoiled_gradient_echo(self._box.r1 + np.float32(RELAXIVITY) * c, TR_S, FLIP_DEG)
        water *= self._box.water * np.exp(np.float32(-TE_S) * (np.float32(_R2_STAR) * c))
        return f32(water + self._fat)


def coil_sensitivity(scene: Scene) -> F32:
    """Sensitivity of a breast coil on the grid (z, y, x): strong at the breasts, weak behind."""
    z, y, x = (axis.astype(np.float32) for axis in grid_axes(scene.geometry))
    total: F32 = np.zeros((1, y.size, x.size), dtype=np.float32)
    for breast in scene.traits.breasts:
        for dx, dy in ((-72, -15), (72, -15), (0, -breast.length - 25)):
            square = (x - breast.centre_x - dx)[None, None, :] ** 2 + (y - dy)[None, :, None] ** 2
            total = total + np.asarray(1 / (1 + square / 62.0**2), dtype=np.float32)
    body = 0.26 * np.exp(-(((y - 60) / 150.0) ** 2))[None, :, None]
    along = (1 / (1 + (z / 120.0) ** 2))[:, None, None]
    uneven = 1 + 0.07 * smooth_field(stream(scene.seed, "coil"), grid_axes(scene.geometry), 90.0)
    return f32((0.46 * total * along + body) * uneven)


def fat_suppression(scene: Scene) -> F32:
    """Signal left of the fat at each voxel of the scene: uneven with the field, worse near the skin."""
    axes = grid_axes(scene.geometry)
    field = smooth_field(stream(scene.seed, "shim"), axes, 75.0).ravel()[scene.index]
    left = scene.traits.fat_signal * np.exp(0.30 * field)
    # At the surface, where air begins, the field is off.
    left += 0.05 * np.exp(-scene.depth / 5.0) * np.clip(field, 0, 2)
    return f32(np.clip(left, 0.03, 0.5))


def phase_displacement(spec: PhantomSpec, scene: Scene, phase: int) -> tuple[F32, F32]:
    """Movement of phase against phase 0 in mm: dy (z, y, x), elastic, and dx (z,), as a whole per slice."""
    rng = stream(spec.seed, "motion", str(phase))
    axes = grid_axes(scene.geometry)
    drift = 1 - np.exp(-phase / 2.0)
    amount = spec.motion_mm * drift
    dy = amount * (0.5 * rng.normal() + 0.55 * smooth_field(rng, axes, 70.0))
    dx = amount * (0.5 * rng.normal() + 0.2 * rng.normal() * axes[0] / 70.0)
    return f32(np.clip(dy, -1.6, 1.6)), f32(np.clip(dx, -1.6, 1.6))


def displacement_across(spec: PhantomSpec, scene: Scene, phase: int) -> F32:
    """Elastic movement of phase against phase 0 across the slices in mm: dz (z, y, x)."""
    rng = stream(spec.seed, "motion across", str(phase))
    amount = spec.motion_across_mm * (1 - np.exp(-phase / 2.0))
    dz = amount * (0.5 * rng.normal() + 0.55 * smooth_field(rng, grid_axes(scene.geometry), 70.0))
    return f32(np.clip(dz, -3.0, 3.0))


def _cubic_taps(part: F32) -> tuple[F32, F32, F32, F32]:
    """Weights of a Catmull-Rom spline for the four neighbours at -1, 0, 1, 2."""
    p2, p3 = part * part, part * part * part
    return (
        -0.5 * part + p2 - 0.5 * p3,
        1 - 2.5 * p2 + 1.5 * p3,
        0.5 * part + 2 * p2 - 1.5 * p3,
        -0.5 * p2 + 0.5 * p3,
    )


def move(image: F32, dy: F32, dx: F32) -> F32:
    """Sample `image` (z, y, x) at y + dy and x + dx, in pixels; dy per voxel, dx per slice."""
    rows, columns = image.shape[1:]
    out = np.empty_like(image)
    row = np.arange(rows)[:, None]
    column = np.arange(columns)
    for k in range(image.shape[0]):
        low = np.floor(dy[k])
        taps = _cubic_taps((dy[k] - low).astype(np.float32))
        base = row + low.astype(np.intp)
        moved = sum(
            w * np.take_along_axis(image[k], np.clip(base + j - 1, 0, rows - 1), axis=0)
            for j, w in enumerate(taps)
        )
        whole = int(np.floor(dx[k]))
        weights = _cubic_taps(np.asarray(dx[k] - whole, dtype=np.float32))
        out[k] = sum(
            w * moved[:, np.clip(column + whole + j - 1, 0, columns - 1)] for j, w in enumerate(weights)
        )
    return np.maximum(out, 0)


def move_across(image: F32, dz: F32) -> F32:
    """Sample `image` (z, y, x) at z + dz, in slices; dz per voxel."""
    slices = image.shape[0]
    low = np.floor(dz)
    taps = _cubic_taps((dz - low).astype(np.float32))
    base = np.arange(slices)[:, None, None] + low.astype(np.intp)
    moved = sum(
        w * np.take_along_axis(image, np.clip(base + j - 1, 0, slices - 1), axis=0)
        for j, w in enumerate(taps)
    )
    return f32(np.maximum(moved, 0))


def heart_ghost(image: F32, heart: NDArray[np.bool_], rng: np.random.Generator) -> None:
    """Add the ghosts of the beating heart along the phase-encoding direction (left-right), in place."""
    columns = image.shape[2]
    shift = max(int(columns * rng.uniform(0.16, 0.24)), 1)
    source = np.where(heart, image, 0) * np.float32(rng.uniform(0.010, 0.025))
    image[:, :, shift:] += source[:, :, :-shift]
    image[:, :, :-shift] += source[:, :, shift:]


def store(image: F32, noise: float, gain: float, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Magnitude with Rician noise, as the scanner stores it."""
    out = np.empty(image.shape, dtype=np.uint16)
    for k in range(image.shape[0]):
        real = image[k] + np.float32(noise) * rng.standard_normal(image.shape[1:], dtype=np.float32)
        other = np.float32(noise) * rng.standard_normal(image.shape[1:], dtype=np.float32)
        magnitude = np.sqrt(real * real + other * other) * np.float32(gain * _SCALE)
        out[k] = np.minimum(np.rint(magnitude), 65535).astype(np.uint16)
    return out
