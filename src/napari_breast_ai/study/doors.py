"""Which reader a path is for, where it is no DICOM."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..core import DceVolume, Progress, silent
from .errors import StudyError
from .foreign import NAMES
from .index import StudyIndex, listed


def open_other(
    paths: Sequence[Path], times: Sequence[float] | None = None, progress: Progress = silent
) -> DceVolume | None:
    """Read files of other formats than DICOM, known by their endings.

    Args:
        paths: chosen files of one case. One file of several phases (`case_0000.nii.gz`) stands for all.
        times: seconds of the phases, given by a person.
        progress: called per file; may raise `Cancelled`.

    Returns:
        The volume, or None where the files are DICOM, an archive or a folder.

    Raises:
        StudyError: they cannot be read, or are not one case.
    """
    from .foreign import in_phase_order
    from .itk import is_itk, read_itk
    from .nifti import case_name, cases, is_nifti, read_nifti
    from .stills import is_picture, read_picture

    if not paths or not all(path.is_file() for path in paths):
        return None
    if all(is_nifti(path) for path in paths):
        found = cases(paths)
        if len(found) > 1:
            raise _several([case_name(case) for case in found], "the chosen files")
        files = tuple(path for path in found[0] if path in paths) if len(paths) > 1 else found[0]
        return read_nifti(files, times, progress)
    if all(is_itk(path) for path in paths):
        files = in_phase_order(paths[0], paths, lambda path: path.stem)
        if len(files) < len(paths):
            raise _several([path.stem for path in sorted(paths)], "the chosen files")
        return read_itk(files, times, progress)
    if all(is_picture(path) for path in paths):
        if len(paths) > 1:
            raise StudyError(
                f"{len(paths)} pictures were chosen, and each is a case of its own; open one of them."
            )
        return read_picture(paths[0])
    return None


def open_without_dicom(
    index: StudyIndex, times: Sequence[float] | None = None, progress: Progress = silent
) -> DceVolume | None:
    """Read what a folder holds that has no DICOM image.

    Raises:
        StudyError: it holds several cases.
    """
    from .itk import is_itk
    from .nifti import is_nifti
    from .stills import is_picture

    if index.groups or index.root is None or not index.root.is_dir():
        return None
    for belongs in (is_nifti, is_itk, is_picture):
        found = [case for case in index.cases if belongs(case.paths[0])]
        broken = [one.file for one in index.unused if belongs(one.file) and one.file.is_file()]
        if len(found) > 1 and belongs is is_picture:
            names = listed([case.paths[0].name for case in found])
            raise StudyError(
                f"“{index.root}” holds {len(found)} pictures ({names}), each a case of its own; open one of them."
            )
        if len(found) > 1:
            raise _several([case.name for case in found], f"“{index.root}”")
        if found:
            return open_other([path for path in found[0].paths if belongs(path)], times, progress)
        if broken:
            return open_other(broken[:1], times, progress)
    return None


def open_pictures(index: StudyIndex) -> DceVolume | None:
    """Read a DICOM file that is no MR image, where it was chosen alone."""
    from .stills import read_dicom_picture

    if len(index.groups) != 1 or index.groups[0].frames[0].source.modality in ("MR", ""):
        return None
    group = index.groups[0]
    return read_dicom_picture(group) if len(group.paths) == 1 else None


def _several(names: Sequence[str], where: str) -> StudyError:
    return StudyError(
        f"There are {len(names)} cases in {where} ({listed(names)}); open a file of one of them. Phases of one case are "
        f"known by names such as {NAMES}."
    )
