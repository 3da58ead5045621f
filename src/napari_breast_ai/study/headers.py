"""What is kept of a file's header: facts about the file, and facts about each of its frames.

Classic files (one image) and enhanced ones (many frames) give the same two types, so that nothing behind this
point asks which it was. No patient's name is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .archives import Member


@dataclass(frozen=True, slots=True)
class PixelLayout:
    """How a file's pixels are stored.

    Attributes:
        transfer_syntax: UID of the encoding.
        offset: of the first byte of uncompressed pixels in the file; None where they must be decoded.
        bits_allocated, bits_stored: per value.
        signed: two's complement values.
        real: floating-point values (FloatPixelData, DoubleFloatPixelData).
        inverted: low values are meant to be shown light (MONOCHROME1).
        big_endian: byte order of uncompressed values.
        samples: values per pixel, 1 for grey images.
        frames: images in the file.
        start: place of the pixel element's value in the file, or in what a deflated file inflates to.
        packed: place in the file where a deflated data set begins.
        padding: lowest and highest stored value that means "no image here", or None.
        palette: values are numbers of colours.
    """

    transfer_syntax: str
    offset: int | None
    bits_allocated: int
    bits_stored: int
    signed: bool
    real: bool
    inverted: bool
    big_endian: bool
    samples: int
    frames: int
    start: int = 0
    packed: int = 0
    padding: tuple[int, int] | None = None
    palette: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """One file and what its header says once for all its frames.

    Attributes beyond the elements of their names:
        sop_instance_uid, study_uid: made of the content by the scan where the file has none.
        patient_id: PatientID (0010,0020), to keep patients apart; shown on the screen, never written.
        laterality: "L", "R" or "B" of ImageLaterality (0020,0062) or Laterality (0020,0060), or "".
        contrast_agent: an agent is named, in ContrastBolusAgent (0018,0010) or ContrastBolusAgentSequence
            (0018,0012).
        contrast_s: ContrastBolusStartTime (0018,1042) as a moment like `Frame.acquisition_s`, or None; in an
            enhanced file, that of the first agent.
        study_date, study_description: StudyDate (0008,0020) as stored, StudyDescription (0008,1030).
        member: set where the file was unpacked from an archive: whoever holds it keeps the file from removal.
    """

    path: Path
    sop_instance_uid: str
    sop_class_uid: str
    study_uid: str
    series_uid: str
    frame_of_reference_uid: str
    modality: str
    manufacturer: str
    series_number: int | None
    description: str
    protocol: str
    sequence: str
    scanning: tuple[str, ...]
    scan_options: frozenset[str]
    acquisition_type: str
    contrast_agent: bool
    synthetic: bool
    rows: int
    columns: int
    pixels: PixelLayout
    patient_id: str = ""
    laterality: str = ""
    contrast_s: float | None = None
    study_date: str = ""
    study_description: str = ""
    member: Member | None = field(default=None, compare=False, repr=False)

    @property
    def shown(self) -> Path:
        """How people call the file: `study.zip!/name` where it was unpacked. Not for opening."""
        return self.path if self.member is None else self.member.shown


@dataclass(frozen=True, slots=True)
class Frame:
    """One stored image. Lengths in mm, times in the unit that the name ends with; None where nothing tells.

    Attributes:
        source: the file.
        number: index of the frame in a multi-frame file (from 0); None in a file of one image.
        position, orientation, pixel_spacing: of the image plane in the patient, DICOM PS3.3 C.7.6.2; values
            beyond a kilometre are none. Ultrasound has the spacing of its regions (C.8.5.5) where these agree.
        thickness, spacing_between_slices: nominal, mm.
        image_type: values of ImageType or FrameType, in capitals.
        echo_ms, repetition_ms, inversion_ms, flip_deg: of the sequence.
        temporal_position, temporal_source: number of the phase and the keyword that gave it.
        trigger_s, trigger_source: time after the start of the series (or after a trigger), and its keyword.
        acquisition_number, instance_number: as stored.
        acquisition_s, acquisition_source: moment of acquisition (from a fixed day) and its keyword.
        content_s: moment of creation.
        slope, intercept: from stored values to the scanner's units; a slope of 0, which would wipe the image
            out, counts as missing.
        b_value: diffusion weighting, s/mm².
        variant: what else sets images of one place and time apart (a vendor's label, further dimension
            indices).
        fat_suppression: SpectrallySelectedSuppression (0018,9025), in capitals, or "".
        duration_s, duration_source: how long the acquisition of the image took, and its keyword.
        reference_s: FrameReferenceDateTime (0018,9151), the moment that stands for the image.
        laterality: "L", "R" or "B" of FrameLaterality (0020,9072), or "".
        administered: ContrastBolusAgentAdministered (0018,9342), whether the agent had been given before the image
            was taken; None where nothing tells.
    """

    source: Source
    number: int | None
    position: tuple[float, float, float] | None
    orientation: tuple[float, float, float, float, float, float] | None
    pixel_spacing: tuple[float, float] | None
    thickness: float | None
    spacing_between_slices: float | None
    image_type: tuple[str, ...]
    echo_ms: float | None
    repetition_ms: float | None
    inversion_ms: float | None
    flip_deg: float | None
    temporal_position: int | None
    temporal_source: str
    trigger_s: float | None
    trigger_source: str
    acquisition_number: int | None
    instance_number: int | None
    acquisition_s: float | None
    acquisition_source: str
    content_s: float | None
    slope: float
    intercept: float
    b_value: float | None
    variant: tuple[str, ...]
    fat_suppression: str = ""
    duration_s: float | None = None
    duration_source: str = ""
    reference_s: float | None = None
    laterality: str = ""
    administered: bool | None = None

    @property
    def order(self) -> tuple[object, ...]:
        """A key that sorts frames the same way whatever their files are called."""
        source = self.source
        return (
            source.study_uid,
            -1 if source.series_number is None else source.series_number,
            source.series_uid,
            -1 if self.instance_number is None else self.instance_number,
            source.sop_instance_uid,
            -1 if self.number is None else self.number,
            # Enough where the UIDs are doubtful: some de-identification gives all images the same.
            -1 if self.temporal_position is None else self.temporal_position,
            self.acquisition_s or 0.0,
            self.trigger_s or 0.0,
            self.position or (),
        )
