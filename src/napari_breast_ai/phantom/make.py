"""Make a phantom: a DCE volume and the truth behind it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core import Box, DceVolume, Identity, PhaseTimes, Progress, silent
from . import tissues as t
from .acquisition import (
    FLIP_DEG,
    TE_S,
    TR_S,
    SignalModel,
    arrival_minutes,
    coil_sensitivity,
    displacement_across,
    fat_suppression,
    heart_ghost,
    move,
    move_across,
    phase_displacement,
    store,
)
from .anatomy import Scene, build_scene, paint_trunk
from .breast import paint_breasts, paint_skin, paint_vessels
from .fields import F32, stream
from .lesions import LesionVoxels, paint_lesion, skin_over
from .spec import PhantomError, PhantomSpec
from .tissues import PaintBox
from .tracer import RELAXIVITY, spoiled_gradient_echo
from .traits import BodyTraits, LesionTraits, body_traits, lesion_traits

LABELS = {"igm": "IGM", "nme": "NME", "idc": "IDC", "fibroadenoma": "other benign"}
"""The class of each kind's boxes."""

SMALLEST_COMPONENT_MM2 = 15.0
"""Pieces of a lesion smaller than this on a slice get no box."""


@dataclass(frozen=True, eq=False)
class Truth:
    """What is known about a phantom.

    Attributes:
        label: one of `LABELS`, or None for a normal case.
        lesion: bool (z, y, x), the lesion's region with its dark parts, in phase 0.
        boxes: one per slice and piece of the lesion, author "truth"; pieces below 15 mm² have none.
        tissue: uint8 (z, y, x), codes of `TISSUES`.
        ktrans, kep: float32 (z, y, x), 1/min.
        ve, vp: float32 (z, y, x), volume fractions.
        body, traits: what was drawn for the woman and for the lesion.
        relaxivity: 1/(s·mM).
        arrival_min: minutes from the bolus' arrival to the middle of each phase.
        tr_s, te_s, flip_deg: the sequence.
    """

    label: str | None
    lesion: NDArray[np.bool_]
    boxes: tuple[Box, ...]
    tissue: NDArray[np.uint8]
    ktrans: F32
    kep: F32
    ve: F32
    vp: F32
    body: BodyTraits
    traits: LesionTraits | None
    arrival_min: tuple[float, ...]
    relaxivity: float = RELAXIVITY
    tr_s: float = TR_S
    te_s: float = TE_S
    flip_deg: float = FLIP_DEG


@dataclass(frozen=True, eq=False)
class Phantom:
    """A synthetic study: what it was made of, what a scanner would store, and what is true."""

    spec: PhantomSpec
    volume: DceVolume
    truth: Truth = field(repr=False)


def uid(spec: PhantomSpec, *role: object) -> str:
    """A DICOM UID for a part of the phantom, always the same: 2.25 and a UUID of spec and role."""
    # Specs without movement across the slices were written before there was any, and keep their UIDs.
    said = repr(spec).replace(", motion_across_mm=0.0", "")
    name = "/".join(["napari-breast-ai phantom", said, *map(str, role)])
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_URL, name).int}"


def make_phantom(spec: PhantomSpec, progress: Progress = silent) -> Phantom:
    """Make the phantom of a spec.

    Args:
        spec: what to make.
        progress: called before each step and each phase; may raise `Cancelled`.

    Raises:
        PhantomError: the spec makes no sense; the sentence says why.
    """
    problems = spec.problems()
    if problems:
        raise PhantomError(" ".join(problems))
    total = spec.n_phases + 3
    progress(0, total, "anatomy")
    body, traits = body_traits(spec), lesion_traits(spec)
    scene = build_scene(spec, body)
    box = PaintBox(scene.index.size, spec.field_t)
    paint_trunk(scene, box)
    progress(1, total, "breasts")
    breasts = paint_breasts(scene, box)
    progress(2, total, "lesion")
    lesion: LesionVoxels | None = None
    if traits is not None:
        sick = breasts[0 if traits.side < 0 else 1]
        # An active lesion is fed by more vessels.
        paint_vessels(scene, box, sick, stream(spec.seed, "feeders", spec.kind), number=2)
        lesion = paint_lesion(scene, box, sick, traits, spec.kind)
    thickness, skin_ktrans = skin_over(scene, lesion, traits)
    paint_skin(scene, box, thickness, skin_ktrans)
    data = _acquire(spec, scene, box, progress, total)
    truth = _truth(spec, scene, box, body, traits, lesion)
    volume = DceVolume(
        data=data,
        geometry=scene.geometry,
        times=PhaseTimes(
            tuple(float(i * spec.interval_s) for i in range(spec.n_phases)), ("Phantom",) * spec.n_phases
        ),
        identity=Identity(uid(spec, "study"), (), uid(spec, "frame of reference"), synthetic=True),
        description=f"SYNTHETIC phantom {spec.kind} {spec.seed}",
    )
    progress(total, total, "done")
    return Phantom(spec, volume, truth)


