"""NIfTI: one 4D file, or a file per phase as public breast collections have them, with times from beside them.

Source of the format: the NIfTI-1 standard (nifti1.h), read by nibabel. Its world is RAS (x to the patient's right);
ours, like DICOM's, is LPS: the first two axes change their sign.
"""

from __future__ import annotations

import math
import warnings as python_warnings
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from ..core import DceVolume, Progress, silent
from .errors import StudyError
from .foreign import LPS_FROM_RAS, Stack, combined, in_phase_order, phase_of, stack_of
from .foreign_times import FoundTimes, find_times

ENDINGS = (".nii", ".nii.gz")
_MOST_PHASES = 1000
_SECONDS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}


def stem(path: Path) -> str:
    """A file's name without `.nii` or `.nii.gz`."""
    name = path.name
    for ending in (".gz", ".nii"):
        if name.lower().endswith(ending):
            name = name[: -len(ending)]
    return name


def is_nifti(path: Path) -> bool:
    """Whether the name is that of a NIfTI file."""
    return path.name.lower().endswith(ENDINGS)


def cases(
    files: Sequence[Path], stem_of: Callable[[Path], str] = stem, only_these: bool = False
) -> list[tuple[Path, ...]]:
    """The cases among files, each as its files in phase order.

    Args:
        files: of one format.
        stem_of: a file's name without its ending.
        only_these: NIfTI files beside them that are named as further phases do not count.
    """
    beside: dict[object, list[Path]] = defaultdict(list)
    folders = {path.parent for path in files}
    all_of_them = files if only_these else [p for folder in folders for p in folder.iterdir() if is_nifti(p)]
    for path in all_of_them:
        if (named := phase_of(stem_of(path))) is not None:
            beside[(path.parent, named[:2])].append(path)
    found: list[tuple[Path, ...]] = []
    taken: set[Path] = set()
    for path in sorted(files):
        if path in taken:
            continue
        named = phase_of(stem_of(path))
        group: tuple[Path, ...] = (path,)
        if named is not None and (not is_nifti(path) or _dimensions(path) == 3):
            group = in_phase_order(path, beside[(path.parent, named[:2])], stem_of)
        taken.update(group)
        found.append(group)
    return found


def nifti_shape(path: Path) -> tuple[int, ...] | None:
    """Voxels along the axes of a file, at least three; None where the header cannot be read."""
    try:
        with python_warnings.catch_warnings():
            python_warnings.simplefilter("ignore")
            image: Any = nibabel.load(path)
        shape = tuple(int(n) for n in image.shape)
    except Exception:  # noqa: BLE001 - whatever is wrong is said when the file is read
        return None
    shape = (*shape, 1, 1, 1)[: max(len(shape), 3)]
    # Vectors, as ITK writes phases, have theirs along the fifth axis.
    return (*shape[:3], math.prod(shape[3:])) if math.prod(shape[3:]) > 1 else shape[:3]


def _dimensions(path: Path) -> int:
    """3 for a single volume, 4 for several; 0 where the header cannot be read."""
    return len(nifti_shape(path) or ())


def _gap(files: Sequence[Path]) -> tuple[str, ...]:
    """Phases that are missing between files, in a sentence."""
    known = [found for path in files if (found := phase_of(stem(path)))]
    numbers = [number for _, _, number in known]
    first = 0 if any(word in ("", "post") for _, word, _ in known) else min(numbers, default=0)
    missing = sorted(set(range(first, max(numbers, default=0))) - set(numbers))
    if len(files) < 2 or not missing or len(missing) > _MOST_PHASES:
        return ()
    return (
        f"Phases are missing between the files of “{case_name(files)}” (number {', '.join(map(str, missing[:8]))}); "
        "those that are there follow each other.",
    )


def _by_number(files: Sequence[Path], found: FoundTimes) -> tuple[str, ...]:
    """That nothing but bare numbers says that the files are phases of one case, in a sentence."""
    named = phase_of(stem(files[0]))
    if len(files) < 2 or named is None or named[1] or set(found.times.source) != {"unknown"}:
        return ()
    return (
        f"The {len(files)} files from “{files[0].name}” to “{files[-1].name}” are taken as phases of one case by their "
        "numbers. If they are different patients, put each into a folder of its own.",
    )


def case_name(files: Sequence[Path]) -> str:
    """What the files of a case have in common."""
    name = stem(files[0])
    found = phase_of(name) if len(files) > 1 else None
    return (found[0] if found else "") or name


