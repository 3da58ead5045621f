"""From files and folders to the study's index: one pass over the headers, no pixels."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from ..core import Progress, silent
from .archives import Member, check_tables, held, nested, split_archives, unpack
from .errors import StudyError
from .grouping import group_frames
from .headers import Frame, Source
from .index import OtherCase, StudyIndex, Unused
from .quiet import quiet_parsers
from .reading import NOT_DICOM, read_frames, unreadable
from .unnamed import named

_SAMPLE = 1 << 16


def scan(path: str | Path | Sequence[str | Path], progress: Progress = silent) -> StudyIndex:
    """Look at the header of every file and sort the images into groups and phases.

    Args:
        path: a folder (with all folders in it), a file, or a list of both. File names and endings mean
            nothing, but for zip archives (`.zip`), whose members are looked at as files of their own (the
            archive itself counts only where it gives none), and DICOMDIR, which stands for its folder.
        progress: called once per file; may raise `Cancelled`.

    Returns:
        The index; every file is in one of its groups or cases, or in its list of unused files.

    Raises:
        StudyError: a file or folder does not exist.
    """
    single = isinstance(path, str | Path)
    given = [Path(path)] if isinstance(path, str | Path) else [Path(p) for p in path]
    files, closed = _files(given)
    frames, unused = _headers(files, progress)
    count = len(files) + len(closed)
    unused, archives = split_archives(unused)
    members: list[Member] = []
    for archive in archives:
        unpacked, refused = unpack(archive, progress)
        more, broken = _members(unpacked, progress)
        frames.extend(more)
        unused.extend((*broken, *refused))
        members.extend(unpacked)
        count += len(unpacked) + len(refused) - 1  # its members count, not the archive
    frames, unnamed = named(frames)
    kept, copies = _without_copies(frames)
    names = (*files, *(member.shown for member in members))
    unused, said = check_tables([*closed, *unused, *copies], names, members)
    others: tuple[OtherCase, ...] = ()
    if any(one.reason == NOT_DICOM for one in unused):
        from .others import other_cases  # what reads other formats is loaded where there are some

        others, unused = other_cases(unused)
    return StudyIndex(
        files=count,
        groups=group_frames(kept) if kept else (),
        unused=tuple(sorted(unused, key=lambda u: str(u.file))),
        root=given[0] if single and given else None,
        warnings=(*said, *unnamed),
        cases=others,
    )


def _headers(files: Sequence[Path], progress: Progress) -> tuple[list[Frame], list[Unused]]:
    """The images in files, and the files without one."""
    frames: list[Frame] = []
    unused: list[Unused] = []
    with quiet_parsers():
        for done, file in enumerate(files):
            progress(done, len(files), "Reading headers")
            try:
                frames.extend(read_frames(file))
            except Exception as error:  # noqa: BLE001 - parsers raise anything; one file must not stop all
                unused.append(Unused(file, unreadable(error)))
    progress(len(files), len(files), "Reading headers")
    return frames, unused


def _members(members: Sequence[Member], progress: Progress) -> tuple[list[Frame], list[Unused]]:
    """The images in unpacked files, bound to them, and the files without one by the names they had."""
    by_path = {member.path: member for member in members}
    frames, broken = _headers(list(by_path), progress)
    own: dict[Path, list[Frame]] = defaultdict(list)
    for frame in frames:
        own[frame.source.path].append(frame)
    bound = [frame for path, some in own.items() for frame in held(some, by_path[path])]
    return bound, [nested(replace(one, file=by_path[one.file].shown)) for one in broken]


def _files(given: Iterable[Path]) -> tuple[list[Path], list[Unused]]:
    """All files, each once, sorted by name; folders that are not looked into stand in the audit like a file."""
    found: dict[Path, None] = {}
    closed: list[Unused] = []
    for path in map(_opened, given):
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


def _opened(path: Path) -> Path:
    """The folder of a DICOMDIR that was chosen, else the path itself."""
    return path.parent if path.name.upper() == "DICOMDIR" and path.is_file() else path


def _without_copies(frames: Sequence[Frame]) -> tuple[list[Frame], list[Unused]]:
    """Leave out files whose header and pixels equal another file's: exports often hold an image twice."""
    by_file: dict[Path, list[Frame]] = defaultdict(list)
    images: Counter[str] = Counter()
    for frame in frames:
        own = by_file[frame.source.path]
        if not own:
            images[frame.source.sop_instance_uid] += 1
        own.append(frame)
    seen: dict[tuple[Frame, ...], list[Source]] = defaultdict(list)
    kept: list[Frame] = []
    copies = []
    doubtful = {uid for uid, count in images.items() if uid and count > 1}
    # Of two copies the shorter one may be cut.
    for path in sorted(by_file, key=lambda p: (-_size(p), p)) if doubtful else sorted(by_file):
        own = by_file[path]
        if own[0].source.sop_instance_uid in doubtful:
            source = own[0].source
            others = seen[_facts(own)]
            same = next((other for other in others if _same_pixels(source, other)), None)
            if same is not None:
                copies.append(Unused(source.shown, f"it is another copy of the image in “{same.shown.name}”"))
                continue
            others.append(source)
        kept.extend(own)
    return kept, copies


def _facts(own: Sequence[Frame]) -> tuple[Frame, ...]:
    """All that a file's header says, without its place: UIDs alone do not make a copy, since some
    de-identification gives all images the same one.
    """
    first = own[0].source
    source = replace(first, path=Path(), pixels=replace(first.pixels, offset=None, start=0, packed=0))
    return tuple(replace(frame, source=source) for frame in own)


def _same_pixels(a: Source, b: Source) -> bool:
    """Whether two files hold the same bytes in the middle of their pixels: images are never without noise."""
    starts = [source.pixels.packed or source.pixels.start for source in (a, b)]
    middle = (
        max(min(_size(s.path) - start for s, start in zip((a, b), starts, strict=True)) - _SAMPLE, 0) // 2
    )
    pieces = []
    for source, start in zip((a, b), starts, strict=True):
        try:
            with source.path.open("rb") as stream:
                stream.seek(start + middle)
                pieces.append(stream.read(_SAMPLE))
        except OSError:  # gone since its header was read
            return False
    length = min(map(len, pieces))
    return pieces[0][:length] == pieces[1][:length]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # gone since its header was read
        return 0
