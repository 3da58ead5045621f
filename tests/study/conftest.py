"""Tiny synthetic DICOM in every manner that the rules speak of, written with pydicom alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

PHASES, SLICES, ROWS, COLUMNS = 4, 5, 6, 8
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)


def position(z: int, orientation: tuple[float, ...] = AXIAL, step: float = 2.5) -> list[float]:
    normal = np.cross(orientation[:3], orientation[3:])
    return [float(v) for v in np.array([-10.0, -20.0, 30.0]) + normal * z * step]


def clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600:02d}{whole // 60 % 60:02d}{whole % 60:02d}.{round((seconds - whole) * 1e6):06d}"


def image(pixels: NDArray[Any], z: int, *, orientation: tuple[float, ...] = AXIAL, **more: Any) -> Dataset:
    """One classic MR slice; `more` sets or (with None) deletes attributes."""
    ds = Dataset()
    ds.SOPClassUID = MRImageStorage
    ds.SOPInstanceUID = generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = "1.2.3", "1.2.3.4", "1.2.3.5"
    ds.Modality = "MR"
    ds.PatientName = "Doe^Jane"
    ds.SeriesNumber = 4
    ds.SeriesDescription = "Ax VIBRANT"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    ds.ScanningSequence, ds.MRAcquisitionType = "GR", "3D"
    ds.RepetitionTime, ds.EchoTime, ds.FlipAngle = "5.2", "2.4", "10"
    ds.AcquisitionDate, ds.AcquisitionTime = "20240102", "101500"
    ds.ImageOrientationPatient = list(orientation)
    ds.ImagePositionPatient = position(z, orientation)
    ds.PixelSpacing, ds.SliceThickness, ds.SpacingBetweenSlices = ["0.75", "0.5"], "2.5", "2.5"
    ds.Rows, ds.Columns = pixels.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 8 * pixels.dtype.itemsize
    ds.HighBit = ds.BitsStored - 1
    ds.PixelRepresentation = int(pixels.dtype.kind == "i")
    ds.PixelData = pixels.tobytes()
    ds["PixelData"].VR = "OW"
    for name, value in more.items():
        if value is not None:
            setattr(ds, name, value)
        elif name in ds:
            delattr(ds, name)
    return ds


def save(ds: Dataset, path: Path) -> Path:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta = meta
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)
    return path


class Study:
    """A folder, a truth, and how each image says which phase it is of."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        values = np.random.default_rng(7).integers(0, 4000, (PHASES, SLICES, ROWS, COLUMNS))
        self.data = values.astype(np.uint16)
        self.order = np.random.default_rng(3).permutation(PHASES * SLICES)

    def write(
        self,
        says: Callable[[int, int], dict[str, Any]],
        *,
        orientation: tuple[float, ...] = AXIAL,
        skip: Callable[[int, int], bool] = lambda p, z: False,
        subfolder: str = "",
    ) -> list[Path]:
        """Write images with what `says(phase, slice)` gives them, names and instance numbers in disorder."""
        paths = []
        for p in range(PHASES):
            for z in range(SLICES):
                if skip(p, z):
                    continue
                number = int(self.order[p * SLICES + z]) + 1
                attributes = {"InstanceNumber": number, **says(p, z)}
                ds = image(self.data[p, z], z, orientation=orientation, **attributes)
                paths.append(save(ds, self.folder / subfolder / f"f{number:03d}"))
        return paths

    def write_enhanced(
        self,
        phases: slice = slice(None),
        name: str = "enhanced",
        index: bool = True,
        times: bool = True,
        trigger: bool = False,
        uid: str = "",
    ) -> Path:
        """Some phases as one enhanced file, frames in disorder."""
        chosen = range(PHASES)[phases]
        frames = [(p, z) for p in chosen for z in range(SLICES)]
        frames = [frames[i] for i in np.random.default_rng(5).permutation(len(frames))]
        ds = image(
            self.data[0, 0], 0, ImagePositionPatient=None, ImageOrientationPatient=None, PixelSpacing=None,
            RepetitionTime=None, EchoTime=None, FlipAngle=None, AcquisitionTime=None, AcquisitionDate=None,
            SOPClassUID=EnhancedMRImageStorage, SOPInstanceUID=uid or generate_uid(),
        )  # fmt: skip
        ds.NumberOfFrames = len(frames)
        ds.PixelData = np.stack([self.data[p, z] for p, z in frames]).tobytes()
        shared = Dataset()
        shared.PixelMeasuresSequence = [_item(PixelSpacing=["0.75", "0.5"], SpacingBetweenSlices="2.5")]
        shared.PlaneOrientationSequence = [_item(ImageOrientationPatient=list(AXIAL))]
        shared.MRTimingAndRelatedParametersSequence = [_item(RepetitionTime="5.2", FlipAngle="10")]
        shared.MREchoSequence = [_item(EffectiveEchoTime=2.4)]
        ds.SharedFunctionalGroupsSequence = Sequence([shared])
        items = []
        for p, z in frames:
            content = _item(StackID="1", InStackPositionNumber=z + 1)
            if index:
                content.TemporalPositionIndex = p + 1
            if times:
                content.FrameAcquisitionDateTime = "20240102" + clock(36900 + 61.5 * p)
            item = Dataset()
            item.FrameContentSequence = [content]
            item.PlanePositionSequence = [_item(ImagePositionPatient=position(z))]
            if trigger:
                item.CardiacSynchronizationSequence = [_item(NominalCardiacTriggerDelayTime=61500.0 * p)]
            items.append(item)
        ds.PerFrameFunctionalGroupsSequence = Sequence(items)
        return save(ds, self.folder / name)


def _item(**attributes: Any) -> Dataset:
    ds = Dataset()
    for name, value in attributes.items():
        setattr(ds, name, value)
    return ds


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path / "study")


@pytest.fixture
def mr_image() -> Callable[..., Dataset]:
    return image


@pytest.fixture
def save_dicom() -> Callable[[Dataset, Path], Path]:
    return save


@pytest.fixture(autouse=True)
def _own_data_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a person decided on this machine must not change a test, nor a test what a person finds."""
    monkeypatch.setenv("NAPARI_BREAST_AI_DATA", str(tmp_path_factory.mktemp("user-data")))
