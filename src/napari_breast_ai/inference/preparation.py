"""From a dynamic study to what a backbone sees: which image, and how its values become grey."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

import numpy as np
from numpy.typing import NDArray

from ..core import DceVolume
from ..models import CHANGE_PERCENT, ImageSource, PreparationSpec
from .errors import InferenceError
from .fieldofview import FieldOfView, find_field

_SAMPLE = 1_000_000
# Below this part of the brightest tissue (99.5th percentile) a voxel counts as air.
_AIR = 0.05


@dataclass(frozen=True)
class ImagePlan:
    """Which image of a study a model sees, and how its values become grey.

    Attributes:
        spec: the preparation.
        phase: index of the phase of the preparation's source.
        phases: indices of the phases that the model sees: that one, or one for each of three channels.
        subtracted: those phases minus the pre-contrast phase.
        changes: for each of `phases`, whether it is seen as its change against `phase`.
        window: the values, in the scanner's units, that become black and white.
        floor: values of `phase` up to this one are air, whose change means nothing.
        field: the field of view that the model sees, where the preparation cuts one out.
        description: all of that in a sentence.
        warnings: sentences that a reader must see.
    """

    spec: PreparationSpec
    phase: int
    phases: tuple[int, ...]
    subtracted: bool
    changes: tuple[bool, ...]
    window: tuple[float, float]
    floor: float
    description: str
    warnings: tuple[str, ...] = ()
    field: FieldOfView | None = None

    @property
    def region(self) -> tuple[int, int, int, int] | None:
        """(y0, x0, y1, x1), what the model saw of each slice: rows y0 to y1 - 1, columns x0 to x1 - 1. None: all."""
        return None if self.field is None else self.field.region


def plan_images(volume: DceVolume, spec: PreparationSpec) -> ImagePlan:
    """Choose the phase and the window.

    Raises:
        InferenceError: the study lacks the phase.
    """
    phase = choose_phase(volume, spec.source)
    phases = tuple(choose_phase(volume, source) for source in spec.sources)
    changes = tuple(source.kind == "change" for source in spec.sources)
    subtracted = spec.source.kind == "subtraction"
    seen = tuple(p for p, change in zip(phases, changes, strict=True) if not change) or (phase,)
    field = find_field(volume.data[phase].max(axis=0)) if spec.view == "ultrasound" else None
    low, high, constant = _window(volume, seen, subtracted, spec.window, field)
    height, width = spec.size
    return ImagePlan(
        spec,
        phase,
        phases,
        subtracted,
        changes,
        (low, high),
        _air(_sample(volume.data[phase])),
        f"The model saw {_what(volume, phase, phases, changes, subtracted)}, values {low:.4g} to {high:.4g} "
        f"(percentiles {spec.window[0]:g} to {spec.window[1]:g} of the body), "
        f"{_cut(field)}resized to {height} × {width}.",
        _plan_warnings(phases, constant),
        field,
    )


def _cut(field: FieldOfView | None) -> str:
    """The field of view in words."""
    if field is None:
        return ""
    if not field.cut:
        return "made square by black margins (no screen was found around the picture), "
    ys, xs = (np.nonzero(field.inside.any(axis=axis))[0] for axis in (1, 0))
    return (
        f"the field of view (rows {ys[0]} to {ys[-1]}, columns {xs[0]} to {xs[-1]}) cut out of the screen and made "
        "square by black margins, "
    )


def _what(
    volume: DceVolume, phase: int, phases: tuple[int, ...], changes: tuple[bool, ...], subtracted: bool
) -> str:
    """The images in words."""

    def name(index: int) -> str:
        return f"phase {index}, {volume.times.start_s[index]:.0f} s after the start"

    if volume.n_phases == 1:
        return "the picture itself, grey values as they are stored"
    posts = volume.n_phases - 1 - volume.pre_contrast
    what = f"post-contrast phase {phase - volume.pre_contrast} of {posts} ({name(phase)})"
    others = [p for p, change in zip(phases, changes, strict=True) if not change and p != phase]
    if others:
        what += f", with {' and '.join(name(p) for p in others)} as further channels"
    if subtracted:
        what += f"{', each' if others else ''} minus the pre-contrast phase {volume.pre_contrast}"
        what += ", negative values black"
    if any(changes):
        listed = " and ".join(name(p) for p, change in zip(phases, changes, strict=True) if change)
        what += f", and the change of {listed}, against phase {phase} (±{CHANGE_PERCENT:g} %)"
    return what


def _plan_warnings(phases: tuple[int, ...], constant: bool) -> tuple[str, ...]:
    warnings = []
    if constant:
        warnings.append("The image that the model saw has the same value everywhere.")
    if len(set(phases)) < len(phases):
        warnings.append(
            "The model compares images of three times after the contrast agent, and the study has fewer: it "
            "saw the same phase more than once, so its scores rest on less than it was trained with."
        )
    return tuple(warnings)


def choose_phase(volume: DceVolume, source: ImageSource) -> int:
    """The index of the phase that the source names.

    Raises:
        InferenceError: there is no such phase.
    """
    if source.kind == "picture":
        if volume.n_phases > 1:
            raise InferenceError(
                f"The model was made for single pictures, and the study has {volume.n_phases} phases. Choose a model "
                "for dynamic studies."
            )
        return 0
    posts = volume.n_phases - 1 - volume.pre_contrast
    if posts < 1:
        raise InferenceError(
            "The model needs a phase after the contrast agent, and the study has none. Open the whole "
            "dynamic series, or correct which phase is the pre-contrast one."
        )
    if source.rule == "nearest_time":
        return volume.times.nearest(source.value, first=volume.pre_contrast + 1)
    number = int(source.value)
    if number > posts:
        raise InferenceError(
            f"The model needs post-contrast phase {number}, and the study has only {posts}. Open the whole "
            "dynamic series or choose another model."
        )
    return volume.pre_contrast + number


def _window(
    volume: DceVolume,
    phases: tuple[int, ...],
    subtracted: bool,
    percentiles: tuple[float, float],
    field: FieldOfView | None = None,
) -> tuple[float, float, bool]:
    """Lower and upper value of the window of all phases together, and whether the images are constant.

    Air is left out: how much of it lies around the breasts says nothing about the tissue, and differs from
    scanner to scanner. A subtraction's air is told from the phase itself, since its own is noise around zero;
    its window begins at 0 or above.
    """
    # White letters on the screen would make the tissue darker.
    inside = None if field is None else _sample(np.broadcast_to(field.inside, volume.data.shape[1:])) > 0
    parts = [_body(volume, phase, subtracted, inside) for phase in dict.fromkeys(phases)]
    values = np.concatenate(parts)
    low = 0.0
    if values.size:
        low, high = (float(value) for value in np.percentile(values, percentiles))
        if subtracted:
            # Scanners store subtractions without negative values: what falls is motion or noise, not uptake.
            low = max(low, 0.0)
        if high > low:
            return low, high, False
    return low, low + 1.0, True


def _body(
    volume: DceVolume, phase: int, subtracted: bool, inside: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """Values of the phase, or its subtraction, at a sample of the body's voxels, finite, float32 (n,)."""
    signal = _sample(volume.data[phase])
    values = signal - _sample(volume.data[volume.pre_contrast]) if subtracted else signal
    finite = np.isfinite(signal) & np.isfinite(values)
    if inside is not None:
        finite &= inside
    signal, values = signal[finite], values[finite]
    if values.size:
        body = signal > _air(signal)
        # A study with hardly any body (a test object, an empty field) is taken as it is.
        if np.count_nonzero(body) >= max(100, 0.01 * values.size):
            values = values[body]
    return values


def _air(signal: NDArray[np.float32]) -> float:
    """The value up to which a phase's voxels count as air; 0 where none is finite."""
    finite = signal[np.isfinite(signal)]
    return max(float(_AIR * np.percentile(finite, 99.5)), 0.0) if finite.size else 0.0


def _sample(values: NDArray[np.generic]) -> NDArray[np.float32]:
    """At most about a million voxels, evenly spread and always the same ones, float32."""
    step = -(-values.size // _SAMPLE)
    # A step that shares a factor with the columns would see some columns only.
    while gcd(step, values.shape[-1]) != 1:
        step += 1
    return values.reshape(-1)[::step].astype(np.float32)
