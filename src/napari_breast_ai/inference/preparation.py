"""From a dynamic study to what a backbone sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ..core import DceVolume
from ..models import CHANGE_PERCENT, ImageSource, PreparationSpec
from .errors import InferenceError

# Source of both: the preprocessing of the Caffe model zoo, and of torchvision's ImageNet weights.
_CAFFE_BGR = (104.0, 117.0, 123.0)
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

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


@dataclass(frozen=True, eq=False)
class PreparedImages:
    """Images as a backbone wants them.

    Attributes:
        images: float32 (n, 3, H, W).
        description: which image of the study they show, in a sentence.
        plan: how they were made.
    """

    images: Tensor
    description: str
    plan: ImagePlan


def prepare(volume: DceVolume, spec: PreparationSpec, slices: Sequence[int]) -> PreparedImages:
    """Prepare the slices of a study for a model.

    The phase and the window come from the whole volume, so that a slice looks the same alone and among
    others.

    Raises:
        InferenceError: the study lacks the phase or a slice.
    """
    plan = plan_images(volume, spec)
    return PreparedImages(make_images(volume, plan, slices), plan.description, plan)


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
    low, high, constant = _window(volume, seen, subtracted, spec.window)
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
        f"(percentiles {spec.window[0]:g} to {spec.window[1]:g} of the body), resized to {height} × {width}.",
        _plan_warnings(phases, constant),
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


def grey_slices(volume: DceVolume, plan: ImagePlan, slices: Sequence[int]) -> NDArray[np.float32]:
    """The slices as grey values 0..1, float32 (n, 1 or 3, rows, columns), before resizing.

    Raises:
        InferenceError: the study lacks a slice.
    """
    for index in slices:
        if not 0 <= index < volume.n_slices:
            raise InferenceError(
                f"The study has no slice {index}; its slices are 0 to {volume.n_slices - 1}."
            )
    chosen = list(slices)
    values = np.stack([volume.data[phase, chosen] for phase in plan.phases], axis=1).astype(np.float32)
    reference = volume.data[plan.phase, chosen].astype(np.float32)
    pre = volume.data[volume.pre_contrast, chosen].astype(np.float32)
    low, high = plan.window
    for channel, change in enumerate(plan.changes):
        image = values[:, channel]
        if change:
            body = np.isfinite(reference) & (reference > plan.floor)
            image -= reference
            image *= np.float32(50 / CHANGE_PERCENT) / np.where(body, reference, np.float32(1))
            image += np.float32(0.5)
            image[~body] = 0.5
        else:
            if plan.subtracted:
                image -= pre
            image -= np.float32(low)
            image /= np.float32(high - low)
    np.nan_to_num(values, copy=False, nan=0.0, posinf=1.0, neginf=0.0)
    return np.clip(values, 0.0, 1.0, out=values)


def make_images(volume: DceVolume, plan: ImagePlan, slices: Sequence[int]) -> Tensor:
    """The slices as a backbone wants them, float32 (n, 3, H, W).

    Raises:
        InferenceError: the study lacks a slice.
    """
    return to_input(torch.from_numpy(grey_slices(volume, plan, slices)), plan.spec)


def to_input(grey: Tensor, spec: PreparationSpec) -> Tensor:
    """Grey values 0..1 (n, 1 or 3, rows, columns), resized and in the mode of the weights, (n, 3, H, W)."""
    if tuple(grey.shape[2:]) != tuple(spec.size):
        grey = functional.interpolate(
            grey, size=spec.size, mode="bilinear", align_corners=False, antialias=True
        )
    channels = grey.expand(-1, 3, -1, -1)
    if spec.mode == "caffe":
        return channels * 255.0 - channels.new_tensor(_CAFFE_BGR)[:, None, None]
    if spec.mode == "torchvision":
        mean, std = channels.new_tensor(_MEAN), channels.new_tensor(_STD)
        return (channels - mean[:, None, None]) / std[:, None, None]
    return channels.contiguous()


def _window(
    volume: DceVolume, phases: tuple[int, ...], subtracted: bool, percentiles: tuple[float, float]
) -> tuple[float, float, bool]:
    """Lower and upper value of the window of all phases together, and whether the images are constant.

    Air is left out: how much of it lies around the breasts says nothing about the tissue, and differs from
    scanner to scanner. A subtraction's air is told from the phase itself, since its own is noise around zero;
    its window begins at 0 or above.
    """
    parts = [_body(volume, phase, subtracted) for phase in dict.fromkeys(phases)]
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


def _body(volume: DceVolume, phase: int, subtracted: bool) -> NDArray[np.float32]:
    """Values of the phase, or its subtraction, at a sample of the body's voxels, finite, float32 (n,)."""
    signal = _sample(volume.data[phase])
    values = signal - _sample(volume.data[volume.pre_contrast]) if subtracted else signal
    finite = np.isfinite(signal) & np.isfinite(values)
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
