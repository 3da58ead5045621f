"""The outline of the body and the trunk: muscle, ribs, lungs, heart, great vessels, liver, spine."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core import Geometry
from . import tissues as t
from .fields import F32, Texture, bump, edge, f32, smooth_field, smooth_max, smoothstep, stream
from .spec import PhantomSpec
from .tissues import PaintBox
from .traits import BodyTraits, BreastTraits

_AIR_ABOVE_MM = 26.0
BASE_Y = 8.0
"""Where the breasts begin, mm behind the front of the chest wall."""


@dataclass(frozen=True)
class Scene:
    """The voxels of the body as lists of n, with where they lie.

    Attributes:
        geometry: of the whole image.
        index: flat index of each voxel in the image.
        z, y, x: patient coordinates in mm; y = 0 is the front of the chest wall, x = 0 the midline.
        depth: distance below the skin's surface in mm.
        chest: distance inside the chest wall's muscles' surface in mm, negative in front of it.
        pixel: size of a pixel in mm, the width of soft edges.
        texture: the phantom's noise.
        traits: the woman.
    """

    geometry: Geometry
    index: NDArray[np.intp]
    z: F32
    y: F32
    x: F32
    depth: F32
    chest: F32
    pixel: float
    texture: Texture
    traits: BodyTraits
    seed: int

    @property
    def points(self) -> F32:
        """(n, 3) as (z, y, x)."""
        return np.stack([self.z, self.y, self.x], axis=1)


def image_geometry(spec: PhantomSpec, traits: BodyTraits) -> Geometry:
    """Axial slices from foot to head, the breasts' air above, the trunk cut off behind."""
    step, pixel, _ = spec.spacing
    slices, _, columns = spec.shape
    top = -max(breast.length for breast in traits.breasts) - _AIR_ABOVE_MM
    top = min(top, -110.0)
    position = (-(columns - 1) / 2 * pixel, round(top + pixel / 2, 3), -(slices - 1) / 2 * step)
    return Geometry.from_dicom(
        spec.shape,
        (pixel, pixel),
        step,
        (round(position[0], 4), round(position[1], 4), round(position[2], 4)),
        (1, 0, 0, 0, 1, 0),
    )


def grid_axes(geometry: Geometry) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Patient z, y and x in mm of the slices, rows and columns."""
    slices, rows, columns = geometry.shape
    x0, y0, z0 = geometry.affine[:3, 3]
    step, row, column = geometry.spacing
    return z0 + step * np.arange(slices), y0 + row * np.arange(rows), x0 + column * np.arange(columns)


def build_scene(spec: PhantomSpec, traits: BodyTraits) -> Scene:
    """Find the voxels of the body."""
    geometry = image_geometry(spec, traits)
    axes = grid_axes(geometry)
    chest = _chest_distance(traits, axes)
    z, y, x = (axis.astype(np.float32) for axis in axes)
    ax = np.abs(x)
    fat = traits.fat_medial + (traits.fat_lateral - traits.fat_medial) * smoothstep(ax, 30, 120)
    body = chest + fat[None, None, :]
    body -= (3.0 * bump(x, 16) * (y < 60)[:, None]).astype(np.float32)[None]
    front = int(np.searchsorted(y, 75))
    for breast in traits.breasts:
        body[:, :front] = smooth_max(body[:, :front], _breast_distance(breast, z, y[:front], x), 20.0)
    body += 1.2 * smooth_field(stream(spec.seed, "outline"), axes, 45.0)
    pixel = geometry.spacing[1]
    index = np.flatnonzero(body.ravel() > -pixel)
    shape = geometry.shape
    plane, column = np.divmod(index, shape[2])
    slice_, row = np.divmod(plane, shape[1])
    return Scene(
        geometry,
        index,
        z[slice_],
        y[row],
        x[column],
        body.ravel()[index],
        chest.ravel()[index],
        pixel,
        Texture(stream(spec.seed, "texture")),
        traits,
        spec.seed,
    )


def _chest_distance(traits: BodyTraits, axes: tuple[NDArray[np.float64], ...]) -> F32:
    """Distance inside the muscles' surface, a superellipse that narrows to the head."""
    z, y, x = (axis.astype(np.float32) for axis in axes)
    half_y = np.float32(traits.trunk_depth / 2)
    half_x = (traits.trunk_half_x * (1 - 0.0006 * z))[:, None, None]
    u = np.abs(x)[None, None, :] / half_x
    # The front is flatter than the back.
    v = (np.abs(y - half_y) / half_y)[None, :, None]
    n = 2.45
    total = u**n + v**n
    slope = np.sqrt((u ** (n - 1) / half_x) ** 2 + (v ** (n - 1) / half_y) ** 2)
    f = total ** (1 / n)
    return f32((1 - f) * f ** (n - 1) / np.maximum(slope, 1e-4)).clip(-150, 150)