def _acquire(
    spec: PhantomSpec, scene: Scene, box: PaintBox, progress: Progress, total: int
) -> NDArray[np.uint16]:
    shape = scene.geometry.shape
    model = SignalModel(box, arrival_minutes(spec), fat_suppression(scene))
    coil = coil_sensitivity(scene)
    heart = np.zeros(shape, dtype=bool)
    heart.ravel()[scene.index] = np.isin(box.label, (t.HEART.code, t.BLOOD.code))
    gland = np.array([box.r1_of(t.GLAND)], dtype=np.float32)
    typical = float(spoiled_gradient_echo(gland, TR_S, FLIP_DEG)[0]) * t.GLAND.water
    data = np.empty((spec.n_phases, *shape), dtype=np.uint16)
    for phase in range(spec.n_phases):
        progress(3 + phase, total, f"phase {phase}")
        image = np.zeros(shape, dtype=np.float32)
        image.ravel()[scene.index] = model.signal(phase)
        ndimage.gaussian_filter1d(image, 0.40, axis=1, output=image, truncate=3)
        ndimage.gaussian_filter1d(image, 0.40, axis=2, output=image, truncate=3)
        if phase and spec.motion_mm:
            dy, dx = phase_displacement(spec, scene, phase)
            image = move(image, dy / np.float32(scene.pixel), dx / np.float32(scene.pixel))
        if phase and spec.motion_across_mm:
            dz = displacement_across(spec, scene, phase)
            image = move_across(image, dz / np.float32(scene.geometry.spacing[0]))
        rng = stream(spec.seed, "noise", spec.kind, str(phase))
        heart_ghost(image, heart, rng)
        image *= coil
        data[phase] = store(image, spec.noise * typical, scene.traits.gain, rng)
    return data


def _truth(
    spec: PhantomSpec,
    scene: Scene,
    box: PaintBox,
    body: BodyTraits,
    traits: LesionTraits | None,
    lesion: LesionVoxels | None,
) -> Truth:
    shape = scene.geometry.shape

    def grid(values: F32) -> F32:
        out = np.zeros(shape, dtype=np.float32)
        out.ravel()[scene.index] = values
        return out

    tissue = np.zeros(shape, dtype=np.uint8)
    tissue.ravel()[scene.index] = box.label
    mask = np.zeros(shape, dtype=bool)
    if lesion is not None:
        inside = lesion.where[lesion.cover >= 0.5]
        mask.ravel()[scene.index[inside]] = True
        mask &= tissue != t.SKIN.code
    label = LABELS.get(spec.kind)
    boxes = lesion_boxes(mask, label, scene.pixel) if label else ()
    return Truth(
        label, mask, boxes, tissue, grid(box.ktrans), grid(box.kep), grid(box.ve), grid(box.vp), body, traits,
        tuple(float(m) for m in arrival_minutes(spec)),
    )  # fmt: skip


def lesion_boxes(mask: NDArray[np.bool_], label: str, pixel_mm: float) -> tuple[Box, ...]:
    """A box around every piece of a mask (z, y, x) on every slice; pieces touch at corners too."""
    smallest = max(SMALLEST_COMPONENT_MM2 / pixel_mm**2, 2.0)
    boxes = []
    for z in np.flatnonzero(mask.any((1, 2))):
        pieces, number = ndimage.label(mask[z], structure=np.ones((3, 3)))
        sizes = ndimage.sum_labels(mask[z], pieces, np.arange(1, number + 1))
        for k, where in enumerate(ndimage.find_objects(pieces)):
            if sizes[k] < smallest:
                continue
            rows, columns = where
            boxes.append(
                Box(
                    int(z), rows.start - 0.5, columns.start - 0.5, rows.stop - 0.5, columns.stop - 0.5,
                    label, f"truth-{int(z)}-{k}", "truth",
                )
            )  # fmt: skip
    return tuple(boxes)
