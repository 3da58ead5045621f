"""napari's door for folders and files: `viewer.open(path, plugin="napari-breast-ai")` and drag and drop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from .layers import LayerData, volume_layers

PathOrPaths = str | Sequence[str]

ENDINGS = (".dcm", ".ima", ".dicom", ".zip", ".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")


def get_reader(path: PathOrPaths) -> Callable[[PathOrPaths], list[LayerData]] | None:
    """The reader for folders and DICOM files; None for anything else: napari asks another plugin then."""
    paths = [path] if isinstance(path, str) else list(path)
    if paths and all(_may_be_ours(Path(one)) for one in paths):
        return read
    return None


def read(path: PathOrPaths) -> list[LayerData]:
    """Read a study as layers: its first slice now, of DICOM the others when they are asked for (`OnDemand`).

    Errors are `BreastAIError`s, whose sentences napari shows.
    """
    from ..core import DceVolume
    from ..study import open_study
    from .tasks import load_first

    first = str(path if isinstance(path, str) else path[0])
    found = open_study(path)
    if isinstance(found, DceVolume):
        return volume_layers(found, first)
    load_first(found)
    return volume_layers(found.volume, first, loader=found, on_demand=True)


def _may_be_ours(path: Path) -> bool:
    """Whether a path is a folder, or a file that is DICOM by its ending or by the mark at byte 128."""
    if path.is_dir() or path.name.lower().endswith(ENDINGS):
        return True
    try:
        with path.open("rb") as file:
            start = file.read(132)
    except OSError:
        return False
    # Old files have no mark but begin with group 0002 or 0008, little endian.
    return start[128:132] == b"DICM" or start[:2] in (b"\x02\x00", b"\x08\x00")
