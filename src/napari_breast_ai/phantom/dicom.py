"""Write a phantom as DICOM, in the manner of each vendor."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from ..core import Progress, silent
from .acquisition import FLIP_DEG, TE_S, TR_S
from .fields import stream
from .make import Phantom, uid
from .spec import PhantomError

Manner = Literal["ge", "siemens", "philips", "enhanced"]
MANNERS: tuple[Manner, ...] = ("ge", "siemens", "philips", "enhanced")
"""One series (GE), a series per phase and a subtraction (Siemens), scrambled (Philips), one file."""

STUDY_DATE = "20240102"
START_S = 9 * 3600 + 30 * 60 + 12.5
"""Time of day of phase 0, in seconds."""


@dataclass(frozen=True)
class Output:
    """A file to write: its name below the folder and its dataset."""

    name: str
    dataset: Dataset


def write_dicom(
    phantom: Phantom, folder: str | Path, manner: Manner, progress: Progress = silent
) -> list[Path]:
    """Write a phantom as a DICOM study.

    Args:
        phantom: what `make_phantom` made.
        folder: where the files go; made if it does not exist. Files already there stay, unless they
            bear the same name.
        manner: "ge", "siemens", "philips" or "enhanced".
        progress: called before each file; may raise `Cancelled`, and then nothing is left.

    Returns:
        The files, in the order of their names.

    Raises:
        PhantomError: the manner is unknown or the folder cannot be written; nothing is left half-written, and
            files that stood there stand there still.
    """
    if manner not in MANNERS:
        raise PhantomError(f"The manner '{manner}' is unknown; choose one of {', '.join(MANNERS)}.")
    target = Path(folder)
    outputs, total = _outputs(phantom, manner)
    made = _missing_parents(target)
    try:
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".phantom-", dir=target) as scratch:
            written = Path(scratch) / "new"
            names = []
            for done, output in enumerate(outputs):
                progress(done, total, "writing")
                path = written / output.name
                path.parent.mkdir(parents=True, exist_ok=True)
                output.dataset.save_as(path, enforce_file_format=True)
                names.append(output.name)
            progress(total, total, "written")
            _move(names, written, target, Path(scratch) / "old")
    except OSError as error:
        _remove_empty(made)
        reason = error.strerror or str(error)
        raise PhantomError(
            f"The phantom could not be written to {target} ({reason}); choose a folder that you may write "
            "to, with enough space."
        ) from error
    except BaseException:
        _remove_empty(made)
        raise
    return sorted(target / name for name in names)


def _move(names: list[str], written: Path, target: Path, old: Path) -> None:
    """Put files in their places: all of them, or none, as long as the file system lets itself be put back.

    Files of the same names that stand there are set aside first and come back where anything fails.
    """
    made: list[Path] = []
    done: list[str] = []
    aside: list[str] = []
    try:
        for name in names:
            place = target / name
            made.extend(_missing_parents(place.parent))
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.exists():
                (old / name).parent.mkdir(parents=True, exist_ok=True)
                place.replace(old / name)
                aside.append(name)
            (written / name).replace(place)
            done.append(name)
    except BaseException:
        with contextlib.suppress(OSError):  # what cannot be put back is said by the first failure
            for name in done:
                (target / name).unlink(missing_ok=True)
            for name in aside:
                (old / name).replace(target / name)
        _remove_empty(sorted(set(made), key=lambda folder: len(folder.parts), reverse=True))
        raise


def _missing_parents(folder: Path) -> list[Path]:
    missing = []
    while not folder.exists() and folder != folder.parent:
        missing.append(folder)
        folder = folder.parent
    return missing


def _remove_empty(folders: list[Path]) -> None:
    """Take away the folders that this call made; deepest first."""
    for folder in folders:
        if folder.is_dir() and not any(folder.iterdir()):
            shutil.rmtree(folder, ignore_errors=True)


def _outputs(phantom: Phantom, manner: Manner) -> tuple[Iterator[Output], int]:
    from .enhanced import enhanced_outputs

    phases, slices = phantom.volume.data.shape[:2]
    makers: dict[str, tuple[Callable[[Phantom], Iterator[Output]], int]] = {
        "ge": (_ge, phases * slices),
        "siemens": (_siemens, (phases + 1) * slices),
        "philips": (_philips, phases * slices),
        "enhanced": (enhanced_outputs, 1),
    }
    make, total = makers[manner]
    return make(phantom), total


def clock(seconds: float) -> str:
    """A DICOM time (TM) of so many seconds after midnight."""
    whole, part = divmod(round(seconds * 1_000_000), 1_000_000)
    hours, rest = divmod(whole % 86400, 3600)
    return f"{hours:02d}{rest // 60:02d}{rest % 60:02d}.{part:06d}"


def study_header(phantom: Phantom, manner: str, manufacturer: str, model: str) -> Dataset:
    """What all files of a study share: patient, study, frame of reference, equipment, "synthetic"."""
    spec, volume = phantom.spec, phantom.volume
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.PatientName = f"SYNTHETIC^PHANTOM {spec.kind.upper()} {spec.seed}"
    ds.PatientID = f"SYNTHETIC-{spec.kind}-{spec.seed}"
    ds.PatientBirthDate = ""
    ds.PatientSex = "F"
    ds.PatientIdentityRemoved = "YES"
    ds.DeidentificationMethod = "Synthetic data: no patient exists"
    ds.StudyInstanceUID = volume.identity.study_uid
    ds.StudyID = "1"
    ds.StudyDate = STUDY_DATE
    ds.StudyTime = clock(START_S - 300)
    ds.AccessionNumber = ""
    ds.ReferringPhysicianName = ""
    ds.StudyDescription = "SYNTHETIC breast MR"
    ds.Modality = "MR"
    ds.SeriesDate = STUDY_DATE
    ds.Laterality = ""
    ds.PatientPosition = "HFP"
    ds.BodyPartExamined = "BREAST"
    ds.FrameOfReferenceUID = volume.identity.frame_of_reference_uid
    ds.PositionReferenceIndicator = ""
    ds.Manufacturer = manufacturer
    ds.ManufacturerModelName = model
    ds.SoftwareVersions = "napari-breast-ai phantom"
    ds.DeviceSerialNumber = "0"
    ds.ImageComments = (
        f"SYNTHETIC phantom, not a patient; kind {spec.kind}, seed {spec.seed}, in the {manner} manner"
    )
    ds.ContentDate = STUDY_DATE
    ds.AcquisitionDate = STUDY_DATE
    return ds


def classic_image(
    phantom: Phantom,
    header: Dataset,
    pixels: NDArray[np.uint16],
    z: int,
    series: tuple[object, ...],
    role: tuple[object, ...],
    limits: tuple[float, float],
) -> Dataset:
    """One slice as an MR Image Storage dataset, without what differs between vendors.

    Args:
        phantom: whose slice.
        header: of `study_header`.
        pixels: (rows, columns).
        z: slice index.
        series: what tells the series, for its UID.
        role: what tells the image within the phantom, for its UID.
        limits: display window, from and to.
    """
    ds = Dataset()
    ds.update(header)
    spec, geometry = phantom.spec, phantom.volume.geometry
    ds.SOPClassUID = MRImageStorage
    ds.SOPInstanceUID = uid(spec, *role)
    ds.SeriesInstanceUID = uid(spec, *series)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    ds.ScanningSequence = "GR"
    ds.SequenceVariant = "SP"
    ds.ScanOptions = "FS"
    ds.MRAcquisitionType = "3D"
    ds.RepetitionTime = f"{TR_S * 1000:g}"
    ds.EchoTime = f"{TE_S * 1000:g}"
    ds.FlipAngle = f"{FLIP_DEG:g}"
    ds.EchoTrainLength = "1"
    ds.EchoNumbers = "1"
    ds.NumberOfAverages = "1"
    ds.MagneticFieldStrength = f"{spec.field_t:g}"
    ds.ImagedNucleus = "1H"
    ds.ContrastBolusAgent = "SYNTHETIC gadolinium chelate"
    step, row, column = geometry.spacing
    ds.SliceThickness = f"{step:g}"
    ds.SpacingBetweenSlices = f"{step:g}"
    ds.PixelSpacing = [f"{row:.10g}", f"{column:.10g}"]
    ds.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    ds.ImagePositionPatient = [f"{v:.10g}" for v in geometry.to_patient([z, 0, 0])]
    ds.SliceLocation = f"{geometry.to_patient([z, 0, 0])[2]:.10g}"
    pixel_module(ds, pixels)
    low, high = limits
    ds.WindowCenter, ds.WindowWidth = f"{(low + high) / 2:g}", f"{high - low:g}"
    file_meta(ds)
    return ds


def pixel_module(ds: Dataset, pixels: NDArray[np.uint16]) -> None:
    """Put pixels, (rows, columns) or (frames, rows, columns), into a dataset as 16-bit grey."""
    ds.Rows, ds.Columns = pixels.shape[-2:]
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.BitsAllocated = 16
    ds.BitsStored = 16
    ds.HighBit = 15
    ds.PixelRepresentation = 0
    ds.PixelData = pixels.astype("<u2", copy=False).tobytes()
    ds["PixelData"].VR = "OW"


def file_meta(ds: Dataset) -> None:
    """Give a dataset the file meta information of its own UIDs, explicit little endian."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ds.SOPClassUID
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta = meta


