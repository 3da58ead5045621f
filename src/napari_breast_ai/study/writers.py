"""A volume to files that others read: NIfTI with a JSON of times, and classic DICOM. No patient data is written.

Everything is written under a temporary name and moved into place when it is whole. The phantom has a writer of its
own, which imitates vendors on purpose; this one writes plain files and nothing of any vendor.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid
from pydicom.valuerep import format_number_as_ds

from .. import __version__
from ..core import DceVolume, Progress, silent
from .errors import StudyError
from .nifti import is_nifti, stem

MADE_BY = f"Written by napari-breast-ai {__version__}. Research use only."
_START = datetime(2000, 1, 1, 12)
"""The moment of phase 0 in written DICOM: times of day are the patient's business, intervals are not."""


def write_nifti(volume: DceVolume, path: str | Path, progress: Progress = silent) -> tuple[Path, Path]:
    """Write a volume as one 4D NIfTI file, axes (column, row, slice, phase), and a JSON beside it.

    The JSON holds `phase_times_s` (left out where times are unknown), `time_source`, `pre_contrast`, `description`
    and `synthetic`; `read_study` finds it again.

    Args:
        volume: of any kind; values are kept exactly, with their type.
        path: ends in .nii or .nii.gz and must not exist.
        progress: called twice; may raise `Cancelled`, and then nothing is left.

    Returns:
        The image and the JSON.

    Raises:
        StudyError: the name is wrong or taken, or the files cannot be written.
    """
    target = Path(path)
    if not is_nifti(target):
        raise StudyError(f"“{target.name}” is no name for a NIfTI file; let it end in .nii.gz.")
    beside = target.with_name(f"{stem(target)}.json")
    for one in (target, beside):
        if one.exists():
            raise StudyError(f"“{one}” exists already; choose another name, or remove it first.")
    affine = volume.geometry.ras_affine
    make: Any = nibabel.Nifti1Image  # partly typed
    image = make(volume.data.transpose(3, 2, 1, 0), affine)
    image.header.set_xyzt_units("mm", "sec")
    image.set_sform(affine, 1)
    if volume.geometry.is_orthogonal:
        image.set_qform(affine, 1)
    image.header["descrip"] = f"napari-breast-ai {__version__}".encode()[:79]
    steps = np.diff(volume.times.start_s)
    image.header["pixdim"][4] = steps[0] if _timed(volume) and steps.size and np.ptp(steps) < 1e-3 else 0.0
    known = {"phase_times_s": list(volume.times.start_s), "time_source": list(volume.times.source)}
    told = {
        **(known if _timed(volume) else {}),
        "pre_contrast": volume.pre_contrast,
        "description": volume.description,
        "synthetic": volume.identity.synthetic,
        "written_by": MADE_BY,
    }
    with _errors(target), _scratch(target.parent) as scratch:
        progress(0, 2, "Writing NIfTI")
        nibabel.save(image, scratch / target.name)
        progress(1, 2, "Writing NIfTI")
        (scratch / beside.name).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
        progress(2, 2, "Writing NIfTI")
        (scratch / beside.name).replace(beside)  # times first: an image without them would say less
        (scratch / target.name).replace(target)
    return target, beside


def write_dicom_series(
    volume: DceVolume, folder: str | Path, keep_study: bool = False, progress: Progress = silent
) -> tuple[Path, ...]:
    """Write a volume as one series of classic MR images, a file per phase and slice.

    Phases are told by TemporalPositionIdentifier and, where times are known, AcquisitionTime (from a fixed day and
    hour). Values of 8 and 16 bit integers are kept exactly; others are brought to 16 bits with one rescale slope for
    all images. The images are marked as derived, and have new UIDs and a pseudonym for the patient.

    Args:
        volume: of any kind whose slices are at right angles to their rows and columns.
        folder: must not exist, or be empty.
        keep_study: keep the study's and the frame of reference's UIDs, so that the series lies beside its source.
        progress: called per file; may raise `Cancelled`, and then nothing is left.

    Returns:
        The files, phase after phase.

    Raises:
        StudyError: the folder is not empty or cannot be written, or the geometry cannot be said in DICOM.
    """
    target = Path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise StudyError(f"“{target}” is not an empty folder; choose a new one.")
    if not volume.geometry.is_orthogonal:
        raise StudyError(
            "The slices are not at right angles to their rows and columns, which DICOM images cannot say. Resample "
            "the volume, or write it as NIfTI."
        )
    header = _header(volume, keep_study)
    stored, slope, intercept = _sixteen_bits(volume.data)
    names = [
        f"phase{phase:03d}/slice{z:04d}.dcm"
        for phase in range(volume.n_phases)
        for z in range(volume.n_slices)
    ]
    with _errors(target), _scratch(target.parent) as scratch:
        whole = scratch / "series"
        for number, name in enumerate(names):
            progress(number, len(names), "Writing DICOM")
            phase, z = divmod(number, volume.n_slices)
            ds = _image(volume, header, stored[phase, z], phase, z, slope, intercept)
            (whole / name).parent.mkdir(parents=True, exist_ok=True)
            ds.save_as(whole / name, enforce_file_format=True)
        progress(len(names), len(names), "Writing DICOM")
        if target.exists():
            target.rmdir()  # empty; some systems replace no folder
        whole.replace(target)
    return tuple(target / name for name in names)