def read_nifti(
    files: Sequence[Path], times: Sequence[float] | None = None, progress: Progress = silent
) -> DceVolume:
    """Read a case from one file (3D, or 4D with the phases last) or from a file per phase, in phase order.

    Args:
        files: of one case.
        times: seconds of each phase from the first one's start; found beside the files where None.
        progress: called per file; may raise `Cancelled`.

    Raises:
        StudyError: a file cannot be read, or the phases do not fit together.
    """
    stacks = []
    for done, path in enumerate(files):
        progress(done, len(files), "Reading NIfTI")
        stacks.append(_read(path))
    progress(len(files), len(files), "Reading NIfTI")
    name = case_name(files)
    phases = sum(len(stack.data) for stack in stacks)
    step = stacks[0].step_s if len(stacks) == 1 else None
    found = find_times(files[0].parent, [stem(path) for path in files], name, phases, times, step)
    found = replace(found, warnings=(*_gap(files), *found.warnings, *_by_number(files, found)))
    return combined(stacks, [path.name for path in files], name, found)


def _read(path: Path) -> Stack:
    try:
        # nibabel's remarks on odd headers; what matters is checked below.
        with python_warnings.catch_warnings():
            python_warnings.simplefilter("ignore")
            image: Any = nibabel.load(path)
            affine = np.asarray(image.affine, dtype=np.float64)
            shape = tuple(int(n) for n in image.shape)
            while len(shape) > 4 and shape[-1] == 1:
                shape = shape[:-1]
            if len(shape) == 5 and shape[3] == 1:  # vectors, as ITK writes phases
                shape = (*shape[:3], shape[4])
            if len(shape) not in (3, 4) or min(shape) < 1 or (len(shape) == 4 and shape[3] > _MOST_PHASES):
                raise StudyError(
                    f"“{path.name}” has the shape {' × '.join(map(str, image.shape))}; a 3D image, or a 4D one "
                    "with the phases last, is needed."
                )
            if image.get_data_dtype().fields is not None or image.get_data_dtype().kind not in "iuf":
                raise StudyError(f"“{path.name}” holds colours or complex values; grey values are needed.")
            size = path.stat().st_size
            needed = math.prod(shape) * image.get_data_dtype().itemsize
            if needed > (1100 if path.name.lower().endswith(".gz") else 1) * max(size, 1):
                raise StudyError(
                    f"“{path.name}” is cut short: its header asks for {needed} bytes of pixels, and the file has "
                    f"{size}. Copy or convert it again."
                )
            values = _values(image).reshape(shape)
            step = _step(image, len(shape))
    except StudyError:
        raise
    except Exception as error:
        raise StudyError(
            f"“{path.name}” cannot be read as NIfTI ({type(error).__name__}). It is damaged, cut short or of "
            "another kind; copy or convert it again."
        ) from error
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise StudyError(f"“{path.name}” does not say where its voxels lie: its affine cannot be inverted.")
    phases = values[..., np.newaxis] if values.ndim == 3 else values
    unknown = int(image.header["qform_code"]) == 0 and int(image.header["sform_code"]) == 0
    notes: tuple[str, ...] = ()
    if unknown:
        notes = (
            f"“{path.name}” does not say how its voxels lie in the patient (neither qform nor sform is set): "
            "left and right may be wrong.",
        )
    return stack_of(np.moveaxis(phases, -1, 0), LPS_FROM_RAS @ affine, notes, step)


def _values(image: Any) -> NDArray[np.generic]:
    """The scaled values; integers as they are stored where no scale changes them."""
    slope, inter = image.dataobj.slope, image.dataobj.inter
    if slope == 1.0 and inter == 0.0:
        stored = np.asarray(image.dataobj.get_unscaled())
        return stored if stored.dtype.itemsize <= 4 else stored.astype(np.float32)
    return np.asarray(image.dataobj, dtype=np.float32)


def _step(image: Any, dimensions: int) -> float | None:
    """Seconds between phases from pixdim[4], where its unit is one of time and it is positive."""
    zooms = image.header.get_zooms()
    unit = _SECONDS.get(image.header.get_xyzt_units()[1])
    if dimensions != 4 or len(zooms) < 4 or unit is None or not 0 < float(zooms[3]) < 1e12:
        return None
    return float(zooms[3]) * unit
