"""Lesions: where they grow, what they look like inside, how they take up contrast."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import tissues as t
from .anatomy import Scene, nipple_of
from .breast import BreastVoxels, fan
from .fields import F32, Rng, bump, edge, f32, nearest_tube, smoothstep, stream
from .tissues import PaintBox
from .traits import LesionTraits


@dataclass(frozen=True)
class LesionVoxels:
    """The lesion's region in the scene.

    Attributes:
        where: positions in the scene's lists.
        cover: how much of each voxel belongs to the lesion's region, 0 to 1.
        centre: (z, y, x) in mm.
    """

    where: NDArray[np.intp]
    cover: F32
    centre: tuple[float, float, float]


def paint_lesion(
    scene: Scene, box: PaintBox, breast: BreastVoxels, traits: LesionTraits, kind: str
) -> LesionVoxels:
    """Grow the lesion in the breast and paint it."""
    rng = stream(scene.seed, "lesion voxels", kind)
    centre = _centre(scene, breast, traits, rng)
    inside = _region(scene, breast, traits, centre, rng)
    hit = np.flatnonzero(inside > -scene.pixel)
    where = breast.where[hit]
    cover = edge(inside[hit], 1.6 * scene.pixel)
    z, y, x = breast.z[hit], breast.y[hit], breast.x[hit]
    pattern, dark, shells = _pattern(scene, breast, traits, hit, inside[hit], rng)

    tex = scene.texture
    spread = np.exp(traits.dispersion * tex.at(rng, 8.0, z, y, x) - 0.5 * traits.dispersion**2)
    kep = traits.kep * np.exp(0.6 * traits.dispersion * tex.at(rng, 10.0, z, y, x))
    ktrans = traits.ktrans * spread * np.maximum(pattern, shells)
    # The space that the agent can fill has a limit, so a fast and leaky voxel washes out faster.
    ve = np.clip(ktrans / kep, 0.03, 0.85).astype(np.float32)
    alpha = cover * np.clip(np.maximum(0.30 + 0.70 * pattern, shells), 0, 0.97)
    box.paint(where, alpha.astype(np.float32), t.LESION, ktrans=ktrans.astype(np.float32), ve=ve)
    box.paint(where, (cover * dark).astype(np.float32), t.ABSCESS)
    return LesionVoxels(where, cover, centre)


def _centre(scene: Scene, breast: BreastVoxels, traits: LesionTraits, rng: Rng) -> tuple[float, float, float]:
    """A place in or beside gland, inside the imaged slab and not too near skin or muscle."""
    tr = breast.traits
    slab = scene.geometry.shape[0] * scene.geometry.spacing[0]
    limit = max(min(34.0, 0.5 * slab - 0.45 * traits.extent_mm), 0.12 * slab)
    room = float(np.clip(0.24 * traits.extent_mm, 5, 12))
    picks = rng.random(48)
    fits = (breast.depth > room) & (breast.chest < -room) & (np.abs(breast.z) < limit)
    fits &= (breast.behind > 0.18 * tr.length) & (np.hypot(breast.fan_x, breast.fan_z) < 0.75)
    best: tuple[float, int] | None = None
    candidates = np.flatnonzero(fits)
    if not candidates.size:
        candidates = np.arange(breast.where.size)
    for pick in picks[:24]:
        c = int(candidates[int(pick * candidates.size)])
        score = float(breast.gland[c]) + 0.02 * float(min(breast.depth[c], 25.0))
        if best is None or score > best[0]:
            best = (score, c)
    assert best is not None
    c = best[1]
    return float(breast.z[c]), float(breast.y[c]), float(breast.x[c])


def _region(
    scene: Scene, v: BreastVoxels, traits: LesionTraits, centre: tuple[float, float, float], rng: Rng
) -> F32:
    """Distance inside the lesion's region, roughly, in mm."""
    tex = scene.texture
    ragged = 0.55 * tex.at(rng, 16.0, v.z, v.y, v.x) + 0.35 * tex.at(rng, 6.5, v.z, v.y, v.x)
    half, across = traits.extent_mm / 2, traits.extent_mm * traits.width / 2
    z0, y0, x0 = (np.array([c], dtype=np.float32) for c in centre)
    behind, fan_x, fan_z = (float(c[0]) for c in fan(v.traits, z0, y0, x0))
    if traits.distribution in ("segmental", "linear"):
        # A sector of the ductal tree: narrow at the nipple, wide behind.
        away = np.hypot(v.fan_x - fan_x, v.fan_z - fan_z) * (behind + 14)
        along = np.abs(v.behind - behind)
        if traits.distribution == "linear":
            across = float(np.clip(0.30 * across, 2.6, 5.0))
            core = across - away * (v.behind + 14) / (behind + 14)
            inside = np.minimum(core, half - along) + 1.6 * ragged
            inside = np.maximum(inside, _side_ducts(v, centre, half, across, rng))
        else:
            taper = np.sqrt(np.clip((v.behind + 14) / (behind + 14), 0.05, 4))
            inside = (1 - np.sqrt((away / across) ** 2 + (along / half) ** 2)) * across * taper
            inside += 0.22 * across * ragged + 1.2 * ragged
    else:
        turn = rng.uniform(-60, 60)
        c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
        dz, dy, dx = v.z - z0, v.y - y0, v.x - x0
        u, w = c * dx + s * dy, c * dy - s * dx
        tall = 0.5 * (half + across)
        r = np.sqrt((dz / tall) ** 2 + (u / half) ** 2 + (w / across) ** 2)
        if traits.distribution == "mass":
            inside = (1 - r) * across + 0.10 * across * ragged + 0.4 * ragged
            inside += _spicules(scene, traits, dz, dy, dx, rng)
        else:
            inside = (1 - r) * across + 0.30 * across * ragged + 1.0 * ragged
        if traits.distribution == "focal":
            inside += 0.5 * ragged
    # It prefers gland and does not grow into muscle; skin it may reach.
    inside += 1.6 * (v.gland - 0.6) - 3.0 * smoothstep(v.chest, -4, 0)
    return f32(np.minimum(inside, v.depth - 0.6))