@contextmanager
def _scratch(parent: Path) -> Iterator[Path]:
    """A temporary folder on the same disk."""
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".napari-breast-ai-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise StudyError(
            f"“{target}” could not be written ({reason}); choose a place that you may write to, with enough space."
        ) from error


def _timed(volume: DceVolume) -> bool:
    return "unknown" not in volume.times.source


def _sixteen_bits(data: NDArray[np.generic]) -> tuple[NDArray[np.generic], str, str]:
    """Values as 16-bit integers, with RescaleSlope and RescaleIntercept as they are written."""
    if data.dtype.kind in "iu" and data.dtype.itemsize <= 2:
        return data.astype(np.int16 if data.dtype.kind == "i" else np.uint16, copy=False), "1", "0"
    low, high = float(data.min()), float(data.max())
    # The decimals that are written count, not the numbers they came from.
    intercept = format_number_as_ds(low)
    slope = format_number_as_ds((high - float(intercept)) / 65534 if high > low else 1.0)
    scaled = (data.astype(np.float64) - float(intercept)) / float(slope)
    return np.clip(np.rint(scaled), 0, 65535).astype(np.uint16), slope, intercept


def _header(volume: DceVolume, keep_study: bool) -> Dataset:
    """What all images share."""
    identity = volume.identity
    pseudonym = "BREASTAI-" + hashlib.sha256(identity.study_uid.encode()).hexdigest()[:10].upper()
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.PatientName = ds.PatientID = pseudonym
    ds.PatientBirthDate = ds.PatientSex = ds.ReferringPhysicianName = ds.AccessionNumber = ds.StudyID = ""
    ds.PatientIdentityRemoved, ds.DeidentificationMethod = "YES", "New dataset without patient data"
    keep = keep_study and identity.study_uid
    ds.StudyInstanceUID = identity.study_uid if keep else generate_uid(prefix=None)
    ds.FrameOfReferenceUID = (keep and identity.frame_of_reference_uid) or generate_uid(prefix=None)
    ds.SeriesInstanceUID = generate_uid(prefix=None)
    ds.StudyDate = ds.SeriesDate = ds.ContentDate = _START.strftime("%Y%m%d")
    ds.StudyTime = ds.SeriesTime = ds.ContentTime = _START.strftime("%H%M%S")
    ds.Modality, ds.SeriesNumber = "MR", 1
    ds.Manufacturer, ds.ManufacturerModelName, ds.SoftwareVersions = "", "napari-breast-ai", __version__
    ds.SeriesDescription = (volume.description or "Dynamic")[:64]
    ds.ImageComments = f"{'SYNTHETIC. ' if identity.synthetic else ''}{MADE_BY}"
    ds.SOPClassUID = MRImageStorage
    ds.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
    ds.DerivationDescription = "Written from a volume; values kept, or rescaled to 16 bits"
    ds.ScanningSequence, ds.SequenceVariant, ds.ScanOptions = "RM", "NONE", ""
    ds.MRAcquisitionType, ds.EchoTime, ds.RepetitionTime, ds.EchoTrainLength = "3D", None, None, None
    ds.PositionReferenceIndicator = ds.PatientPosition = ""
    ds.BodyPartExamined = "BREAST"
    ds.NumberOfTemporalPositions = volume.n_phases
    return ds


def _image(
    volume: DceVolume,
    header: Dataset,
    pixels: NDArray[np.generic],
    phase: int,
    z: int,
    slope: str,
    intercept: str,
) -> Dataset:
    geometry = volume.geometry
    ds = Dataset()
    ds.update(header)
    ds.SOPInstanceUID = generate_uid(prefix=None)
    ds.InstanceNumber = phase * volume.n_slices + z + 1
    ds.AcquisitionNumber = ds.TemporalPositionIdentifier = phase + 1
    if _timed(volume):
        moment = _START + timedelta(seconds=volume.times.start_s[phase])
        ds.AcquisitionDate, ds.AcquisitionTime = moment.strftime("%Y%m%d"), moment.strftime("%H%M%S.%f")
    step, row, column = geometry.spacing
    along_row, along_column = geometry.affine[:3, 2] / column, geometry.affine[:3, 1] / row
    ds.PixelSpacing = [format_number_as_ds(row), format_number_as_ds(column)]
    ds.SliceThickness = ds.SpacingBetweenSlices = format_number_as_ds(step)
    ds.ImageOrientationPatient = [format_number_as_ds(float(v)) for v in (*along_row, *along_column)]
    ds.ImagePositionPatient = [format_number_as_ds(float(v)) for v in geometry.to_patient([z, 0, 0])]
    ds.Rows, ds.Columns = pixels.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, int(pixels.dtype.kind == "i")
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = intercept, slope, "US"
    ds.PixelData = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    ds["PixelData"].VR = "OW"
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta = meta
    return ds
