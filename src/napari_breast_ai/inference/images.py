"""From a dynamic study to what a backbone sees: the images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..core import DceVolume
from ..models import CHANGE_PERCENT, PreparationSpec
from .errors import InferenceError
from .fieldofview import cut_out
from .preparation import ImagePlan, plan_images
from .resizing import resize
from .threads import side_by_side

# Source of both: the preprocessing of the Caffe model zoo, and of torchvision's ImageNet weights.
_CAFFE_BGR = (104.0, 117.0, 123.0)
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

_DESKS = 8

# What a part of the reference's value is multiplied with, so that the largest change is half of the grey values.
_FULL = torch.tensor(50 / CHANGE_PERCENT)


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


def grey_slices(volume: DceVolume, plan: ImagePlan, slices: Sequence[int]) -> NDArray[np.float32]:
    """The slices as grey values 0..1, float32 (n, 1 or 3, rows, columns), before resizing. Rows and columns are
    those of the plan's region.

    Raises:
        InferenceError: the study lacks a slice.
    """
    chosen = list(slices)
    values = np.empty((len(chosen), len(plan.phases), *volume.data.shape[2:]), np.float32)
    desk = Desk(volume, plan)
    for images, z in zip(torch.from_numpy(values), chosen, strict=True):
        desk.cut_off(z, images, range(len(plan.phases)))
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
    """Makes images of a study, one slice after another in the same memory, on several threads.

    New memory takes as long to get as to fill, and one slice stays in the processor's cache while it is worked on.

    Args:
        volume: the study.
        plan: which images are made of it.
        threads: how many; None for as many as torch has, up to 8, which is as many slices as a run asks for.
    """

    def __init__(self, volume: DceVolume, plan: ImagePlan, threads: int | None = None) -> None:
        self._plan = plan
        count = threads or min(torch.get_num_threads(), _DESKS)
        self._desks = [Desk(volume, plan) for _ in range(count)]
        self._lock = Lock()

    def __call__(self, slices: Sequence[int], layout: torch.memory_format = torch.channels_last) -> Tensor:
        """Images float32 (n, 3, H, W), as the backbone wants them; one caller after the other.

        Args:
            slices: their indices.
            layout: of the images in memory.

        Raises:
            InferenceError: the study lacks a slice.
        """
        found = torch.empty(len(slices), 3, *self._plan.spec.size, memory_format=layout)
        images, desks = range(len(self._plan.phases)), self._desks
        if len(slices) > 1:
            parts = [(i, images) for i in range(len(slices))]
        else:
            # One slice alone is waited for: its images are shared out.
            some = -(-len(images) // len(desks))
            parts = [(i, images[k : k + some]) for i in range(len(slices)) for k in images[::some]]
        desks = desks[: len(parts)]

        def work(number: int) -> None:
            for i, which in parts[number :: len(desks)]:
                desks[number].make(slices[i], which, found[i : i + 1])

        with self._lock:
            side_by_side(work, len(desks))
        return found


class Desk:
    """Room for one slice that is worked on, and what is done to it."""

    def __init__(self, volume: DceVolume, plan: ImagePlan) -> None:
        self._volume, self._plan = volume, plan
        shape = volume.data.shape[2:]
        # Filled, so that the first slice does not wait for the memory.
        self._values = torch.empty(1, len(plan.phases), *shape).fill_(0)
        self._other, self._reference, self._factor = torch.empty(3, *shape).fill_(0)
        self._whole = volume.data.dtype.kind in "iub"
        width = plan.window[1] - plan.window[0]
        self._scale = [1.0 if change else 1 / width for change in plan.changes]
        self._offset = [0.5 if change else 0.0 for change in plan.changes]

    def make(self, z: int, which: Sequence[int], out: Tensor) -> None:
        """Images of one slice, as the backbone wants them, into float32 (1, 3, H, W).

        Args:
            z: the slice.
            which: of the plan's phases; the channels of others are left as they are.
            out: is filled.

        Raises:
            InferenceError: the study lacks the slice.
        """
        field, values = self._plan.field, self._values[:, : len(which)]
        self.cut_off(z, values[0], which)
        seen = values if field is None else torch.from_numpy(cut_out(values.numpy(), field))
        _scaled(seen, self._plan.spec, self._scale, self._offset, out, which)

    def cut_off(self, z: int, images: Tensor, which: Sequence[int]) -> None:
        """The values of one slice into float32 (n, rows, columns), not yet scaled, cut off where grey ends: from the
        window's lower value, as 0, to its width; a change from -0.5 to 0.5.

        Args:
            z: the slice.
            images: are filled.
            which: n of the plan's phases.

        Raises:
            InferenceError: the study lacks the slice.
        """
        plan, volume = self._plan, self._volume
        if not 0 <= z < volume.n_slices:
            raise InferenceError(f"The study has no slice {z}; its slices are 0 to {volume.n_slices - 1}.")
        for image, k in zip(images, which, strict=True):
            self._read(plan.phases[k], z, image)
        changes = [image for image, k in zip(images, which, strict=True) if plan.changes[k]]
        others = [(image, k) for image, k in zip(images, which, strict=True) if not plan.changes[k]]
        if changes:
            same = [image for image, k in others if plan.phases[k] == plan.phase]
            self._change(z, changes, same[0] if same and self._whole else None)
        if plan.subtracted and others:
            self._read(volume.pre_contrast, z, self._other)
        low, high = plan.window
        for image, _ in others:
            if plan.subtracted:
                image.sub_(self._other)
            if low:
                image.sub_(low)
            if not self._whole:
                image.nan_to_num_(nan=0.0)
            image.clamp_(0.0, float(np.float32(high - low)))

    def _change(self, z: int, images: Sequence[Tensor], reference: Tensor | None) -> None:
        """Put the change against the reference, which is read where it is not there, in the place of images."""
        if reference is None:
            reference = self._reference
            self._read(self._plan.phase, z, reference)
            reference.nan_to_num_(nan=0.0, posinf=0.0, neginf=0.0)
        # Air's change is none: a part of infinity.
        torch.threshold(reference, self._plan.floor, torch.inf, out=self._factor)
        torch.div(_FULL, self._factor, out=self._factor)
        for image in images:
            image.sub_(reference).mul_(self._factor)
            if not self._whole:
                image.nan_to_num_(nan=-0.5).masked_fill_(self._factor == 0, 0.0)
            image.clamp_(-0.5, 0.5)

    def _read(self, phase: int, z: int, image: Tensor) -> None:
        image.numpy()[:] = self._volume.data[phase, z]


def to_input(grey: Tensor, spec: PreparationSpec) -> Tensor:
    """Grey values 0..1 (n, 1 or 3, rows, columns), resized and in the mode of the weights, (n, 3, H, W)."""
    count = grey.shape[1]
    found = grey.new_empty(len(grey), 3, *spec.size)
    _scaled(grey, spec, [1.0] * count, [0.0] * count, found, range(count))
    return found


def _scaled(
    values: Tensor,
    spec: PreparationSpec,
    scale: Sequence[float],
    offset: Sequence[float],
    out: Tensor,
    which: Sequence[int],
) -> None:
    """Values (n, k, rows, columns), of which scale · value + offset is the grey, resized and in the mode of the
    weights, into those channels of (n, 3, H, W) that show one of `which`, the k images that they are.
    """
    size = (int(spec.size[0]), int(spec.size[1]))
    steps = [
        (channel, min(channel, len(scale) - 1), factor, shift)
        for channel, (factor, shift) in enumerate(_modes(spec.mode))
        if min(channel, len(scale) - 1) in which
    ]
    shown = out[:, steps[0][0] : steps[-1][0] + 1]
    resized = tuple(values.shape[2:]) != size
    if resized and shown.shape[:2] == values.shape[:2] and shown.is_contiguous():
        resize(values, size, out=shown)
        for channel, image, factor, shift in steps:
            out[:, channel].mul_(scale[image] * factor).add_(offset[image] * factor + shift)
        return
    if resized:
        values = resize(values, size)
    for channel, image, factor, shift in steps:
        # Both steps in one, which also puts the memory into order.
        torch.add(
            torch.tensor(offset[image] * factor + shift),
            values[:, which.index(image)],
            alpha=scale[image] * factor,
            out=out[:, channel],
        )


def _modes(mode: str) -> list[tuple[float, float]]:
    """For each channel what grey values are multiplied with, and what is added then."""
    if mode == "caffe":
        return [(255.0, -mean) for mean in _CAFFE_BGR]
    if mode == "torchvision":
        return [(1 / std, -mean / std) for mean, std in zip(_MEAN, _STD, strict=True)]
    return [(1.0, 0.0)] * 3
