"""Small whole DICOM files of every kind that the study room reads, made here: what the mutations start from."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    EnhancedMRImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    MRImageStorage,
    RLELossless,
)

ROWS, COLUMNS = 16, 24


def _item(**values: Any) -> Dataset:
    ds = Dataset()
    for name, value in values.items():
        setattr(ds, name, value)
    return ds


def _image(frames: int) -> tuple[Dataset, np.ndarray[Any, Any]]:
    pixels = np.random.default_rng(frames).integers(0, 4096, (frames, ROWS, COLUMNS)).astype(np.uint16)
    pixels[:, 4:12, 4:20] = 800  # something to compress
    ds = _item(
        SOPClassUID=MRImageStorage, SOPInstanceUID="1.2.826.0.1.1", StudyInstanceUID="1.2.3",
        SeriesInstanceUID="1.2.3.4", FrameOfReferenceUID="1.2.3.5", Modality="MR", PatientName="Doe^Jane",
        SpecificCharacterSet="ISO_IR 100", SeriesNumber=4, SeriesDescription="Ax dyn T1",
        ImageType=["ORIGINAL", "PRIMARY", "OTHER"], ScanningSequence="GR", MRAcquisitionType="3D",
        RepetitionTime="5.2", EchoTime="2.4", FlipAngle="10", AcquisitionDate="20240102",
        AcquisitionTime="101500.25", TriggerTime="60000", TemporalPositionIdentifier=1, AcquisitionNumber=1,
        InstanceNumber=1, ImagePositionPatient=[-10, -20, 30], ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
        PixelSpacing=["0.75", "0.5"], SliceThickness="2.5", SpacingBetweenSlices="2.5",
        RescaleSlope="1", RescaleIntercept="0", Rows=ROWS, Columns=COLUMNS, SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2", BitsAllocated=16, BitsStored=12, HighBit=11,
        PixelRepresentation=0, NumberOfFrames=frames,
    )  # fmt: skip
    return ds, pixels


def _classic() -> tuple[Dataset, np.ndarray[Any, Any]]:
    ds, pixels = _image(1)
    del ds.NumberOfFrames
    return ds, pixels


def _enhanced() -> tuple[Dataset, np.ndarray[Any, Any]]:
    """2 phases of 3 slices."""
    ds, pixels = _image(6)
    ds.SOPClassUID = EnhancedMRImageStorage
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "TriggerTime"):
        delattr(ds, name)
    ds.SharedFunctionalGroupsSequence = [
        _item(
            PixelMeasuresSequence=[_item(PixelSpacing=["0.75", "0.5"], SpacingBetweenSlices="2.5")],
            PlaneOrientationSequence=[_item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
            MREchoSequence=[_item(EffectiveEchoTime=2.4)],
        )
    ]
    ds.DimensionIndexSequence = [_item(DimensionIndexPointer=0x00209057)]
    ds.PerFrameFunctionalGroupsSequence = [
        _item(
            FrameContentSequence=[
                _item(
                    TemporalPositionIndex=i // 3 + 1,
                    InStackPositionNumber=i % 3 + 1,
                    FrameAcquisitionDateTime=f"202401021015{10 * (i // 3):02d}",
                    DimensionIndexValues=[i % 3 + 1],
                )
            ],
            PlanePositionSequence=[_item(ImagePositionPatient=[-10, -20, 2.5 * (i % 3)])],
        )
        for i in range(6)
    ]
    return ds, pixels


def _written(
    ds: Dataset, pixels: np.ndarray[Any, Any], syntax: str, encode: Callable[[Any], bytes] | None = None
) -> bytes:
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    if syntax == RLELossless:
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.PixelData = pixels.tobytes()
        ds.compress(RLELossless, generate_instance_uid=False)
    elif encode is not None:
        ds.PixelData = encapsulate([encode(plane) for plane in pixels])
        ds["PixelData"].VR = "OB"
        ds["PixelData"].is_undefined_length = True
    else:
        ds.PixelData = (pixels.byteswap() if syntax == ExplicitVRBigEndian else pixels).tobytes()
        ds["PixelData"].VR = "OW"
    stream = io.BytesIO()
    dcmwrite(stream, ds, enforce_file_format=True)
    return stream.getvalue()


def _eight_bits(made: tuple[Dataset, np.ndarray[Any, Any]]) -> tuple[Dataset, np.ndarray[Any, Any]]:
    ds, pixels = made
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit = 7
    return ds, (pixels >> 4).astype(np.uint8)


def made() -> dict[str, bytes]:
    """Whole files by name, the same in every run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {
            "classic": _written(*_classic(), ExplicitVRLittleEndian),
            "implicit": _written(*_classic(), ImplicitVRLittleEndian),
            "big-endian": _written(*_classic(), ExplicitVRBigEndian),
            "deflated": _written(*_classic(), DeflatedExplicitVRLittleEndian),
            "enhanced": _written(*_enhanced(), ExplicitVRLittleEndian),
            "enhanced-implicit": _written(*_enhanced(), ImplicitVRLittleEndian),
            "enhanced-deflated": _written(*_enhanced(), DeflatedExplicitVRLittleEndian),
            "rle": _written(*_classic(), RLELossless),
            "enhanced-rle": _written(*_enhanced(), RLELossless),
            "jpeg": _written(*_eight_bits(_classic()), JPEGBaseline8Bit, imagecodecs.jpeg8_encode),
            "jpeg-ls": _written(*_classic(), JPEGLSLossless, imagecodecs.jpegls_encode),
            "jpeg-lossless": _written(*_classic(), JPEGLosslessSV1, imagecodecs.ljpeg_encode),
            "jpeg2000": _written(
                *_enhanced(),
                JPEG2000Lossless,
                lambda p: imagecodecs.jpeg2k_encode(p, level=0, codecformat="j2k"),
            ),
        }
    found["bare"] = found["implicit"][found["implicit"].index(b"\x08\x00\x05\x00") :]  # without preamble
    return found


def real(folder: Path, largest: int = 200_000) -> dict[str, bytes]:
    """Real odd files, where there are some; large ones take too long to write ten thousand times."""
    return {
        path.name: path.read_bytes()
        for path in sorted(folder.glob("*.dcm"))
        if path.stat().st_size <= largest
    }
