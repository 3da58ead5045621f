"""From a dynamic study to what a backbone sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..core import DceVolume
from ..models import CHANGE_PERCENT, ImageSource, PreparationSpec
from .errors import InferenceError
from .fieldofview import FieldOfView, cut_out, find_field
from .resizing import resize

# Source of both: the preprocessing of the Caffe model zoo, and of torchvision's ImageNet weights.
_CAFFE_BGR = (104.0, 117.0, 123.0)
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

_SAMPLE = 1_000_000
# Below this part of the brightest tissue (99.5th percentile) a voxel counts as air.
_AIR = 0.05
# What a part of the reference's value is multiplied with, so that the largest change is half of the grey values.
_FULL = torch.tensor(50 / CHANGE_PERCENT)


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


def grey_slices(volume: DceVolume, plan: ImagePlan, slices: Sequence[int]) -> NDArray[np.float32]:
    """The slices as grey values 0..1, float32 (n, 1 or 3, rows, columns), before resizing. Rows and columns are
    those of the plan's region.

    Raises:
        InferenceError: the study lacks a slice.
    """
    chosen = list(slices)
    values = np.empty((len(chosen), len(plan.phases), *volume.data.shape[2:]), np.float32)
    maker = ImageMaker(volume, plan)
    for images, z in zip(torch.from_numpy(values), chosen, strict=True):
        maker.cut_off(z, images)
        for image, change in zip(images, plan.changes, strict=True):
            if change:
                image += 0.5
            else:
                image /= plan.window[1] - plan.window[0]
    return values if plan.field is None else cut_out(values, plan.field)


def make_images(volume: DceVolume, plan: ImagePlan, slices: Sequence[int]) -> Tensor:
    """The slices as a backbone wants them, float32 (n, 3, H, W), channels last in memory.

    Raises:
        InferenceError: the study lacks a slice.
    """
    return ImageMaker(volume, plan)(slices)


class ImageMaker:
    """Makes images of a study, one slice after another in the same memory.

    New memory takes as long to get as to fill, and one slice stays in the processor's cache while it is worked on.

    Args:
        volume: the study.
        plan: which images are made of it.
        layout: of the images in memory.
    """

    def __init__(
        self, volume: DceVolume, plan: ImagePlan, layout: torch.memory_format = torch.channels_last
    ) -> None:
        self._volume, self._plan, self._layout = volume, plan, layout
        shape = volume.data.shape[2:]
        self._values = torch.empty(1, len(plan.phases), *shape)
        self._other, self._reference, self._factor = torch.empty(3, *shape)
        self._air = torch.empty(shape, dtype=torch.bool)
        width = plan.window[1] - plan.window[0]
        self._scale = [1.0 if change else 1 / width for change in plan.changes]
        self._offset = [0.5 if change else 0.0 for change in plan.changes]

    def __call__(self, slices: Sequence[int]) -> Tensor:
        """Images float32 (n, 3, H, W), as the backbone wants them.

        Raises:
            InferenceError: the study lacks a slice.
        """
        spec, field = self._plan.spec, self._plan.field
        found = torch.empty(len(slices), 3, *spec.size, memory_format=self._layout)
        for i, z in enumerate(slices):
            self.cut_off(z, self._values[0])
            seen = self._values if field is None else torch.from_numpy(cut_out(self._values.numpy(), field))
            _scaled(seen, spec, self._scale, self._offset, found[i : i + 1])
        return found

    def cut_off(self, z: int, images: Tensor) -> None:
        """The values of one slice into float32 (1 or 3, rows, columns), not yet scaled, cut off where grey ends: from
        the window's lower value, as 0, to its width; a change from -0.5 to 0.5.

        Raises:
            InferenceError: the study lacks the slice.
        """
        plan, volume = self._plan, self._volume
        if not 0 <= z < volume.n_slices:
            raise InferenceError(f"The study has no slice {z}; its slices are 0 to {volume.n_slices - 1}.")
        whole = volume.data.dtype.kind in "iub"
        for image, phase in zip(images, plan.phases, strict=True):
            self._read(phase, z, image)
        if any(plan.changes):
            self._read(plan.phase, z, self._reference)
            if not whole:
                self._reference.nan_to_num_(nan=0.0, posinf=0.0, neginf=0.0)
            # Air's change is none.
            torch.le(self._reference, plan.floor, out=self._air)
            torch.div(_FULL, self._reference, out=self._factor).masked_fill_(self._air, 0.0)
        if plan.subtracted:
            self._read(volume.pre_contrast, z, self._other)
        low, high = plan.window
        for image, change in zip(images, plan.changes, strict=True):
            if change:
                image.sub_(self._reference).mul_(self._factor)
                if not whole:
                    image.nan_to_num_(nan=-0.5).masked_fill_(self._air, 0.0)
                image.clamp_(-0.5, 0.5)
            else:
                if plan.subtracted:
                    image.sub_(self._other)
                if low:
                    image.sub_(low)
                if not whole:
                    image.nan_to_num_(nan=0.0)
                image.clamp_(0.0, float(np.float32(high - low)))

    def _read(self, phase: int, z: int, image: Tensor) -> None:
        image.numpy()[:] = self._volume.data[phase, z]


def to_input(grey: Tensor, spec: PreparationSpec) -> Tensor:
    """Grey values 0..1 (n, 1 or 3, rows, columns), resized and in the mode of the weights, (n, 3, H, W)."""
    count = grey.shape[1]
    return _scaled(grey, spec, [1.0] * count, [0.0] * count, grey.new_empty(len(grey), 3, *spec.size))


def _scaled(
    values: Tensor, spec: PreparationSpec, scale: Sequence[float], offset: Sequence[float], out: Tensor
) -> Tensor:
    """Values (n, 1 or 3, rows, columns), of which scale · value + offset is the grey, resized and in the mode of the
    weights, into (n, 3, H, W).
    """
    if tuple(values.shape[2:]) != tuple(spec.size):
        values = resize(values, spec.size)
    for channel, (factor, shift) in enumerate(_modes(spec.mode)):
        image = min(channel, values.shape[1] - 1)
        # Both steps in one, which also puts the memory into order.
        torch.add(
            torch.tensor(offset[image] * factor + shift),
            values[:, image],
            alpha=scale[image] * factor,
            out=out[:, channel],
        )
    return out


def _modes(mode: str) -> list[tuple[float, float]]:
    """For each channel what grey values are multiplied with, and what is added then."""
    if mode == "caffe":
        return [(255.0, -mean) for mean in _CAFFE_BGR]
    if mode == "torchvision":
        return [(1 / std, -mean / std) for mean, std in zip(_MEAN, _STD, strict=True)]
    return [(1.0, 0.0)] * 3


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
