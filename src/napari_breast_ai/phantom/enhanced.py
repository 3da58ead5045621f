"""A phantom as one Enhanced MR Image file (DICOM PS3.3 A.36.2)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedMRImageStorage

from .acquisition import FLIP_DEG, TE_S, TR_S
from .dicom import START_S, STUDY_DATE, Output, clock, file_meta, pixel_module, study_header, window
from .make import Phantom, uid

_STACK, _POSITION_IN_STACK, _TEMPORAL_INDEX = (0x0020, 0x9056), (0x0020, 0x9057), (0x0020, 0x9128)
_FRAME_CONTENT = (0x0020, 0x9111)


def _item(**attributes: object) -> Sequence:
    """A sequence of one item with these attributes."""
    ds = Dataset()
    for name, value in attributes.items():
        setattr(ds, name, value)
    return Sequence([ds])


def enhanced_outputs(phantom: Phantom) -> Iterator[Output]:
    """The study as one file: frames slice by slice within each phase."""
    yield Output("enhanced.dcm", enhanced_dataset(phantom))


def enhanced_dataset(phantom: Phantom) -> Dataset:
    """The whole study as one Enhanced MR Image dataset."""
    spec, volume = phantom.spec, phantom.volume
    ds = study_header(phantom, "enhanced multi-frame", "SYNTHETIC (enhanced manner)", "Phantom")
    ds.SOPClassUID = EnhancedMRImageStorage
    ds.SOPInstanceUID = uid(spec, "enhanced", "image")
    ds.SeriesInstanceUID = uid(spec, "enhanced", "series")
    ds.SeriesNumber = 7
    ds.SeriesDescription = "SYNTHETIC t1_fl3d_tra_dyn enhanced"
    ds.SeriesTime = clock(START_S)
    ds.InstanceNumber = 1
    ds.ContentTime = clock(START_S)
    ds.AcquisitionDateTime = STUDY_DATE + clock(START_S)
    ds.AcquisitionNumber = 1
    ds.AcquisitionDuration = float(volume.n_phases * spec.interval_s)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "DYNAMIC", "NONE"]
    ds.PixelPresentation = "MONOCHROME"
    ds.VolumetricProperties = "VOLUME"
    ds.VolumeBasedCalculationTechnique = "NONE"
    ds.ComplexImageComponent = "MAGNITUDE"
    ds.AcquisitionContrast = "T1"
    ds.ContentQualification = "RESEARCH"
    ds.ApplicableSafetyStandardAgency = "IEC"
    ds.MagneticFieldStrength = spec.field_t
    ds.ResonantNucleus = "1H"
    ds.KSpaceFiltering = "NONE"
    ds.BurnedInAnnotation = "NO"
    ds.LossyImageCompression = "00"
    ds.PresentationLUTShape = "IDENTITY"
    _sequence_attributes(ds)
    ds.AcquisitionContextSequence = Sequence([])

    organization = uid(spec, "enhanced", "dimensions")
    ds.DimensionOrganizationSequence = _item(DimensionOrganizationUID=organization)
    ds.DimensionOrganizationType = "3D_TEMPORAL"
    pointers = ((_STACK, "Stack"), (_POSITION_IN_STACK, "Slice"), (_TEMPORAL_INDEX, "Phase"))
    ds.DimensionIndexSequence = Sequence(
        _item(
            DimensionOrganizationUID=organization,
            DimensionIndexPointer=pointer,
            FunctionalGroupPointer=_FRAME_CONTENT,
            DimensionDescriptionLabel=label,
        )[0]
        for pointer, label in pointers
    )
    ds.SharedFunctionalGroupsSequence = Sequence([_shared(phantom)])
    ds.PerFrameFunctionalGroupsSequence = Sequence(
        _frame(phantom, phase, z) for phase in range(volume.n_phases) for z in range(volume.n_slices)
    )
    ds.NumberOfFrames = volume.n_phases * volume.n_slices
    pixel_module(ds, np.asarray(volume.data).reshape(-1, *volume.data.shape[2:]))
    file_meta(ds)
    return ds


def _sequence_attributes(ds: Dataset) -> None:
    """MR Pulse Sequence module (PS3.3 C.8.13.4)."""
    ds.PulseSequenceName = "fl3d"
    ds.MRAcquisitionType = "3D"
    ds.EchoPulseSequence = "GRADIENT"
    ds.MultipleSpinEcho = "NO"
    ds.MultiPlanarExcitation = "NO"
    ds.PhaseContrast = "NO"
    ds.TimeOfFlightContrast = "NO"
    ds.ArterialSpinLabelingContrast = "NONE"
    ds.SteadyStatePulseSequence = "NONE"
    ds.EchoPlanarPulseSequence = "NO"
    ds.SaturationRecovery = "NO"
    ds.SpectrallySelectedSuppression = "FAT"
    ds.OversamplingPhase = "NONE"
    ds.GeometryOfKSpaceTraversal = "RECTILINEAR"
    ds.RectilinearPhaseEncodeReordering = "LINEAR"
    ds.SegmentedKSpaceTraversal = "SINGLE"
    ds.CoverageOfKSpace = "FULL"
    ds.NumberOfKSpaceTrajectories = 1
    ds.ScanOptions = "FS"


def _shared(phantom: Phantom) -> Dataset:
    step, row, column = phantom.volume.geometry.spacing
    low, high = window(phantom)
    shared = Dataset()
    shared.PixelMeasuresSequence = _item(
        PixelSpacing=[f"{row:.10g}", f"{column:.10g}"],
        SliceThickness=f"{step:g}",
        SpacingBetweenSlices=f"{step:g}",
    )
    shared.PlaneOrientationSequence = _item(ImageOrientationPatient=["1", "0", "0", "0", "1", "0"])
    shared.FrameAnatomySequence = _item(
        FrameLaterality="B",
        AnatomicRegionSequence=_item(
            CodeValue="76752008", CodingSchemeDesignator="SCT", CodeMeaning="Breast"
        ),
    )
    shared.MRImageFrameTypeSequence = _item(
        FrameType=["ORIGINAL", "PRIMARY", "DYNAMIC", "NONE"],
        PixelPresentation="MONOCHROME",
        VolumetricProperties="VOLUME",
        VolumeBasedCalculationTechnique="NONE",
        ComplexImageComponent="MAGNITUDE",
        AcquisitionContrast="T1",
    )
    shared.MRTimingAndRelatedParametersSequence = _item(
        RepetitionTime=f"{TR_S * 1000:g}", FlipAngle=f"{FLIP_DEG:g}", EchoTrainLength=1,
        RFEchoTrainLength=0, GradientEchoTrainLength=1,
    )  # fmt: skip
    shared.MREchoSequence = _item(EffectiveEchoTime=TE_S * 1000)
    shared.MRModifierSequence = _item(
        InversionRecovery="NO", FlowCompensation="NONE", Spoiling="RF", T2Preparation="NO",
        SpectrallySelectedExcitation="NONE", SpatialPresaturation="NONE", PartialFourier="NO",
        ParallelAcquisition="NO",
    )  # fmt: skip
    shared.MRAveragesSequence = _item(NumberOfAverages="1")
    shared.PixelValueTransformationSequence = _item(RescaleIntercept="0", RescaleSlope="1", RescaleType="US")
    shared.FrameVOILUTSequence = _item(WindowCenter=f"{(low + high) / 2:g}", WindowWidth=f"{high - low:g}")
    return shared


def _frame(phantom: Phantom, phase: int, z: int) -> Dataset:
    spec, volume = phantom.spec, phantom.volume
    start = START_S + volume.times.start_s[phase]
    frame = Dataset()
    frame.FrameContentSequence = _item(
        FrameAcquisitionNumber=1,
        FrameReferenceDateTime=STUDY_DATE + clock(start + spec.interval_s / 2),
        FrameAcquisitionDateTime=STUDY_DATE + clock(start),
        FrameAcquisitionDuration=float(spec.interval_s * 1000),
        StackID="1",
        InStackPositionNumber=z + 1,
        TemporalPositionIndex=phase + 1,
        DimensionIndexValues=[1, z + 1, phase + 1],
    )
    position = volume.geometry.to_patient([z, 0, 0])
    frame.PlanePositionSequence = _item(ImagePositionPatient=[f"{v:.10g}" for v in position])
    return frame