def _breast_distance(breast: BreastTraits, z: F32, y: F32, x: F32) -> F32:
    """Distance inside a hanging breast, near its surface in mm; (z, y, x) blocks."""
    along = ((BASE_Y - y) / (breast.length + BASE_Y))[None, :, None]
    lean = np.clip(along, 0, None) ** 1.5
    u = (x[None, None, :] - breast.centre_x - breast.tilt_x * lean) / breast.half_x
    w = (z[:, None, None] - breast.centre_z - breast.tilt_z * lean) / breast.half_z
    behind = np.float32((breast.length + BASE_Y) / 70.0)
    s = np.where(along > 0, along, -along * behind)
    p = breast.roundness
    total = (u * u + w * w) ** 1.15 + s**p
    f = (total ** (1 / 2.4)).astype(np.float32)
    gz = np.gradient(f, z, axis=0) if z.size > 1 else np.zeros_like(f)
    gy, gx = np.gradient(f, y, axis=1), np.gradient(f, x, axis=2)
    slope = np.sqrt(gx * gx + gy * gy + gz * gz)
    return f32((1 - f) / np.maximum(slope, np.float32(2e-3))).clip(-150, 60)


def nipple_of(breast: BreastTraits) -> tuple[float, float, float]:
    """(z, y, x) of the nipple's base, a little under the skin."""
    return (
        breast.centre_z + breast.tilt_z,
        -breast.length + 3.0,
        breast.centre_x + breast.tilt_x,
    )