def window(phantom: Phantom) -> tuple[float, float]:
    """Display limits that suit all phases."""
    post = phantom.volume.data[min(1, phantom.volume.n_phases - 1)]
    return 0.0, max(float(round(np.percentile(post[:: max(1, len(post) // 12), ::2, ::2], 99.5))), 1.0)


def _ge(phantom: Phantom) -> Iterator[Output]:
    """One series; TriggerTime per phase, one AcquisitionTime for all; files without a known ending."""
    spec, volume = phantom.spec, phantom.volume
    header = study_header(phantom, "GE", "SYNTHETIC (GE manner)", "Phantom")
    limits = window(phantom)
    for phase, start in enumerate(volume.times.start_s):
        for z in range(volume.n_slices):
            number = phase * volume.n_slices + z + 1
            ds = classic_image(phantom, header, volume.data[phase, z], z, ("ge", 1), ("ge", phase, z), limits)
            ds.SeriesNumber = 5
            ds.SeriesDescription = "SYNTHETIC Ph/Ax VIBRANT MPH"
            ds.SequenceName = "efgre3d"
            ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = clock(START_S)
            ds.AcquisitionNumber = 1
            ds.InstanceNumber = number
            ds.TriggerTime = f"{start * 1000:.10g}"
            ds.TemporalPositionIdentifier = phase + 1
            ds.NumberOfTemporalPositions = volume.n_phases
            ds.ImagesInAcquisition = volume.n_phases * volume.n_slices
            yield Output(f"i{number + 4000 * (spec.seed % 9):d}.MRDC.{z % 7 + 1}", ds)


def _siemens(phantom: Phantom) -> Iterator[Output]:
    """A series per phase, told apart by AcquisitionTime alone, and a derived subtraction of phase 1."""
    volume = phantom.volume
    header = study_header(phantom, "Siemens", "SYNTHETIC (Siemens manner)", "Phantom")
    limits = window(phantom)
    for phase, start in enumerate(volume.times.start_s):
        for z in range(volume.n_slices):
            ds = classic_image(
                phantom, header, volume.data[phase, z], z, ("siemens", phase), ("siemens", phase, z), limits
            )
            ds.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND", "NORM"]
            ds.SeriesNumber = 10 + phase
            ds.SeriesDescription = (
                f"SYNTHETIC t1_fl3d_tra_dynaVIEWS_{'pre' if phase == 0 else f'post{phase}'}"
            )
            ds.SequenceName = "*fl3d1_ve"
            ds.SeriesTime = ds.AcquisitionTime = clock(START_S + start)
            ds.ContentTime = clock(START_S + start + 40 + 0.01 * z)
            ds.AcquisitionNumber = 1
            ds.InstanceNumber = z + 1
            yield Output(f"{10 + phase:04d}_dyn/IM{z + 1:04d}.dcm", ds)
    post = 1
    for z in range(volume.n_slices):
        # Scanners cut negative differences off.
        change = volume.data[post, z].astype(np.int32) - volume.data[volume.pre_contrast, z]
        pixels = np.maximum(change, 0).astype(np.uint16)
        ds = classic_image(phantom, header, pixels, z, ("siemens", "sub"), ("siemens", "sub", z), limits)
        ds.ImageType = ["DERIVED", "SECONDARY", "M", "ND", "NORM", "SUB"]
        ds.DerivationDescription = "Phase 1 minus phase 0"
        ds.SeriesNumber = 60
        ds.SeriesDescription = "SYNTHETIC t1_fl3d_tra_dynaVIEWS_SUB"
        ds.SequenceName = "*fl3d1_ve"
        ds.SeriesTime = clock(START_S + 600)
        ds.AcquisitionTime = clock(START_S + volume.times.start_s[post])
        ds.ContentTime = clock(START_S + 600)
        ds.AcquisitionNumber = 1
        ds.InstanceNumber = z + 1
        yield Output(f"0060_sub/IM{z + 1:04d}.dcm", ds)


def _philips(phantom: Phantom) -> Iterator[Output]:
    """One series with scrambled InstanceNumber; three other tags tell the phase."""
    volume = phantom.volume
    header = study_header(phantom, "Philips", "SYNTHETIC (Philips manner)", "Phantom")
    limits = window(phantom)
    order = stream(phantom.spec.seed, "instances").permutation(volume.n_phases * volume.n_slices)
    for phase, start in enumerate(volume.times.start_s):
        for z in range(volume.n_slices):
            number = int(order[phase * volume.n_slices + z]) + 1
            ds = classic_image(
                phantom, header, volume.data[phase, z], z, ("philips", 1), ("philips", phase, z), limits
            )
            ds.ImageType = ["ORIGINAL", "PRIMARY", "M_FFE", "M", "FFE"]
            ds.SeriesNumber = 401
            ds.SeriesDescription = "SYNTHETIC dyn eTHRIVE"
            ds.ProtocolName = "SYNTHETIC dyn eTHRIVE"
            ds.SeriesTime = ds.AcquisitionTime = clock(START_S)
            ds.ContentTime = clock(START_S + start)
            ds.AcquisitionNumber = 4
            ds.InstanceNumber = number
            ds.TriggerTime = f"{start * 1000:.10g}"
            ds.TemporalPositionIdentifier = phase + 1
            ds.NumberOfTemporalPositions = volume.n_phases
            ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "0", "1", "normalized"
            yield Output(f"IM_{number:05d}", ds)
