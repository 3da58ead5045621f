"""Files of other formats in the audit: which make a case together, and which cannot be read, from headers alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from .foreign import phase_of
from .index import OtherCase, Unused
from .itk import data_files, is_itk, itk_shape
from .itk import stem as itk_stem
from .nifti import cases as nifti_cases
from .nifti import is_nifti, nifti_shape
from .nifti import stem as nifti_stem
from .reading import NOT_DICOM
from .stills import is_picture, picture_shape

NIFTI, ITK, PICTURE = "NIfTI", "NRRD or MetaImage", "picture"


def other_cases(unused: Sequence[Unused]) -> tuple[tuple[OtherCase, ...], list[Unused]]:
    """Take the files of other formats out of the unused ones.

    Returns:
        Cases by name, and what stays unused; a file that bears such a name and cannot be read stays with a reason.
    """
    files = [one.file for one in unused if one.reason == NOT_DICOM and _bears_a_name(one.file)]
    found: list[OtherCase] = []
    reasons: dict[Path, str] = {}
    for kind, belongs, shape_of in (
        (NIFTI, is_nifti, nifti_shape),
        (ITK, is_itk, itk_shape),
        (PICTURE, is_picture, picture_shape),
    ):
        shapes: dict[Path, tuple[int, ...]] = {}
        for path in filter(belongs, files):
            if not path.is_file():
                reasons[path] = "it lies in a zip archive, of which only DICOM is read; unpack it and open it"
            elif (shape := shape_of(path)) is None:
                reasons[path] = f"it is named as a {kind} file, and its header cannot be read as one"
            else:
                shapes[path] = shape
        for group in _grouped(kind, sorted(shapes), reasons):
            found.append(_case(kind, group, shapes))
    taken = {path for case in found for path in case.paths}
    rest = [replace(one, reason=reasons.get(one.file, one.reason)) for one in unused if one.file not in taken]
    # A file of pixels beside a header that is no case of its own.
    known = {one.file for one in unused}
    found = [replace(case, paths=tuple(p for p in case.paths if p in known)) for case in found]
    return tuple(sorted(found, key=lambda case: (case.format, str(case.paths[0])))), rest


def _bears_a_name(path: Path) -> bool:
    return is_nifti(path) or is_itk(path) or is_picture(path)


def _grouped(kind: str, files: Iterable[Path], reasons: dict[Path, str]) -> list[tuple[Path, ...]]:
    if kind == PICTURE:
        return [(path,) for path in files]
    stem = nifti_stem if kind == NIFTI else itk_stem
    by_phase: dict[object, list[Path]] = defaultdict(list)
    for path in files:
        named = phase_of(stem(path))
        by_phase[(path.parent, named or path)].append(path)
    plain = []
    for paths in by_phase.values():
        if len(paths) > 1:
            for path in paths:
                other = next(one for one in paths if one != path)
                reasons[path] = f"it claims to be the same phase as “{other.name}”; remove one of them"
        else:
            plain.extend(paths)
    return nifti_cases(plain, stem, only_these=True)


def _case(kind: str, files: tuple[Path, ...], shapes: dict[Path, tuple[int, ...]]) -> OtherCase:
    shape = shapes[files[0]]
    stem = nifti_stem if kind == NIFTI else itk_stem
    named = phase_of(stem(files[0])) if len(files) > 1 else None
    beside = tuple(path for file in files for path in data_files(file)) if kind == ITK else ()
    return OtherCase(
        name=(named[0] if named else "") or stem(files[0]),
        format=kind,
        paths=(*files, *beside),
        n_phases=len(files) if len(files) > 1 else shape[3] if len(shape) > 3 else 1,
        shape=shape[:3],
    )