def paint_trunk(scene: Scene, box: PaintBox) -> None:
    """Fat everywhere under the skin, then the trunk from outside to inside."""
    everything = slice(None)
    rng = stream(scene.seed, "trunk")
    tex, h = scene.texture, scene.pixel
    mottle = 1 + 0.06 * tex.at(rng, 22.0, scene.z, scene.y, scene.x)
    box.paint(
        everything, edge(scene.depth, h), t.FAT, water=np.asarray(t.FAT.water * mottle, dtype=np.float32)
    )
    box.fat *= mottle

    near = np.flatnonzero(scene.chest > -h)
    z, y, x, chest = scene.z[near], scene.y[near], scene.x[near], scene.chest[near]
    ax, front = np.abs(x), 1 - smoothstep(y, 52, 92)
    # Pectoral muscle in front, latissimus and serratus at the side, the long muscles of the back.
    pectoral = scene.traits.muscle * smoothstep(ax, 10, 45) * (1 - 0.45 * smoothstep(ax, 80, 125))
    thick = front * (2.0 + pectoral * (1 + 0.006 * z)) + (1 - front) * 9.0
    thick += 5 * smoothstep(y, 60, 120) + 22 * smoothstep(y, 150, 190) * bump(ax - 35, 30)
    thick += 1.0 * tex.at(rng, 40.0, z, y, x)
    fibres = tex.at(rng, (9.0, 3.0, 14.0), z, y, x) * 0.10 + tex.at(rng, 18.0, z, y, x) * 0.08
    muscle_kt = t.MUSCLE.ktrans * np.exp(0.5 * tex.at(rng, 12.0, z, y, x)).astype(np.float32)
    box.paint(near, edge(chest, h), t.MUSCLE, water=t.MUSCLE.water * (1 + fibres), ktrans=muscle_kt)
    # The sheet of fat between the pectoral muscles.
    sheet = bump(chest - 0.58 * thick, 0.8) * smoothstep(ax, 28, 45) * (0.4 + 0.4 * front)
    box.paint(near, sheet.astype(np.float32), t.FAT)

    inner = (chest - thick).astype(np.float32)
    arc = ax * 0.5 - 0.5 * np.maximum(y - 60, 0)
    rib_phase = np.cos(2 * np.pi * (z + 0.35 * arc + rng.uniform(0, 30)) / 31.0)
    side = smoothstep(ax, 20, 38)
    rib = edge((rib_phase - 0.1).astype(np.float32) * 4, h) * edge(4.2 - np.abs(inner - 6.0), h) * side
    box.paint(near, (edge(inner, h) * edge(11 - inner, h)).astype(np.float32) * 0.5, t.FAT)
    box.paint(near, rib.astype(np.float32), t.BONE)
    # Sternum: a lens of fatty marrow in a dark cortex.
    lens = (1 - np.hypot(x / 19.0, (chest - 9.5) / 7.0)) * 7.0 + 0.4 * tex.at(rng, 12.0, z, y, x)
    box.paint(near, (edge(lens, h) * front).astype(np.float32), t.BONE, water=0.30)
    box.paint(near, (0.6 * bump(lens, 0.9) * front).astype(np.float32), t.AIR)
    _paint_inside(scene, box, near, inner)
    _paint_trunk_vessels(scene, box, near)


def _ellipsoid(
    z: F32, y: F32, x: F32, centre: tuple[float, ...], half: tuple[float, ...], turn: float
) -> F32:
    """Distance inside an ellipsoid, roughly, in mm; turned by `turn` degrees in the slice."""
    c, s = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    dz, dy, dx = z - centre[0], y - centre[1], x - centre[2]
    u, v = c * dx + s * dy, c * dy - s * dx
    r = np.sqrt((dz / half[0]) ** 2 + (v / half[1]) ** 2 + (u / half[2]) ** 2)
    return f32((1 - r) * min(half))


