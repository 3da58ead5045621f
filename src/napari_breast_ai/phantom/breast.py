"""Inside the breasts: gland, ducts, septa, vessels, nipple, skin, background enhancement, lymph nodes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import tissues as t
from .anatomy import BASE_Y, Scene, nipple_of
from .fields import F32, Rng, bump, edge, f32, nearest_tube, smoothstep, stream
from .tissues import PaintBox
from .traits import BodyTraits, BreastTraits


@dataclass(frozen=True)
class BreastVoxels:
    """The voxels of one breast in front of the muscle, in the breast's own coordinates.

    Attributes:
        traits: the breast.
        where: positions in the scene's lists.
        z, y, x, depth, chest: as in the scene.
        behind: distance behind the nipple along the breast's axis, mm.
        fan_x, fan_z: direction from behind the nipple, outwards and upwards, as tangents.
        gland: coverage by gland, 0 to 1.
    """

    traits: BreastTraits
    where: NDArray[np.intp]
    z: F32
    y: F32
    x: F32
    depth: F32
    chest: F32
    behind: F32
    fan_x: F32
    fan_z: F32
    gland: F32

    @property
    def points(self) -> F32:
        """(n, 3) as (z, y, x)."""
        return np.stack([self.z, self.y, self.x], axis=1)


def paint_breasts(scene: Scene, box: PaintBox) -> tuple[BreastVoxels, BreastVoxels]:
    """Paint both breasts; what they are made of goes back for the lesion to grow in."""
    breasts = []
    for traits in scene.traits.breasts:
        name = "right" if traits.side < 0 else "left"
        voxels = _voxels(scene, traits)
        gland = _gland(scene, voxels, stream(scene.seed, "gland", name))
        voxels = BreastVoxels(**{**voxels.__dict__, "gland": gland})
        _paint_gland(scene, box, voxels, stream(scene.seed, "paint", name))
        paint_vessels(scene, box, voxels, stream(scene.seed, "vessels", name), number=4)
        _paint_node(scene, box, traits, stream(scene.seed, "node", name))
        breasts.append(voxels)
    return breasts[0], breasts[1]


def fan_origin(traits: BreastTraits) -> tuple[float, float, float]:
    """(z, y, x) of the point in front of the nipple from which the lobes fan out."""
    z, y, x = nipple_of(traits)
    return z, y - 14.0, x


def fan(traits: BreastTraits, z: F32, y: F32, x: F32) -> tuple[F32, F32, F32]:
    """(behind, fan_x, fan_z) of points: mm behind the nipple, tangents outwards and upwards."""
    z0, y0, x0 = fan_origin(traits)
    along = (y - np.float32(y0)).astype(np.float32)
    share = np.clip(along / np.float32(traits.length), 0, 1.2)
    # The axis runs from the nipple back to the breast's base.
    axis_x = np.float32(x0) - np.float32(traits.tilt_x) * share
    axis_z = np.float32(z0) - np.float32(traits.tilt_z) * share
    room = np.maximum(along, np.float32(6.0))
    fan_x = (x - axis_x) * np.float32(traits.side) / room
    fan_z = (z - axis_z) / room
    return (along - 14).astype(np.float32), fan_x.astype(np.float32), fan_z.astype(np.float32)


def _voxels(scene: Scene, traits: BreastTraits) -> BreastVoxels:
    side = scene.x * traits.side > 0
    reach = np.hypot(
        (scene.x - np.float32(traits.centre_x)) / (traits.half_x + 12),
        (scene.z - np.float32(traits.centre_z)) / (traits.half_z + 12),
    )
    where = np.flatnonzero(side & (scene.chest < 1) & (scene.y < 60) & (reach < 1.1) & (scene.depth > 0))
    z, y, x = scene.z[where], scene.y[where], scene.x[where]
    behind, fan_x, fan_z = fan(traits, z, y, x)
    empty = np.zeros(where.size, dtype=np.float32)
    return BreastVoxels(
        traits, where, z, y, x, scene.depth[where], scene.chest[where], behind, fan_x, fan_z, empty
    )


def _ducts(traits: BreastTraits, rng: Rng) -> tuple[F32, F32]:
    """A tree of ducts from the nipple: dense samples (m, 3) of the centre lines, and radii in mm."""
    start = np.array(nipple_of(traits))
    goal_y = BASE_Y - 12
    samples: list[np.ndarray] = []
    radii: list[float] = []

    def grow(point: np.ndarray, direction: np.ndarray, length: float, radius: float, level: int) -> None:
        step = 1.5
        for _ in range(int(length / step)):
            direction = direction + rng.normal(0, 0.10, 3)
            direction /= np.linalg.norm(direction)
            point = point + step * direction
            if point[1] > goal_y:
                return
            samples.append(point)
            radii.append(radius)
        if level < 4:
            for _ in range(2 if level else 3):
                turn = direction + rng.normal(0, 0.42, 3)
                grow(
                    point,
                    turn / np.linalg.norm(turn),
                    length * rng.uniform(0.6, 0.9),
                    radius * 0.8,
                    level + 1,
                )

    for _ in range(11):
        aim = np.array([rng.normal(0, 0.42), 1.0, rng.normal(0.12 * traits.side, 0.42)])
        grow(start, aim / np.linalg.norm(aim), traits.length * rng.uniform(0.18, 0.32), 1.3, 0)
    return np.array(samples, dtype=np.float32), np.array(radii, dtype=np.float32)


def _gland(scene: Scene, v: BreastVoxels, rng: Rng) -> F32:
    """Coverage by fibroglandular tissue.

    A field that is high in the middle of the breast and along the ducts, streaked towards the nipple; the
    threshold is the one that gives the breast's share of gland.
    """
    if not v.where.size:
        return np.zeros(0, dtype=np.float32)
    tr, tex = v.traits, scene.texture
    length = tr.length
    # Stretched coordinates: streaks run towards the nipple, finer across than along, winding.
    s = np.sqrt(np.maximum(v.behind, 0) / np.float32(length)).astype(np.float32) * np.float32(3.0)
    bend_x = v.fan_x + np.float32(0.05) * tex.at(rng, 16.0, v.z, v.y, v.x)
    bend_z = v.fan_z + np.float32(0.05) * tex.at(rng, 16.0, v.z, v.y, v.x)
    strand = bump(tex.at(rng, (2.2, 0.34, 0.34), s, bend_x, bend_z), 0.42)
    strand_fine = bump(tex.at(rng, (1.5, 0.17, 0.17), s, bend_x, bend_z), 0.40)
    lobule = tex.at(rng, 8.0, v.z, v.y, v.x)
    fine = tex.at(rng, 3.8, v.z, v.y, v.x)
    patch = tex.at(rng, 30.0, v.z, v.y, v.x)
    out = (v.x - np.float32(tr.centre_x)) * tr.side
    middle = 1.0 - (
        ((out - 4) / (0.66 * tr.half_x)) ** 2
        + ((v.z - tr.centre_z - 4) / (0.66 * tr.half_z)) ** 2
        + ((v.behind - 0.44 * length) / (0.56 * length)) ** 2
    )
    centres, radii = _ducts(tr, rng)
    near, inside, _ = nearest_tube(v.points, centres, radii, 7.0)
    duct = np.zeros_like(s)
    duct[near] = smoothstep(inside, -5.5, 0.0)
    field = 1.1 * middle + 0.75 * strand + 0.60 * strand_fine + 0.40 * patch + 0.16 * lobule + 0.14 * fine
    field += 0.60 * duct
    # The layer of fat under the skin and the one in front of the muscle.
    shell = 4 + 0.05 * length + 2.5 * tex.at(rng, 22.0, v.z, v.y, v.x)
    behind_nipple = bump(np.hypot(v.fan_x, v.fan_z), 0.5) * bump(v.behind, 16)
    field -= 3.0 * (1 - smoothstep(v.depth - shell, -4, 8)) * (1 - behind_nipple)
    field -= 3.0 * smoothstep(v.chest, -10, -2)
    field += 0.5 * behind_nipple
    threshold = np.quantile(field, 1 - tr.gland_fraction)
    # Not paper cut: gland thins out over some millimetres, and strips of fat run between its lobes.
    cover = smoothstep((field - threshold).astype(np.float32), -0.55, 0.55)
    strip = smoothstep(tex.at(rng, (1.3, 0.20, 0.20), s, bend_x, bend_z) + 0.35 * lobule, 0.5, 1.6)
    return f32(cover * (1 - 0.65 * strip))


def _paint_gland(scene: Scene, box: PaintBox, v: BreastVoxels, rng: Rng) -> None:
    if not v.where.size:
        return
    tex, body = scene.texture, scene.traits
    # Cooper's ligaments: thin curved sheets, where a smooth noise crosses zero.
    for scale, strength in ((20.0, 0.42), (12.0, 0.24)):
        sheet = np.abs(tex.at(rng, scale, v.z, v.y, v.x))
        septa = strength * bump(sheet, 0.11) * smoothstep(v.depth, 1, 4)
        box.paint(v.where, septa.astype(np.float32), t.GLAND, ktrans=0.012)
    tone = 1 + 0.07 * tex.at(rng, 7.0, v.z, v.y, v.x)
    box.paint(
        v.where, v.gland, t.GLAND, water=t.GLAND.water * tone, ktrans=_background(scene, v, rng), ve=0.34
    )
    if body.foci:
        _paint_foci(scene, box, v, rng)


def _background(scene: Scene, v: BreastVoxels, rng: Rng) -> F32:
    """ktrans of the gland: patchy, stronger at the gland's rim (fed from outside) than behind the nipple."""
    tex, tr = scene.texture, v.traits
    rim = smoothstep(np.hypot(v.fan_x, v.fan_z), 0.1, 0.8) * 0.6 + 0.5
    patch = np.exp(0.45 * tex.at(rng, 14.0, v.z, v.y, v.x) + 0.30 * tex.at(rng, 5.0, v.z, v.y, v.x))
    late = 0.7 + 0.5 * smoothstep(v.behind / np.float32(tr.length), 0.2, 0.9)
    return f32(scene.traits.bpe_ktrans * rim * patch * late)


