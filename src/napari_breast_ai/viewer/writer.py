"""napari's door out: `File > Save Selected Layers` writes the study that a layer shows, not the picture of it.

Orientation, place, times and the pre-contrast phase go along, which napari's own image formats cannot keep.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..core import BreastAIError, DceVolume
from .layers import DYNAMIC, KEY, LayerData
from .notices import activity


class WriteError(BreastAIError):
    """The layers are not what can be written."""


def write_nifti(path: str, layers: Sequence[LayerData]) -> list[str]:
    """Write the study of the layers as NIfTI with a JSON of times, as `study.write_nifti` does.

    Returns:
        The files.

    Raises:
        BreastAIError: the layers show no study, or it cannot be read or written; the sentence says which.
    """
    from ..study import write_nifti

    return _written(layers, lambda volume, progress: write_nifti(volume, path, progress))


def write_dicom(path: str, layers: Sequence[LayerData]) -> list[str]:
    """Write the study of the layers as DICOM into a new folder, as `study.write_dicom_series` does.

    The folder is called `path` without its .dcm. Returns and raises as `write_nifti`.
    """
    from ..study import write_dicom_series

    named = Path(path)
    folder = named.with_suffix("") if named.suffix.lower() == ".dcm" else named
    return _written(layers, lambda volume, progress: write_dicom_series(volume, folder, progress=progress))


def _written(layers: Sequence[LayerData], write: Callable[..., Sequence[Path]]) -> list[str]:
    entry = _study(layers)
    volume: DceVolume = entry["volume"]
    loader = entry.get("loader")
    with activity("Writing the study") as report:
        if loader is not None and not loader.complete:
            # Slices that have not been read are 0, which must not become a file.
            loader.load(report)
        return [str(one) for one in write(volume, report)]


def _study(layers: Sequence[LayerData]) -> dict[str, Any]:
    """Our entry of the layer that holds the study."""
    found = [settings.get("metadata", {}).get(KEY) for _, settings, _ in layers]
    for (_, settings, _), entry in zip(layers, found, strict=True):
        if not isinstance(entry, dict):
            raise WriteError(
                f"“{settings.get('name', 'The layer')}” is no study that napari-breast-ai has opened: nothing tells "
                "where it lies in the patient. Save it in one of napari's own formats, such as .tif."
            )
    studies: list[dict[str, Any]] = [entry for entry in found if entry["role"] == DYNAMIC]
    if not studies:
        raise WriteError(
            "Only the study itself is written here, not what was computed from it. Choose the layer “Dynamic”."
        )
    if any(entry["volume"] is not studies[0]["volume"] for entry in found):
        raise WriteError("The layers show more than one study. Choose the layer “Dynamic” of one.")
    return studies[0]
