"""From a group of the index, or from a path, to one array in the scanner's units, with geometry and times."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..core import DceVolume, Progress, silent
from .index import Group
from .loading import Loader
from .scan import scan


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


def read_study(path: str | Path | Sequence[str | Path], progress: Progress = silent) -> DceVolume:
    """Scan files or folders, choose the dynamic series, and read it: `scan`, `StudyIndex.dce`, `assemble`.

    Raises:
        StudyError: nothing is there, nothing is dynamic, or pixels cannot be read; the sentence says which.
    """
    return assemble(scan(path, progress).dce(), progress)
