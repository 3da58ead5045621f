"""Zip archives and DICOMDIRs: more files for the scan, without trust in the names they carry.

An archive is unpacked into a private temporary folder, under numbers: no name of the archive becomes part of a
path. The folder lives as long as something holds one of its `Member`s (each frame's `Source` does) and is removed
with the last of them. In the audit a member is called `study.zip!/name`; each member counts as a file, and the
archive itself counts only where it gives none (refused, broken, empty), so that files still add up.
"""

from __future__ import annotations

import io
import shutil
import stat
import tempfile
import weakref
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..core import Progress, silent
from . import elements as el
from .errors import Unusable
from .headers import Frame
from .index import Unused
from .parsing import read_header
from .reading import ARCHIVE, DICOMDIR_REASON

GIB = 2**30
MOST_MEMBERS = 100_000
MOST_BYTES, MOST_MEMBER_BYTES = 64 * GIB, 8 * GIB
"""Of a whole archive and of one member, inflated."""
MOST_RATIO, RATIO_FROM = 200, 64 * 2**20
"""No image data shrinks to a 200th; checked from 64 MiB on (an empty image may)."""
_SPARE_BYTES = GIB // 2
_STEP = 2**20
_LONGEST_NAME = 240
_MOST_DICOMDIR_BYTES = 64 * 2**20
_MOST_TABLE_BYTES = 64 * 2**20
_ENTRY = b"PK\1\2"
_RECORDS, _FILE_NAME = 0x00041220, 0x00041500


class Scratch:
    """A private temporary folder that is removed with the last reference to it, or at the program's end."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="napari-breast-ai-"))
        # Windows refuses to delete open files: what is left then goes with the system's temporary files.
        self._remove = weakref.finalize(self, shutil.rmtree, str(self.folder), True)

    def close(self) -> None:
        """Remove the folder now."""
        self._remove()


@dataclass(frozen=True, eq=False)
class Member:
    """One unpacked file.

    Attributes:
        path: where its content lies.
        shown: how the audit calls it; never opened.
        scratch: keeps the content.
    """

    path: Path
    shown: Path
    scratch: Scratch


def split_archives(unused: Iterable[Unused]) -> tuple[list[Unused], list[Path]]:
    """Take the archives that are to be unpacked out of a list of unused files."""
    rest: list[Unused] = []
    archives = []
    for one in unused:
        if one.reason != ARCHIVE:
            rest.append(one)
        elif one.file.suffix.lower() == ".zip":
            archives.append(one.file)
        else:  # office documents, stored arrays and programs are zip archives too
            rest.append(
                Unused(one.file, "it is a zip archive by another name; if it holds images, name it .zip")
            )
    return rest, archives


def unpack(archive: Path, progress: Progress = silent) -> tuple[list[Member], list[Unused]]:
    """Unpack the files of a zip archive.

    Args:
        archive: the file.
        progress: called per member; may raise `Cancelled`, and then nothing is left.

    Returns:
        The members, and what was not unpacked with the reason: single members, or the archive itself.
    """
    scratch = Scratch()
    members: list[Member] = []
    unused: list[Unused] = []
    try:
        with _Bounded(io.FileIO(archive)) as stream, zipfile.ZipFile(stream) as opened:
            stream.of_table = False
            infos = [info for info in opened.infolist() if not info.is_dir()]
            if reason := _refusal(infos, archive.stat().st_size, scratch.folder):
                raise Unusable(reason)
            for number, info in enumerate(infos):
                progress(number, len(infos), "Unpacking")
                shown = Path(f"{archive}!/{_printable(info.filename)}")
                target = scratch.folder / f"{number:06d}"
                try:
                    _extract(opened, info, target)
                except (Unusable, OSError, RuntimeError, zipfile.BadZipFile, zlib.error, EOFError) as error:
                    target.unlink(missing_ok=True)
                    unused.append(Unused(shown, _member_reason(error)))
                except Exception as error:  # noqa: BLE001 - decompressors raise what they like on broken data
                    target.unlink(missing_ok=True)
                    unused.append(
                        Unused(shown, f"it is broken inside its zip archive ({type(error).__name__})")
                    )
                else:
                    members.append(Member(target, shown, scratch))
    except Unusable as error:
        unused = [Unused(archive, str(error))]
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        said = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
        unused = [Unused(archive, f"it is a broken zip archive ({said})")]
    except BaseException:
        scratch.close()
        raise
    return members, unused


def _too_many(members: int) -> str:
    return f"it is a zip archive of {members} files; unpack it and open the folder of the study"


class _Bounded(io.BufferedReader):
    """A zip archive whose table of contents is looked at before it is taken apart.

    zipfile makes an object of every entry before anyone can ask how many there are; each begins with a signature.
    """

    of_table = True

    def read(self, size: int | None = -1, /) -> bytes:
        if self.of_table and size is not None and size > _MOST_TABLE_BYTES:
            raise Unusable(
                f"it is a zip archive whose table of contents has {size} bytes; unpack it and open the folder of the "
                "study"
            )
        found = super().read(size)
        if self.of_table and (members := found.count(_ENTRY)) > MOST_MEMBERS:
            raise Unusable(_too_many(members))
        return found


def _refusal(infos: Sequence[zipfile.ZipInfo], size: int, folder: Path) -> str:
    """Why an archive is not unpacked at all; "" where nothing speaks against it."""
    total = sum(info.file_size for info in infos)
    if not infos:
        return "it is an empty zip archive"
    if len(infos) > MOST_MEMBERS:
        return _too_many(len(infos))
    if total > MOST_BYTES or (total > RATIO_FROM and total > MOST_RATIO * size):
        return f"it is a zip archive that would grow from {size} to {total} bytes, more than image data do"
    if total + _SPARE_BYTES > shutil.disk_usage(folder).free:
        return (
            f"it is a zip archive that needs {total / GIB:.1f} GiB in the temporary folder, which has not that "
            "much space; unpack it elsewhere and open the folder"
        )
    if all(info.flag_bits & 1 for info in infos):
        return "it is an encrypted zip archive; unpack it with its password and open the folder"
    return ""


def _extract(opened: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path) -> None:
    if info.flag_bits & 1:
        raise Unusable("it is encrypted; unpack the archive with its password and open the folder")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise Unusable("it is a link; links are not followed")
    if info.file_size > MOST_MEMBER_BYTES or (
        info.file_size > RATIO_FROM and info.file_size > MOST_RATIO * max(info.compress_size, 1)
    ):
        raise Unusable(f"it would grow to {info.file_size} bytes, more than image data do")
    left = info.file_size
    with opened.open(info) as source, target.open("xb") as stream:
        while chunk := source.read(_STEP):
            left -= len(chunk)
            if left < 0:  # the archive's table of contents has lied
                raise Unusable("it is longer than its zip archive says")
            stream.write(chunk)
    if left:
        raise Unusable("it is cut short inside its zip archive")


def _member_reason(error: Exception) -> str:
    if isinstance(error, Unusable):
        return str(error)
    if isinstance(error, NotImplementedError):
        return "it is compressed in a way that cannot be read; unpack the archive and open the folder"
    if isinstance(error, OSError) and error.strerror:
        return f"it cannot be unpacked ({error.strerror})"
    return "it is broken inside its zip archive"


def _printable(name: str) -> str:
    """A member's name for the audit."""
    name = name.replace("\\", "/").lstrip("/")[:_LONGEST_NAME]
    return "".join(c if c.isprintable() else "_" for c in name) or "_"