def _paint_foci(scene: Scene, box: PaintBox, v: BreastVoxels, rng: Rng) -> None:
    """Foci of background enhancement: dots below 5 mm in the gland."""
    candidates = np.flatnonzero(v.gland > 0.6)
    number = int(rng.binomial(scene.traits.foci, 0.5))
    picks = rng.random(number)
    sizes = rng.uniform(1.2, 2.4, number)
    strength = rng.uniform(0.05, 0.14, number)
    if not candidates.size:
        return
    for pick, radius, ktrans in zip(picks, sizes, strength, strict=True):
        c = candidates[int(pick * candidates.size)]
        d = np.sqrt((v.z - v.z[c]) ** 2 + (v.y - v.y[c]) ** 2 + (v.x - v.x[c]) ** 2)
        hit = np.flatnonzero(d < radius + scene.pixel)
        cover = edge(radius - d[hit], scene.pixel)
        box.paint(v.where[hit], cover, t.GLAND, ktrans=float(ktrans), ve=0.36)


def vessel_paths(traits: BreastTraits, body: BodyTraits, rng: Rng, number: int) -> tuple[F32, F32]:
    """Winding vessels from the chest wall to behind the nipple: samples (m, 3) as (z, y, x), radii in mm."""
    samples: list[np.ndarray] = []
    radii: list[float] = []
    nipple = np.array(nipple_of(traits))
    for k in range(number):
        # Medial ones come from the internal mammary, lateral ones from the lateral thoracic vessels.
        medial = k % 2 == 0
        angle = rng.uniform(-1.3, 1.3) + (np.pi if medial else 0.0)
        wide = rng.uniform(0.5, 0.85)
        start = np.array(
            [
                traits.centre_z + wide * traits.half_z * np.sin(angle),
                rng.uniform(-8, 6),
                traits.centre_x + traits.side * wide * traits.half_x * np.cos(angle),
            ]
        )
        goal = nipple + np.array([rng.normal(0, 16), rng.uniform(2, 30), rng.normal(0, 16)])
        _walk(rng, start, goal, rng.uniform(0.6, 1.2), samples, radii, 0)
    return np.array(samples, dtype=np.float32).reshape(-1, 3), np.array(radii, dtype=np.float32)


