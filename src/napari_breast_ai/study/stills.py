"""Single pictures as cases of one phase and one slice: PNG, JPEG, TIFF, and DICOM ultrasound and its like."""

from __future__ import annotations

import warnings as python_warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from pydicom.pixels.utils import pixel_array

from ..core import DceVolume, FrameRef, Geometry, Identity, PhaseTimes
from .errors import StudyError
from .foreign import content_uid
from .index import Group

ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
NO_SIZE = "The picture has no physical size: lengths count a pixel as 1 mm and mean nothing."
_LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601
_FLAT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def is_picture(path: Path) -> bool:
    """Whether the name is that of a still image."""
    return path.suffix.lower() in ENDINGS


def picture_shape(path: Path) -> tuple[int, ...] | None:
    """1, rows and columns of a picture; None where it cannot be read."""
    try:
        with python_warnings.catch_warnings():
            python_warnings.simplefilter("ignore")
            with Image.open(path, formats=("PNG", "JPEG", "TIFF")) as image:
                return 1, image.height, image.width
    except Exception:  # noqa: BLE001 - whatever is wrong is said when the file is read
        return None


def read_picture(path: Path) -> DceVolume:
    """Read a PNG, JPEG or TIFF as one slice. Grey values stay as they are stored; colours become luminance.

    Raises:
        StudyError: it cannot be read, or is larger than any picture.
    """
    said: list[str] = []
    try:
        with python_warnings.catch_warnings():
            python_warnings.simplefilter("ignore")
            python_warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=("PNG", "JPEG", "TIFF")) as image:
                count = int(getattr(image, "n_frames", 1))
                if count > 1:
                    said.append(f"“{path.name}” holds {count} pictures; this is the first.")
                data = _grey(ImageOps.exif_transpose(image), said)
    except Exception as error:
        raise StudyError(
            f"“{path.name}” cannot be read as a picture ({type(error).__name__}). It is damaged, too large, or of "
            "another kind; save it again as PNG."
        ) from error
    return _case(data, (1.0, 1.0), [*said, NO_SIZE], path.stem)


def _grey(image: Image.Image, said: list[str]) -> NDArray[np.generic]:
    if image.mode in ("1", "L", "I;16", "I;16B", "I;16L", "I", "F"):
        data = np.asarray(image.convert("L") if image.mode == "1" else image)
        return data.astype(data.dtype.newbyteorder("="), copy=False)
    if image.mode == "LA":
        return np.asarray(image.getchannel("L"))
    rgb = np.asarray(image.convert("RGB"))
    return luminance(rgb, said)


def luminance(rgb: NDArray[np.generic], said: list[str]) -> NDArray[np.generic]:
    """Grey values, (rows, columns), of (rows, columns, 3); says so where the picture has colours."""
    if (rgb[..., 0] == rgb[..., 1]).all() and (rgb[..., 0] == rgb[..., 2]).all():
        return np.ascontiguousarray(rgb[..., 0])
    said.append("The picture has colours; what is shown is their brightness.")
    grey: NDArray[np.generic] = np.rint(rgb[..., :3].astype(np.float32) @ _LUMINANCE).astype(rgb.dtype)
    return grey


def read_dicom_picture(group: Group) -> DceVolume:
    """Read a group that is no MR series (ultrasound, secondary capture, mammography): its first image.

    Raises:
        StudyError: its pixels cannot be read.
    """
    frame = group.frames[0]
    source = frame.source
    said: list[str] = []
    if len(group.frames) > 1:
        said.append(f"{group.title} holds {len(group.frames)} pictures; this is the first.")
    try:
        with python_warnings.catch_warnings():
            python_warnings.simplefilter("ignore")
            values = pixel_array(source.path, index=frame.number or 0)
    except Exception as error:
        raise StudyError(
            f"The pixels of “{source.shown.name}” cannot be read ({type(error).__name__}). The file is damaged, or "
            "compressed in a way that no installed decoder knows; export it again, uncompressed."
        ) from error
    data = luminance(values, said) if values.ndim == 3 else values
    if data.dtype.itemsize > 4:
        data = data.astype(np.float32)
    if source.pixels.inverted:
        data = (data.max() - data) + data.min()  # in this order nothing is beyond the type
        said.append("The picture is stored dark for light (MONOCHROME1); its values are reversed.")
    spacing = frame.pixel_spacing
    if spacing is None:
        said.append(NO_SIZE)
    elif source.modality == "US":
        said.append(
            "Lengths hold inside the ultrasound image; in other parts of the picture they mean nothing."
        )
    volume = _case(data, spacing or (1.0, 1.0), said, group.description)
    return DceVolume(
        data=volume.data,
        geometry=volume.geometry,
        times=volume.times,
        identity=group.identity,
        frames=((FrameRef(source.sop_instance_uid, frame.number),),),
        description=group.description,
        warnings=(*group.warnings, *volume.warnings),
    )


def _case(
    data: NDArray[np.generic], spacing: tuple[float, float], said: list[str], description: str
) -> DceVolume:
    rows, columns = data.shape
    geometry = Geometry.from_dicom((1, rows, columns), spacing, 1.0, (0.0, 0.0, 0.0), _FLAT)
    stack = np.ascontiguousarray(data)[np.newaxis, np.newaxis]
    return DceVolume(
        data=stack,
        geometry=geometry,
        times=PhaseTimes((0.0,), ("unknown",)),
        identity=Identity(content_uid(stack, geometry)),
        description=description,
        warnings=tuple(said),
    )