def held(frames: Iterable[Frame], member: Member) -> list[Frame]:
    """The frames of an unpacked file, bound to it: they keep its content, and are called by its name."""
    frames = list(frames)
    if not frames:
        return frames
    source = replace(frames[0].source, member=member)
    return [replace(frame, source=source) for frame in frames]


def nested(unused: Unused) -> Unused:
    """An archive found inside an archive is not unpacked."""
    if unused.reason != ARCHIVE:
        return unused
    return replace(unused, reason="it is a zip archive inside another one; unpack it and open the folder")


def check_tables(
    unused: Sequence[Unused], names: Iterable[Path], members: Sequence[Member] = ()
) -> tuple[list[Unused], list[str]]:
    """Compare what DICOMDIRs name with what was found.

    The names are compared, never opened: whatever a DICOMDIR says, nothing outside the chosen folder is touched.

    Args:
        unused: of the scan.
        names: all files of the scan, by the names that the audit uses.
        members: unpacked files.

    Returns:
        The unused files, with what is missing in the reason of each DICOMDIR, and sentences for the reader.
    """
    if not any(one.reason == DICOMDIR_REASON for one in unused):
        return list(unused), []
    known = {_key(name) for name in names}
    content = {member.shown: member.path for member in members}
    told, sentences = [], []
    for one in unused:
        if one.reason == DICOMDIR_REASON:
            said = _compared(one.file, content.get(one.file, one.file), known)
            if said:
                one = replace(one, reason=f"{one.reason}; {said}")
                sentences.append(f"“{one.file.name}” is the study's table of contents; {said}.")
        told.append(one)
    return told, sentences


def _compared(shown: Path, path: Path, known: set[str]) -> str:
    try:
        references = _references(path)
    except Unusable as error:
        return f"its names are not compared with the files, because {error}"
    except Exception as error:  # noqa: BLE001 - a parser raises anything; the files are looked at all the same
        return f"it cannot be read ({type(error).__name__})"
    outside = [parts for parts in references if any(part in ("", ".", "..") or ":" in part for part in parts)]
    inside = [parts for parts in references if parts not in outside]
    base = _key(shown.parent)
    missing = [parts for parts in inside if "/".join((base, *(_plain(p) for p in parts))) not in known]
    said = []
    if missing:
        example = "/".join(missing[0])[:80]
        said.append(
            f"{len(missing)} of the {len(references)} files that it names are missing (such as “{example}”)"
        )
    if outside:
        said.append(f"{len(outside)} of the names in it lead out of its folder and are ignored")
    return "; ".join(said)


def _references(path: Path) -> list[tuple[str, ...]]:
    """The file names in a DICOMDIR, in parts. Raises Unusable where it is too large, or broken or hostile."""
    size = path.stat().st_size
    if size > _MOST_DICOMDIR_BYTES:
        raise Unusable(f"it has {size} bytes, more than a table of contents has")
    with path.open("rb", buffering=0) as stream:
        table = read_header(stream, size, frozenset((_RECORDS,)))
    found: list[tuple[str, ...]] = []
    for record in el.items(table, _RECORDS):
        if value := el.texts(record, _FILE_NAME):
            found.append(tuple(part.strip() for part in "/".join(value).split("/")))
    return found


def _plain(part: str) -> str:
    """A name as discs spell it: some systems show it in small letters, with a version or a last dot."""
    return part.split(";")[0].rstrip(".").casefold()


def _key(path: Path) -> str:
    return "/".join(_plain(part) for part in path.as_posix().split("/"))