def _walk(
    rng: Rng,
    start: np.ndarray,
    goal: np.ndarray,
    radius: float,
    samples: list[np.ndarray],
    radii: list[float],
    level: int,
) -> None:
    point, total = start.copy(), float(np.linalg.norm(goal - start))
    outward = start - goal
    outward[1] = 0
    outward /= max(float(np.linalg.norm(outward)), 1e-6)
    direction = np.array([0.0, -1.0, 0.0])
    swerve = rng.normal(0, 1, 3)
    step, travelled = 0.7, 0.0
    while travelled < total * rng.uniform(0.75, 1.05) + 2:
        to_goal = goal - point
        distance = float(np.linalg.norm(to_goal))
        if distance < 6:
            break
        swerve = 0.96 * swerve + 0.28 * rng.normal(0, 1, 3)
        share = min(travelled / total, 1.0)
        pull = to_goal / distance + 0.42 * swerve + outward * (0.55 * (1 - share) - 0.1)
        direction = 0.93 * direction + 0.07 * pull
        direction /= np.linalg.norm(direction)
        point = point + step * direction
        travelled += step
        samples.append(point)
        radii.append(radius * (1 - 0.35 * share))
        if level < 2 and rng.random() < 0.014:
            aside = goal + rng.normal(0, 22, 3)
            _walk(rng, point.copy(), aside, radius * 0.7, samples, radii, level + 1)