def _spicules(scene: Scene, traits: LesionTraits, dz: F32, dy: F32, dx: F32, rng: Rng) -> F32:
    """How far a mass grows outwards at each voxel, in mm: along some directions from its centre, dz, dy, dx away."""
    away = np.sqrt(dz * dz + dy * dy + dx * dx) + 1e-3
    # The same along a ray, so that what stands out is a spicule and no bump.
    rays = scene.texture.at(rng, 5.0, 11 * dz / away, 11 * dy / away, 11 * dx / away)
    reach = traits.spikes * (2.0 + 0.22 * traits.extent_mm)
    return f32(reach * np.clip(rays - 0.3, 0, 1.6))


def _side_ducts(
    v: BreastVoxels, centre: tuple[float, float, float], half: float, radius: float, rng: Rng
) -> F32:
    """Two or three ducts that leave a linear lesion: distance inside them in mm."""
    apex = np.array(nipple_of(v.traits))
    axis = np.array(centre) - apex
    axis /= np.linalg.norm(axis)
    centres, radii = [], []
    for _ in range(3):
        point = np.array(centre) + axis * rng.uniform(-0.7, 0.4) * half
        direction = axis + rng.normal(0, 0.35, 3)
        for _ in range(int(0.8 * half)):
            direction = direction + rng.normal(0, 0.08, 3)
            direction /= np.linalg.norm(direction)
            point = point + direction
            centres.append(point)
            radii.append(radius * 0.6)
    out = np.full(v.where.size, -50.0, dtype=np.float32)
    near, depth, _ = nearest_tube(v.points, np.array(centres, np.float32), np.array(radii, np.float32), 8.0)
    out[near] = depth
    return out


