"""Files that are there whole or not at all, as every room writes them. Who calls says in words what went wrong."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import __version__

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

FIGURES = (".png", ".svg")
"""Endings of pictures of figures."""


@contextmanager
def taking_place(path: Path) -> Iterator[Path]:
    """A new name beside a file, with the same ending; what is written there takes the file's place at the end.

    The folders above are made. Where the block raises, nothing of it stays and the file is as it was. The name is
    nobody else's, so that two who write at once do not write into one another.

    Raises:
        OSError: there is no such place, or no leave to write there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{os.getpid()}-{secrets.token_hex(4)}.part-{path.name}")
    try:
        yield part
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def write_whole(path: Path, content: bytes | str, lasting: bool = True) -> None:
    """Write a file whole or not at all, text as UTF-8.

    Args:
        path: written over.
        content: all of it.
        lasting: on the disk before this returns, so that a crash of the machine leaves the old or the new one; False
            for what can be made anew.

    Raises:
        OSError: it cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    with taking_place(path) as part, part.open("xb") as stream:
        stream.write(data)
        if lasting:
            stream.flush()
            os.fsync(stream.fileno())


def write_nifti(path: Path, values: NDArray[Any], affine: NDArray[np.float64], orthogonal: bool) -> None:
    """Write an array as NIfTI, whole or not at all.

    Args:
        path: ends in .nii or .nii.gz.
        values: (slices, rows, columns); stored with the axes column, row, slice.
        affine: of these axes, millimetres, right, front, head positive.
        orthogonal: whether the affine has right angles, which the qform needs.

    Raises:
        OSError: it cannot be written.
    """
    import nibabel

    make: Any = nibabel.Nifti1Image  # partly typed
    image = make(values.transpose(2, 1, 0), affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, 1)
    if orthogonal:
        image.set_qform(affine, 1)
    image.header["descrip"] = f"napari-breast-ai {__version__}".encode()[:79]
    with taking_place(path) as part:
        nibabel.save(image, part)


def write_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG or SVG, whole or not at all; the same figure gives the same file.

    Raises:
        ValueError: the ending is another one, see `FIGURES`.
        OSError: it cannot be written.
    """
    import matplotlib

    ending = path.suffix.lower()
    if ending not in FIGURES:
        raise ValueError(f"“{path.name}” is no name for a picture; let it end in .png or .svg.")
    metadata: dict[str, Any] = {"Date": None} if ending == ".svg" else {"Software": None}
    with matplotlib.rc_context({"svg.hashsalt": "napari-breast-ai"}), taking_place(path) as part:
        figure.savefig(part, metadata=metadata)
