"""What headers say about the sequence itself, and images of one place at several flip angles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core import DceVolume, Geometry, Progress, silent
from .assemble import read_study
from .errors import StudyError
from .headers import Frame
from .itk import is_itk
from .loading import Loader
from .nifti import is_nifti, read_nifti
from .scan import scan

_SAME_PLACE_MM = 0.5


@dataclass(frozen=True)
class SequenceFacts:
    """Repetition time and flip angle of images, None where their headers do not tell, or do not agree.

    Attributes:
        repetition_s: RepetitionTime (0018,0080), seconds.
        flip_deg: FlipAngle (0018,1314), degrees.
        varies: the keywords of which the images give several values.
    """

    repetition_s: float | None
    flip_deg: float | None
    varies: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class AngleImages:
    """Images of one place at several flip angles.

    Attributes:
        signal: shape (angles, slices, rows, columns), in the scanner's units.
        flips_deg: degrees, one per image.
        repetition_s: seconds, of all images.
    """

    signal: NDArray[np.generic]
    flips_deg: tuple[float, ...]
    repetition_s: float


def sequence_facts(frames: Iterable[Frame]) -> SequenceFacts:
    """What the headers of a series say about its sequence."""
    every = tuple(frames)
    varies = []
    found: list[float | None] = []
    for keyword, values in (
        ("RepetitionTime", [frame.repetition_ms for frame in every]),
        ("FlipAngle", [frame.flip_deg for frame in every]),
    ):
        known = sorted({round(one, 4) for one in values if one is not None})
        if len(known) > 1:
            varies.append(keyword)
        found.append(known[0] if len(known) == 1 else None)
    repetition, flip = found
    return SequenceFacts(None if repetition is None else repetition / 1000, flip, tuple(varies))


def read_flip_angles(
    paths: Sequence[Path],
    geometry: Geometry,
    flips_deg: Sequence[float] | None = None,
    repetition_s: float | None = None,
    progress: Progress = silent,
) -> AngleImages:
    """Read images of several flip angles on the slices of a study.

    Args:
        paths: folders or files of DICOM, or NIfTI, NRRD or MetaImage with an image per angle, in order.
        geometry: of the study.
        flips_deg: of the images, for formats that do not carry them.
        repetition_s: the same; wins over the headers.
        progress: may raise `Cancelled`.

    Raises:
        StudyError: nothing fits the study, or angles and repetition time are not known.
    """
    if all(is_nifti(path) or is_itk(path) for path in paths):
        return _other(paths, geometry, flips_deg, repetition_s, progress)
    found: list[tuple[float, NDArray[np.generic], tuple[Frame, ...]]] = []
    elsewhere = 0
    for group in scan(list(paths), progress).groups:
        if group.geometry is None:
            continue
        angles = [sequence_facts(phase.frames).flip_deg for phase in group.phases]
        known = [one for one in angles if one is not None]
        if not known or len(set(known)) < len(known):  # a dynamic series has one angle many times
            continue
        if not group.geometry.same_as(geometry, _SAME_PLACE_MM):
            elsewhere += 1
            continue
        loader = Loader(group)
        loader.load(progress)
        found += [
            (angle, loader.volume.data[number], group.phases[number].frames)
            for number, angle in enumerate(angles)
            if angle is not None
        ]
    if not found:
        if elsewhere:
            raise StudyError(
                f"The images with flip angles ({elsewhere} series) do not lie on the slices of the study. Measure "
                "T1 on the study's own slices, or resample them."
            )
        raise StudyError(
            "No images of several flip angles are there. Choose the folder of the variable flip angle series."
        )
    found.sort(key=lambda one: one[0])
    facts = sequence_facts(frame for _, _, frames in found for frame in frames)
    repetition = repetition_s or facts.repetition_s
    if repetition is None:
        raise StudyError(
            "The images of several flip angles do not share one repetition time. Give it, if it was the same for all."
        )
    return AngleImages(
        np.stack([data for _, data, _ in found]), tuple(angle for angle, _, _ in found), repetition
    )


def _other(
    paths: Sequence[Path],
    geometry: Geometry,
    flips_deg: Sequence[float] | None,
    repetition_s: float | None,
    progress: Progress,
) -> AngleImages:
    images: list[NDArray[np.generic]] = []
    for path in paths:
        volume = read_nifti((path,), progress=progress) if is_nifti(path) else read_study(path, progress)
        _check_place(volume, geometry, path)
        images += list(volume.data)
    if flips_deg is None or repetition_s is None:
        raise StudyError(
            f"“{paths[0].name}” does not say flip angles and repetition time. Give the angles in degrees, one for "
            f"each of the {len(images)} images in their order, and the repetition time in ms."
        )
    if len(flips_deg) != len(images):
        raise StudyError(
            f"There are {len(images)} images, but {len(flips_deg)} flip angles. Give one angle for each image, in order."
        )
    return AngleImages(np.stack(images), tuple(float(one) for one in flips_deg), repetition_s)


def read_on_slices(path: Path, geometry: Geometry, progress: Progress = silent) -> NDArray[np.generic]:
    """One image, such as a mask or a map, that lies on the slices of a study; shape (slices, rows, columns).

    Raises:
        StudyError: it cannot be read, holds several images, or lies elsewhere.
    """
    volume = read_nifti((path,), progress=progress) if is_nifti(path) else read_study(path, progress)
    _check_place(volume, geometry, path)
    if volume.n_phases != 1:
        raise StudyError(f"“{path.name}” holds {volume.n_phases} images; one is needed. Choose a 3D file.")
    one: NDArray[np.generic] = volume.data[0]
    return one


def _check_place(volume: DceVolume, geometry: Geometry, path: Path) -> None:
    if not volume.geometry.same_as(geometry, _SAME_PLACE_MM):
        raise StudyError(
            f"“{path.name}” does not lie on the slices of the study. Resample it to them, or draw it on this study."
        )