def _pattern(
    scene: Scene, v: BreastVoxels, traits: LesionTraits, hit: NDArray[np.intp], inside: F32, rng: Rng
) -> tuple[F32, F32, F32]:
    """Relative enhancement (0 to 1), coverage by fluid that does not enhance, enhancement of ring walls."""
    tex = scene.texture
    z, y, x = v.z[hit], v.y[hit], v.x[hit]
    coarse = tex.at(rng, 12.0, z, y, x)
    clump = tex.at(rng, 6.5, z, y, x)
    fine = tex.at(rng, 3.6, z, y, x)
    nothing = np.zeros_like(clump)
    if traits.pattern == "clumped":
        # Cobblestones: bright grains with darker seams.
        stones = smoothstep(clump + 0.35 * fine, -0.55, 0.55)
        return (0.22 + 0.78 * stones).astype(np.float32), nothing, nothing
    if traits.pattern == "homogeneous":
        return np.clip(0.88 + 0.06 * coarse, 0.6, 1.0).astype(np.float32), nothing, nothing
    if traits.pattern == "rim":
        # Bright where it grows, less inside.
        rim = bump(inside - 1.5, 2.2)
        return np.clip(0.42 + 0.5 * rim + 0.12 * coarse, 0.15, 1.0).astype(np.float32), nothing, nothing
    if traits.pattern == "heterogeneous":
        # Some of it dies: small necroses that do not enhance, with no wall around.
        field = 0.60 + 0.26 * coarse + 0.16 * clump + 0.10 * fine
        dead = smoothstep(-(coarse + 0.5 * clump), 1.5, 1.9) * 0.7
        return np.clip(field, 0.08, 1.0).astype(np.float32), dead, nothing
    between = np.clip(0.45 + 0.17 * coarse + 0.15 * clump + 0.08 * fine, 0.10, 0.9).astype(np.float32)
    shells, dark = nothing.copy(), nothing.copy()
    core = np.flatnonzero(inside > 1.5)
    if not core.size:
        core = np.arange(hit.size)
    picks = rng.random(6 * traits.rings)
    radii = rng.uniform(1.6, 5.0, 6 * traits.rings)
    walls = rng.uniform(1.3, 2.1, 6 * traits.rings)
    strength = rng.uniform(0.75, 1.0, 6 * traits.rings)
    dent = 0.9 * tex.at(rng, 9.0, z, y, x) + 0.45 * tex.at(rng, 4.5, z, y, x)
    uneven = np.clip(0.85 + 0.25 * tex.at(rng, 6.0, z, y, x), 0.25, 1.0)
    squeeze = rng.uniform(0.75, 1.3, (6 * traits.rings, 3))
    placed: list[tuple[float, float, float, float]] = []
    for k, pick in enumerate(picks):
        c = core[int(pick * core.size)]
        at = (float(z[c]), float(y[c]), float(x[c]))
        outer = radii[k] + walls[k]
        if any(
            np.hypot(np.hypot(at[0] - p[0], at[1] - p[1]), at[2] - p[2]) < 0.72 * (outer + p[3])
            for p in placed
        ):
            continue
        placed.append((*at, outer))
        near = np.flatnonzero((np.abs(y - at[1]) < 12) & (np.abs(x - at[2]) < 12) & (np.abs(z - at[0]) < 12))
        d = np.sqrt(
            ((z[near] - at[0]) * squeeze[k, 0]) ** 2
            + ((y[near] - at[1]) * squeeze[k, 1]) ** 2
            + ((x[near] - at[2]) * squeeze[k, 2]) ** 2
        )
        d = d + dent[near]
        middle = radii[k] + 0.5 * walls[k]
        wall = strength[k] * uneven[near] * bump(d - middle, 0.70 * walls[k] + 0.2 * scene.pixel)
        shells[near] = np.maximum(shells[near], wall)
        dark[near] = np.maximum(dark[near], smoothstep(radii[k] - d, -0.5 * scene.pixel, 0.6 * scene.pixel))
        if len(placed) == traits.rings:
            break
    return between, (0.92 * dark * (1 - shells)).astype(np.float32), shells


def skin_over(
    scene: Scene, lesion: LesionVoxels | None, traits: LesionTraits | None
) -> tuple[F32 | float, F32 | float]:
    """Thickness (mm) and ktrans (1/min) of the skin, thicker and inflamed over a lesion that thickens it."""
    base = scene.traits.skin
    if lesion is None or traits is None or traits.skin_mm <= 0:
        return base, t.SKIN.ktrans
    z0, y0, x0 = lesion.centre
    d = np.sqrt((scene.z - z0) ** 2 + (scene.y - y0) ** 2 + (scene.x - x0) ** 2).astype(np.float32)
    reach = 0.5 * traits.extent_mm + 22
    near = (1 - smoothstep(d, 0.6 * reach, 1.15 * reach)) * (scene.chest < -3)
    return (
        (base + traits.skin_mm * near).astype(np.float32),
        (t.SKIN.ktrans + 0.09 * near).astype(np.float32),
    )
