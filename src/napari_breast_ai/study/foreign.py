"""What images of other formats have in common: axes brought into order, phases into one array."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core import DceVolume, Geometry, Identity
from .errors import StudyError
from .foreign_times import FoundTimes

LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_SAME_PLACE_MM = 0.01
_THICK = 1.5
"""Voxels longer than this many times their other edges tell the slice axis."""


_COUNTED = re.compile(r"^(?P<case>.+[_-])(?P<number>\d{4})$")
_NAMED = re.compile(
    r"^(?P<case>.*?)(?<![a-z])(?P<word>phase|ph|dynamic|dyn|post)[ _-]?(?P<number>\d{1,4})$", re.I
)
_PEOPLE = re.compile(
    r"(?<![a-z])(?:patients?|pat|pt|subjects?|subj|sub|persons?|wom[ae]n|volunteers?)$", re.I
)
"""Words whose numbers count people."""
_BEFORE_OR_AFTER = re.compile(r"^(?P<case>.*?)(?<![a-z])(?P<word>pre|post)$", re.I)

NAMES = "NAME_0000, NAME_0001, ... or NAME_pre, NAME_post1, ... or NAME_phase1, NAME_phase2, ..."
"""Names by which files are known as phases of one case."""


def phase_of(name: str) -> tuple[str, str, int] | None:
    """What files of one case have in common, the word that counts its phases, and the phase of a file's name.

    A number alone may count patients, and "t1" and "t2" are weightings: only four digits (from 0000 on), and
    numbers after a word for phases, count; and not where "patient" or "subject" is all that stands before them. None
    where the name counts no phases.
    """
    if match := _NAMED.match(name):
        return match["case"].rstrip("_- ."), match["word"].casefold(), int(match["number"])
    if match := _COUNTED.match(name):
        case = match["case"].rstrip("_-")
        return None if _PEOPLE.search(case) else (case, "", int(match["number"]))
    if match := _BEFORE_OR_AFTER.match(name):
        return match["case"].rstrip("_- ."), "post", int(match["word"].casefold() == "post")
    return None


def in_phase_order(chosen: Path, files: Sequence[Path], stem: Callable[[Path], str]) -> tuple[Path, ...]:
    """Those of `files` that are phases of the same case as `chosen`, in order; `chosen` alone where none are.

    Raises:
        StudyError: two claim to be the same phase.
    """
    own = phase_of(stem(chosen))
    if own is None:
        return (chosen,)
    found: dict[int, Path] = {}
    for path in sorted(files):
        other = phase_of(stem(path))
        if other is None or other[:2] != own[:2] or path.parent != chosen.parent:
            continue
        if other[2] in found:
            raise StudyError(
                f"“{found[other[2]].name}” and “{path.name}” claim to be the same phase; remove one of them."
            )
        found[other[2]] = path
    if own[1] in ("", "post") and 0 not in found:  # without its first phase it may be something else
        return (chosen,)
    return tuple(path for _, path in sorted(found.items()))


@dataclass(frozen=True, eq=False)
class Stack:
    """The content of one file: `data[phase, slice, row, column]`, where it lies, and remarks."""

    data: NDArray[np.generic]
    geometry: Geometry
    warnings: tuple[str, ...] = ()
    step_s: float | None = None


def stack_of(
    data: NDArray[np.generic],
    affine: NDArray[np.float64],
    warnings: tuple[str, ...] = (),
    step_s: float | None = None,
) -> Stack:
    """Bring (phase, i, j, k) into (phase, slice, row, column), by exchanging and reversing axes only.

    Slices lie along the last axis, or along another one whose voxels are much longer. Rows and columns run as
    radiologists look at them: to the left and the back on axial slices, to the left and the feet on coronal
    ones, to the back and the feet on sagittal ones; slices so that the axes are right-handed, as the DICOM
    reader has them.

    Args:
        data: values, shape (phases, i, j, k).
        affine: 4 × 4, (i, j, k, 1) to patient mm, LPS.
        warnings: handed on.
        step_s: handed on.
    """
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    slices = 2
    for axis in (0, 1):
        if lengths[axis] > _THICK * np.delete(lengths, axis).max():
            slices = axis
    first, second = (axis for axis in range(3) if axis != slices)
    directions = affine[:3, :3] / lengths
    normal = int(np.argmax(np.abs(np.cross(directions[:, first], directions[:, second]))))
    # The patient axis along which a row runs (growing column), and whether rows go down the body.
    across = 1 if normal == 0 else 0
    row_axis, column_axis = second, first
    if abs(directions[across, second]) > abs(directions[across, first]):
        row_axis, column_axis = first, second
    down = 1 if normal == 2 else 2
    order = (slices, row_axis, column_axis)
    permutation = np.zeros((3, 3))
    for new, old in enumerate(order):
        permutation[old, new] = 1.0
    reverse = [
        False,
        directions[down, row_axis] * (1 if down == 1 else -1) < 0,
        directions[across, column_axis] < 0,
    ]
    turned = directions[:, order].copy()
    turned[:, reverse] *= -1
    reverse[0] = bool(np.dot(np.cross(turned[:, 2], turned[:, 1]), turned[:, 0]) < 0)
    data = data.transpose(0, *(axis + 1 for axis in order))
    change = np.eye(4)
    change[:3, :3] = permutation
    for new in range(3):
        if reverse[new]:
            change[:3, 3] += change[:3, new] * (data.shape[new + 1] - 1)
            change[:3, new] *= -1
            data = np.flip(data, new + 1)
    z, y, x = data.shape[1:]
    spacing = (float(lengths[slices]), float(lengths[row_axis]), float(lengths[column_axis]))
    return Stack(data, Geometry((z, y, x), spacing, affine @ change), warnings, step_s)


def combined(stacks: Sequence[Stack], names: Sequence[str], description: str, times: FoundTimes) -> DceVolume:
    """The phases of all files in one volume.

    Raises:
        StudyError: they do not fit together; the sentence names the file.
    """
    first = stacks[0]
    for stack, name in zip(stacks[1:], names[1:], strict=True):
        if stack.geometry.shape != first.geometry.shape:
            sizes = " and ".join(" × ".join(map(str, one.geometry.shape)) for one in (first, stack))
            raise StudyError(
                f"“{names[0]}” and “{name}” are not phases of one study: they have {sizes} slices, rows and "
                "columns. Choose the files of one case."
            )
        if not stack.geometry.same_as(first.geometry, _SAME_PLACE_MM):
            raise StudyError(
                f"“{names[0]}” and “{name}” do not lie at the same place in the patient: their affines differ. "
                "Bring all phases onto the grid of the first one, or choose the files of one case."
            )
    kind = np.result_type(*(stack.data.dtype for stack in stacks))
    if kind.kind not in "iu" or kind.itemsize > 4:
        kind = np.dtype(np.float32)
    data = np.empty((sum(len(stack.data) for stack in stacks), *first.geometry.shape), dtype=kind)
    at = 0
    for stack in stacks:
        data[at : at + len(stack.data)] = stack.data
        at += len(stack.data)
    said = list(dict.fromkeys(warning for stack in stacks for warning in stack.warnings))
    if kind.kind == "f" and not np.isfinite(data).all():
        said.append(
            f"{int(np.count_nonzero(~np.isfinite(data)))} values are not numbers; they are taken as 0."
        )
        np.nan_to_num(data, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    if not 0 <= times.pre_contrast < len(data):
        raise StudyError(
            f"The JSON beside “{names[0]}” says that phase {times.pre_contrast} is the pre-contrast one; there "
            f"are phases 0 to {len(data) - 1}. Correct it."
        )
    return DceVolume(
        data=data,
        geometry=first.geometry,
        times=times.times,
        identity=Identity(content_uid(data, first.geometry), synthetic=times.synthetic),
        description=times.description or description,
        pre_contrast=times.pre_contrast,
        warnings=(*said, *times.warnings),
    )


def content_uid(data: NDArray[np.generic], geometry: Geometry) -> str:
    """A UID made of the content: the same for the same images wherever they lie, and of no patient."""
    digest = hashlib.sha256(np.round(geometry.affine, 4).tobytes())
    digest.update(repr((data.shape, data.dtype.str)).encode())
    digest.update(np.ascontiguousarray(data).view(np.uint8).data)
    return f"2.25.{int.from_bytes(digest.digest()[:16], 'big')}"
