"""NRRD and MetaImage through SimpleITK, where it is installed (`pip install "napari-breast-ai[itk]"`)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core import DceVolume, Progress, silent
from .errors import StudyError
from .foreign import Stack, combined, stack_of
from .foreign_times import find_times

ENDINGS = (".nrrd", ".nhdr", ".mha", ".mhd")
_DATA_FILE = re.compile(
    rb"^\s*(?:ElementDataFile\s*=|data ?file\s*:)\s*(.*?)\s*$", re.IGNORECASE | re.MULTILINE
)
_HEADER_BYTES = 2**16
_NRRD_SIZES = re.compile(rb"^sizes:[ \t]*((?:\d{1,9}[ \t]*){1,9})\r?$", re.MULTILINE)
_NRRD_KINDS = re.compile(rb"^kinds:[ \t]*(.*?)[ \t]*\r?$", re.MULTILINE)
_META_SIZES = re.compile(rb"^DimSize[ \t]*=[ \t]*((?:\d{1,9}[ \t]*){1,9})\r?$", re.MULTILINE)
_META_VALUES = re.compile(rb"^ElementNumberOfChannels[ \t]*=[ \t]*(\d{1,9})", re.MULTILINE)
_MOST_RATIO = 1100


def is_itk(path: Path) -> bool:
    """Whether the name is that of an NRRD or MetaImage file."""
    return path.suffix.lower() in ENDINGS


def stem(path: Path) -> str:
    """A file's name without its ending."""
    return path.stem


def itk_shape(path: Path) -> tuple[int, ...] | None:
    """Voxels along the axes of a file, from the text of its header; None where it does not tell.

    Sources: the NRRD format (teem.sourceforge.net/nrrd/format.html) and MetaIO's (itk.org/Wiki/MetaIO).
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEADER_BYTES)
    except OSError:
        return None
    match = _NRRD_SIZES.search(head) if head[:4] == b"NRRD" else _META_SIZES.search(head)
    if match is None:
        return None
    sizes = tuple(int(n) for n in match[1].split())
    if not 1 < len(sizes) < 6 or min(sizes) < 1:
        return None
    kinds = _NRRD_KINDS.search(head) if head[:4] == b"NRRD" else None
    if kinds is not None and len(names := kinds[1].split()) == len(
        sizes
    ):  # the axis of phases may come first
        space = [n for n, name in zip(sizes, names, strict=True) if name.lower() in (b"domain", b"space")]
        sizes = (
            *space,
            *(n for n, name in zip(sizes, names, strict=True) if name.lower() not in (b"domain", b"space")),
        )
    several = _META_VALUES.search(head) if head[:4] != b"NRRD" else None
    if several is not None and int(several[1]) > 1:
        sizes = (*sizes, int(several[1]))
    return (*sizes, 1)[: max(len(sizes), 3)]


def read_itk(
    files: Sequence[Path], times: Sequence[float] | None = None, progress: Progress = silent
) -> DceVolume:
    """Read phases: one file of 3D, 4D or vector pixels, or a file per phase in order.

    Args:
        files: in phase order.
        times: seconds of each phase from the first one's start; found beside the files where None.
        progress: called per file; may raise `Cancelled`.

    Raises:
        StudyError: SimpleITK is not installed, a file cannot be read, or the phases do not fit together.
    """
    try:
        import SimpleITK
    except ImportError as error:
        raise StudyError(
            f"“{files[0].name}” needs SimpleITK, which is not installed. Install it with: "
            'pip install "napari-breast-ai[itk]"'
        ) from error
    stacks = []
    for done, path in enumerate(files):
        progress(done, len(files), "Reading images")
        stacks.append(_read(SimpleITK, path))
    progress(len(files), len(files), "Reading images")
    phases = sum(len(stack.data) for stack in stacks)
    step = stacks[0].step_s if len(stacks) == 1 else None
    name = files[0].stem
    found = find_times(files[0].parent, [path.stem for path in files], name, phases, times, step)
    return combined(stacks, [path.name for path in files], name, found)


def _read(itk: Any, path: Path) -> Stack:
    _refuse_paths(path)
    try:
        reader = itk.ImageFileReader()
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        size = reader.GetSize()
        if len(size) not in (3, 4) or min(size) < 1:
            raise StudyError(
                f"“{path.name}” has the shape {' × '.join(map(str, size))}; a 3D or 4D image is needed."
            )
        values = int(np.prod(size, dtype=object)) * reader.GetNumberOfComponents()
        stored = max(other.stat().st_size for other in (path, *data_files(path)))
        if values > _MOST_RATIO * stored:
            raise StudyError(f"“{path.name}” is cut short: it asks for {values} values in {stored} bytes.")
        image = reader.Execute()
        data: NDArray[np.generic] = itk.GetArrayFromImage(image)
    except StudyError:
        raise
    except Exception as error:
        raise StudyError(
            f"“{path.name}” cannot be read by SimpleITK ({type(error).__name__}). It is damaged, cut short or of "
            "another kind; copy or convert it again."
        ) from error
    if data.dtype.kind not in "iuf":
        raise StudyError(f"“{path.name}” holds complex values; grey values are needed.")
    if len(size) == 4 and image.GetNumberOfComponentsPerPixel() > 1:
        raise StudyError(f"“{path.name}” holds several values per voxel and phase; one is needed.")
    if len(size) == 3:
        data = np.moveaxis(data, -1, 0) if image.GetNumberOfComponentsPerPixel() > 1 else data[np.newaxis]
    n = len(size)
    direction = np.array(image.GetDirection()).reshape(n, n)[:3, :3]
    affine = np.eye(4)
    affine[:3, :3] = direction * np.array(image.GetSpacing())[:3]
    affine[:3, 3] = np.array(image.GetOrigin())[:3]
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise StudyError(
            f"“{path.name}” does not say where its voxels lie: its directions cannot be inverted."
        )
    step = float(image.GetSpacing()[3]) if n == 4 else None
    return stack_of(data.transpose(0, 3, 2, 1), affine, (), step if step and step > 1.0 else None)


def _named(path: Path) -> list[str]:
    with path.open("rb") as stream:
        head = stream.read(_HEADER_BYTES)
    if head[:4] == b"NRRD":
        head = re.split(rb"\r?\n\r?\n", head, maxsplit=1)[0]
        return [name.decode("utf-8", "replace") for name in _DATA_FILE.findall(head)]
    # In MetaImage the line is the header's last; pixels follow it.
    match = _DATA_FILE.search(head)
    return [match[1].decode("utf-8", "replace")] if match else []


def _refuse_paths(path: Path) -> None:
    """Headers may name another file for the pixels: only one beside them, by a plain name, is opened."""
    try:
        names = _named(path)
    except OSError as error:
        raise StudyError(f"“{path.name}” cannot be opened ({error.strerror}).") from error
    for name in names:
        if name.upper() != "LOCAL" and (_leads_away(name) or name == "LIST"):
            raise StudyError(
                f"“{path.name}” names pixels that do not lie beside it under a plain name; such files are not "
                "opened. Convert it to one file (.nrrd, .mha)."
            )


def data_files(path: Path) -> list[Path]:
    """The files beside a header that hold its pixels, as far as they are named plainly and are there."""
    try:
        names = [name for name in _named(path) if name.upper() not in ("LOCAL", "LIST")]
    except OSError:
        return []
    return [path.parent / name for name in names if not _leads_away(name) and (path.parent / name).is_file()]


def _leads_away(name: str) -> bool:
    return bool(re.search(r"[/\\:%\s]", name)) or name.startswith(".")
