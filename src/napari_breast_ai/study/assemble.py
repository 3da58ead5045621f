"""From a group of the index, or from a path, to one array in the scanner's units, with geometry and times."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..core import DceVolume, Progress, silent
from .doors import open_other, open_pictures, open_without_dicom
from .errors import StudyError
from .index import Group
from .keeping import overruled
from .loading import Loader
from .scan import scan
from .told_times import recall_times


def assemble(group: Group, progress: Progress = silent) -> DceVolume:
    """Read all pixels of a group: `Loader` and `Loader.load` in one.

    Args:
        group: of a `StudyIndex`.
        progress: called once per file; may raise `Cancelled`.

    Raises:
        StudyError: the group is no regular stack of grey images, or a file's pixels cannot be read.
    """
    loader = Loader(group)
    loader.load(progress)
    return loader.volume


def read_study(
    path: str | Path | Sequence[str | Path],
    progress: Progress = silent,
    times: Sequence[float] | None = None,
) -> DceVolume:
    """Scan files or folders, choose the dynamic series, and read it: `scan`, `overruled`, `StudyIndex.dce`,
    `assemble`. What a person decided about the study before is replayed.

    NIfTI, NRRD, MetaImage and pictures are known by their endings; a folder is looked at for them where it has
    no DICOM image.

    Args:
        path: a folder, a file, or files of one study.
        progress: may raise `Cancelled`.
        times: seconds of each phase, for formats that do not carry them; for DICOM they are not used.

    Raises:
        StudyError: nothing is there, nothing is dynamic, or pixels cannot be read; the sentence says which.
    """
    found = open_study(path, progress, times)
    if isinstance(found, DceVolume):
        return found
    found.load(progress)
    return found.volume


def open_study(
    path: str | Path | Sequence[str | Path],
    progress: Progress = silent,
    times: Sequence[float] | None = None,
) -> DceVolume | Loader:
    """As `read_study`, but a DICOM series comes as a `Loader` that has read no pixels yet.

    Times that a person told before (`tell_times`) are recalled where the files tell none.

    Raises:
        StudyError: nothing is there, or nothing is dynamic; the sentence says which.
    """
    paths = [Path(path)] if isinstance(path, str | Path) else [Path(one) for one in path]
    found = _found(path, paths, progress, times)
    if isinstance(found, DceVolume):
        return recall_times(found, paths[0])
    found.volume = recall_times(found.volume, paths[0])
    return found


def _found(
    path: str | Path | Sequence[str | Path],
    paths: Sequence[Path],
    progress: Progress,
    times: Sequence[float] | None,
) -> DceVolume | Loader:
    other = open_other(paths, times, progress)
    if other is not None:
        return other
    index = overruled(scan(path, progress))
    other = open_without_dicom(index, times, progress)
    if other is not None:
        return other
    try:
        group = index.dce()
    except StudyError:
        picture = open_pictures(index)
        if picture is None:
            raise
        return picture
    return Loader(group)


def open_volume(path: str | Path | Sequence[str | Path], progress: Progress = silent) -> DceVolume:
    """What study this is, its geometry and its times; without its pixels where that is possible. As `open_study`."""
    opened = open_study(path, progress)
    return opened.volume if isinstance(opened, Loader) else opened
