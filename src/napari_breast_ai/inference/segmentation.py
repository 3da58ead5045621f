"""A segmentation network of one's own, run on the images before contrast: masks of the breasts and their tissue."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..core import DceVolume, Progress, silent
from ..kinetics.breast import MIDLINE_MM, BreastMasks
from ..kinetics.signals import as_float
from ..models.segmentation import SegmentationSpec, load_segmentation
from .device import choose_device
from .errors import InferenceError

BATCH = 8


@dataclass(frozen=True, eq=False)
class Network:
    """A network that outlines breasts; a `kinetics.Segmenter`.

    Attributes:
        spec: what it asks and gives.
        network: ready to run.
        device: where.
        name: for people.
    """

    spec: SegmentationSpec
    network: nn.Module = field(repr=False)
    device: torch.device
    name: str

    @classmethod
    def load(cls, folder: str | Path, device: str | None = None) -> Network:
        """Read a bundle.

        Raises:
            ModelError: it is not usable.
            InferenceError: the device isn't there.
        """
        where = choose_device(device)
        spec, network = load_segmentation(folder)
        return cls(spec, network.to(where), where, Path(folder).name)

    def __call__(self, volume: DceVolume, pre: int, progress: Progress = silent) -> BreastMasks:
        """Masks on the study's own voxels.

        Raises:
            InferenceError: there is no such phase, or the network gives something else than its bundle says.
            Cancelled: by `progress`.
        """
        if not 0 <= pre < volume.n_phases:
            raise InferenceError(
                f"There is no phase {pre}: the study has phases 0 to {volume.n_phases - 1}. Choose one of them."
            )
        image = scaled(as_float(volume.data[pre]), self.spec.scaling)
        small = resampled(torch.from_numpy(image)[:, None], self.spec.pixel_mm, volume.geometry.spacing[1:])
        codes = (self._slices if self.spec.dimensions == 2 else self._whole)(small, image.shape[1:], progress)
        tissue = np.array([one == "tissue" for one in self.spec.outputs])[codes]
        breast = np.array([one != "background" for one in self.spec.outputs])[codes]
        return _masks(breast, tissue, volume, f"network {self.name}, phase {pre}")

    def _slices(self, small: Tensor, size: tuple[int, ...], progress: Progress) -> NDArray[np.uint8]:
        out = np.empty((len(small), *size), np.uint8)
        for start in range(0, len(small), BATCH):
            progress(start, len(small), "breast: network")
            out[start : start + BATCH] = self._run(small[start : start + BATCH], size)
        progress(len(small), len(small), "breast: network")
        return out

    def _whole(self, small: Tensor, size: tuple[int, ...], progress: Progress) -> NDArray[np.uint8]:
        progress(0, 1, "breast: network")
        found = self._run(small[:, 0][None, None], size)
        progress(1, 1, "breast: network")
        return np.asarray(found[0])

    def _run(self, images: Tensor, size: tuple[int, ...]) -> NDArray[np.uint8]:
        """The winning channel of each voxel, at the study's own size."""
        shape = images.shape[2:]
        pads = [(-n) % self.spec.multiple for n in shape]
        # Padding is told from the last axis on.
        flat = [part for pad in reversed(pads) for part in (0, pad)]
        with torch.no_grad():
            scores = self.network(nn.functional.pad(images, flat).to(self.device))
        if (
            not isinstance(scores, Tensor)
            or scores.ndim != images.ndim
            or scores.shape[1] != len(self.spec.outputs)
        ):
            raise InferenceError(
                f"The network {self.name} does not give {len(self.spec.outputs)} channels of the image's size, as its "
                "bundle says. Get a bundle whose description fits its network."
            )
        scores = scores[(slice(None), slice(None), *(slice(0, n) for n in shape))].float()
        mode = "bilinear" if scores.ndim == 4 else "trilinear"
        target = size if scores.ndim == 4 else (shape[0], *size)
        whole = nn.functional.interpolate(scores, target, mode=mode, align_corners=False)
        found: NDArray[np.uint8] = whole.argmax(dim=1).to(torch.uint8).cpu().numpy()
        return found


def scaled(image: NDArray[np.float32], how: str) -> NDArray[np.float32]:
    """A stack as networks are trained on: see `SegmentationSpec.scaling`."""
    if how == "standard":
        return np.asarray((image - image.mean()) / max(float(image.std()), 1e-6), np.float32)
    if how == "percentile":
        low, high = (float(one) for one in np.percentile(image, [1, 99]))
        return np.asarray(np.clip((image - low) / max(high - low, 1e-6), 0, 1), np.float32)
    return image


def resampled(images: Tensor, pixel_mm: float | None, spacing: tuple[float, ...]) -> Tensor:
    """Images (n, 1, rows, columns) at another size of the pixels."""
    if pixel_mm is None:
        return images
    size = [max(1, round(n * mm / pixel_mm)) for n, mm in zip(images.shape[2:], spacing, strict=True)]
    if size == list(images.shape[2:]):
        return images
    return nn.functional.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)


def _masks(breast: NDArray[np.bool_], tissue: NDArray[np.bool_], volume: DceVolume, how: str) -> BreastMasks:
    """Sides by the patient's midline: x = 0, or the middle of what was found where that lies in one half."""
    warnings: tuple[str, ...] = ()
    codes = np.zeros(breast.shape, np.uint8)
    if not breast.any():
        return BreastMasks(codes, tissue, how, ("The network finds no breast in this study.",))
    at = np.argwhere(breast)
    x = volume.geometry.to_patient(at)[:, 0]
    low, high = (float(one) for one in np.percentile(x, [2, 98]))
    if low < -MIDLINE_MM and high > MIDLINE_MM:
        sides = np.where(x < 0, 1, 2)
    elif abs(low + high) / 2 < MIDLINE_MM:
        sides = np.full(len(x), 3)
        warnings = ("The images do not tell which breast they show: its figures stand for “one breast”.",)
    else:
        sides = np.full(len(x), 1 if low + high < 0 else 2)
    codes[tuple(at.T)] = sides
    return BreastMasks(codes, tissue & (codes > 0), how, warnings)
