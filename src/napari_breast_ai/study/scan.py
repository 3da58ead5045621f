"""From files and folders to the study's index: one pass over the headers, no pixels."""

from __future__ import annotations

import os
import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from ..core import Progress, silent
from .errors import StudyError
from .grouping import group_frames
from .headers import Frame
from .index import StudyIndex, Unused
from .reading import read_frames, unreadable


def scan(path: str | Path | Sequence[str | Path], progress: Progress = silent) -> StudyIndex:
    """Look at the header of every file and sort the images into groups and phases.

    Args:
        path: a folder (with all folders in it), a file, or a list of both. File names and endings mean
            nothing.
        progress: called once per file; may raise `Cancelled`.

    Returns:
        The index; every file is in one of its groups or in its list of unused files.

    Raises:
        StudyError: a file or folder does not exist.
    """
    single = isinstance(path, str | Path)
    given = [Path(path)] if isinstance(path, str | Path) else [Path(p) for p in path]
    files, closed = _files(given)
    unused = list(closed)
    frames: list[Frame] = []
    # pydicom warns of each oddity in a file through the warnings module; the audit says what matters.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for done, file in enumerate(files):
            progress(done, len(files), "Reading headers")
            try:
                frames.extend(read_frames(file))
            except Exception as error:  # noqa: BLE001 - parsers raise anything; one file must not stop all
                unused.append(Unused(file, unreadable(error)))
    progress(len(files), len(files), "Reading headers")
    kept, copies = _without_copies(frames)
    unused.extend(copies)
    return StudyIndex(
        files=len(files) + len(closed),
        groups=group_frames(kept) if kept else (),
        unused=tuple(sorted(unused, key=lambda u: str(u.file))),
        root=given[0] if single and given else None,
    )


def _files(given: Iterable[Path]) -> tuple[list[Path], list[Unused]]:
    """All files, each once, sorted by name; folders that are not looked into stand in the audit like a file."""
    found: dict[Path, None] = {}
    closed: list[Unused] = []
    for path in given:
        try:
            is_folder, exists = path.is_dir(), path.exists()
        except OSError as error:
            raise StudyError(f"“{path}” cannot be opened: {unreadable(error)}.") from error
        if is_folder:
            for folder, folders, names in os.walk(
                path, onerror=lambda error: closed.append(Unused(Path(error.filename), unreadable(error)))
            ):
                here = Path(folder)
                found.update(dict.fromkeys(here / name for name in names))
                closed.extend(
                    Unused(here / name, "it is a link to a folder; links are not followed")
                    for name in folders
                    if (here / name).is_symlink()
                )
        elif exists:
            found[path] = None
        else:
            raise StudyError(
                f"There is no file or folder “{path}”; check the name, and that the disk is connected."
            )
    return sorted(found), closed


def _without_copies(frames: Sequence[Frame]) -> tuple[list[Frame], list[Unused]]:
    """Leave out files whose header equals another file's: exports often hold an image twice."""
    by_file: dict[Path, list[Frame]] = defaultdict(list)
    for frame in frames:
        by_file[frame.source.path].append(frame)
    seen: dict[tuple[Frame, ...], Path] = {}
    kept: list[Frame] = []
    copies = []
    nowhere = Path()
    for path in sorted(by_file, key=lambda p: (-_size(p), p)):  # of two copies the shorter one may be cut
        own = by_file[path]
        # UIDs alone do not make a copy: some de-identification gives all images the same one.
        source = replace(
            own[0].source, path=nowhere, pixels=replace(own[0].source.pixels, offset=None, start=0)
        )
        facts = tuple(replace(frame, source=source) for frame in own)
        if own[0].source.sop_instance_uid and facts in seen:
            copies.append(Unused(path, f"it is another copy of the image in “{seen[facts].name}”"))
        else:
            seen[facts] = path
            kept.extend(own)
    return kept, copies


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # gone since its header was read
        return 0