def _paint_inside(scene: Scene, box: PaintBox, near: NDArray[np.intp], inner: F32) -> None:
    rng = stream(scene.seed, "organs")
    tex, h = scene.texture, scene.pixel
    keep = inner > 9
    where = near[keep]
    if not where.size:
        return
    z, y, x, inner = scene.z[where], scene.y[where], scene.x[where], inner[keep]
    back = scene.traits.trunk_depth
    rough = tex.at(rng, 30.0, z, y, x)
    fine = tex.at(rng, 9.0, z, y, x)
    box.paint(where, edge(inner - 11, h), t.LUNG, water=0.08 + 0.02 * fine)
    # Lung vessels: the crests of a noise, thicker towards the hilum.
    hilum = bump(np.hypot(np.abs(x) - 45, y - back / 2), 60)
    crest = tex.at(rng, 26.0, z, y, x)
    crest_2 = tex.at(rng, 26.0, z, y, x)
    tube = bump(np.hypot(crest, crest_2), 0.16) * (0.25 + 0.75 * hilum)
    box.paint(where, (tube * (inner > 14)).astype(np.float32), t.BLOOD)

    # Mediastinum.
    waist = 12 + 22 * smoothstep(y, 25, 80) + 4 * rough
    mid = edge(waist - np.abs(x - 4), h) * edge(back - 40 - y, 4.0)
    box.paint(where, (mid * (inner > 11)).astype(np.float32), t.FAT)
    shift = [float(v) for v in rng.normal(0, 4, 3)]
    heart_c = (-22 + shift[0], 74 + shift[1], 24 + shift[2])
    turn = rng.uniform(20, 40)
    heart = _ellipsoid(z, y, x, heart_c, (58, 44, 62), -turn) + 1.5 * rough
    box.paint(where, edge(heart + 4, h) * (inner > 9), t.FAT)
    # It beats while it is imaged: soft edges, streaks.
    streaks = tex.at(rng, (26.0, 4.0, 34.0), z, y, x)
    beat = 1 + 0.09 * fine + 0.08 * streaks + 0.10 * rough
    muscle_kt = t.HEART.ktrans * np.exp(0.25 * fine)
    box.paint(where, edge(heart, 3.5) * (inner > 9), t.HEART, ktrans=muscle_kt, water=t.HEART.water * beat)
    left = _ellipsoid(z, y, x, (heart_c[0], heart_c[1] + 6, heart_c[2] + 20), (42, 20, 31), -turn)
    right = _ellipsoid(z, y, x, (heart_c[0], heart_c[1] - 16, heart_c[2] - 16), (44, 20, 33), -turn - 10)
    atria = _ellipsoid(z, y, x, (heart_c[0] + 14, heart_c[1] + 22, heart_c[2] - 28), (30, 18, 30), 10)
    trabecles = 2.5 * tex.at(rng, 10.0, z, y, x)
    for chamber in (left, right, atria):
        cover = 0.85 * smoothstep(chamber + trabecles, -5, 5) * (inner > 9)
        box.paint(where, cover.astype(np.float32), t.BLOOD, water=t.BLOOD.water * beat)
    up = smoothstep(z, 8, 26)
    for cx, cy, r in ((-12, 66, 14), (16, 58, 13), (-30, 78, 9)):
        tube = edge(r - np.hypot(x - cx, y - cy) + 1.2 * rough + 0.4 * fine, 2.5) * up
        box.paint(where, tube.astype(np.float32), t.BLOOD, water=t.BLOOD.water * beat)
    # The pulmonary arteries spread from the trunk and thin out.
    spread = np.abs(x - 8)
    bow = 78 + 0.16 * spread + 3 * rough
    pulmonary = edge(9.5 - 0.14 * spread - np.hypot(y - bow, (z - 30 + 0.25 * spread) * 0.9), 2.0)
    box.paint(where, pulmonary.astype(np.float32), t.BLOOD)

    liver = _ellipsoid(z, y, x, (-118, 108, -60), (92, 96, 104), 0) + 1.5 * rough
    liver_kt = t.LIVER.ktrans * np.exp(0.15 * fine)
    box.paint(where, edge(liver, h) * (inner > 11), t.LIVER, ktrans=liver_kt.astype(np.float32))
    branches = bump(np.hypot(crest, crest_2), 0.10) * edge(liver - 4, h)
    box.paint(where, branches.astype(np.float32), t.VESSEL)

    vertebra = edge(19 - np.hypot(x * 0.9, (y - back + 62) * 1.15), h)
    box.paint(where, vertebra, t.BONE, water=0.35)
    canal = edge(8 - np.hypot(x, y - back + 36), h)
    box.paint(where, canal, t.ABSCESS)
    aorta = edge(10.5 - np.hypot(x - 22, y - back + 76) + 0.8 * rough, 2.5)
    box.paint(where, aorta, t.BLOOD, water=t.BLOOD.water * beat)


def _paint_trunk_vessels(scene: Scene, box: PaintBox, near: NDArray[np.intp]) -> None:
    """Internal mammary vessels beside the sternum, and the intercostal ones that leave them."""
    rng = stream(scene.seed, "trunk vessels")
    z, y, x, chest = scene.z[near], scene.y[near], scene.x[near], scene.chest[near]
    h = scene.pixel
    for side in (-1, 1):
        for offset, radius in ((rng.uniform(19, 23), 1.9), (rng.uniform(25, 29), 1.4)):
            wave = 1.5 * np.sin(z / rng.uniform(12, 20) + rng.uniform(0, 6))
            d = np.hypot(x - side * offset - wave, chest - 15.5)
            box.paint(near, (edge(radius - d, h) * (y < 60)).astype(np.float32), t.VESSEL)