def paint_vessels(scene: Scene, box: PaintBox, v: BreastVoxels, rng: Rng, number: int) -> None:
    """Paint winding vessels into a breast."""
    centres, radii = vessel_paths(v.traits, scene.traits, rng, number)
    # Thick slices see a thin vessel from further away.
    flat = np.array([min(1.0, 1.4 * scene.pixel / scene.geometry.spacing[0]), 1, 1], dtype=np.float32)
    near, inside, _ = nearest_tube(v.points * flat, centres * flat, radii, 4.0)
    cover = edge(inside, 1.3 * scene.pixel) * smoothstep(v.depth[near], 1.5, 4.0)
    box.paint(v.where[near], cover.astype(np.float32), t.VESSEL)


def paint_skin(scene: Scene, box: PaintBox, thickness: F32 | float, ktrans: F32 | float) -> None:
    """Skin over the whole body and the nipples; thickness in mm, per voxel or one for all."""
    h = scene.pixel
    thick = np.broadcast_to(np.asarray(thickness, dtype=np.float32), scene.depth.shape)
    kt = np.broadcast_to(np.asarray(ktrans, dtype=np.float32), scene.depth.shape)
    where = np.flatnonzero(scene.depth < thick + h)
    # A layer thinner than a pixel covers a part of it only.
    cover = edge(scene.depth[where], h) * edge(thick[where] - scene.depth[where], h)
    box.paint(where, cover.astype(np.float32), t.SKIN, ktrans=kt[where])
    for traits in scene.traits.breasts:
        z0, y0, x0 = nipple_of(traits)
        d = np.sqrt((scene.z - z0) ** 2 + (scene.x - x0) ** 2 + ((scene.y - y0 + 1.5) * 0.8) ** 2)
        near = np.flatnonzero(d < 8)
        nip = edge(4.4 - d[near], 2 * h) * edge(scene.depth[near], h)
        box.paint(near, nip.astype(np.float32), t.NIPPLE)


def _paint_node(scene: Scene, box: PaintBox, traits: BreastTraits, rng: Rng) -> None:
    """A lymph node or two in the axillary tail: a bean with a fatty hilum."""
    for _ in range(int(rng.integers(1, 4))):
        centre = (rng.uniform(35, 85), rng.uniform(5, 45), traits.side * rng.uniform(108, 135))
        half = rng.uniform(3.0, 6.0)
        dz, dy, dx = scene.z - centre[0], scene.y - centre[1], scene.x - centre[2]
        where = np.flatnonzero((np.abs(dz) < 12) & (np.abs(dy) < 12) & (np.abs(dx) < 12) & (scene.chest < -1))
        r = np.sqrt((dz[where] / 1.5) ** 2 + dy[where] ** 2 + (dx[where] / 1.3) ** 2)
        box.paint(where, edge(half - r, scene.pixel), t.NODE)
        hilum = np.sqrt((dz[where] / 1.6) ** 2 + (dy[where] - 0.4 * half) ** 2 + dx[where] ** 2)
        box.paint(where, edge(0.45 * half - hilum, scene.pixel), t.FAT)
