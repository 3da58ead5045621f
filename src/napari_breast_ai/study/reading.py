"""One file's header to frames: the one place that knows where classic and enhanced DICOM keep things."""

from __future__ import annotations

import os
import stat
import zlib
from pathlib import Path
from typing import Any, BinaryIO

from pydicom.uid import UID

from . import elements as el
from .enhanced import FUNCTIONAL_TAGS, FrameView, frame_views
from .errors import Unusable
from .headers import Frame, PixelLayout, Source
from .parsing import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, PIXEL_TAGS, UNDEFINED, Header, read_header

_SOURCE_TAGS = (
    0x00080005, 0x00080008, 0x00080016, 0x00080018, 0x00080020, 0x00080021, 0x00080022, 0x00080023,
    0x0008002A, 0x00080032, 0x00080033, 0x00080060, 0x00080070, 0x00081030, 0x0008103E, 0x00100010, 0x00100020,
    0x00180010, 0x00180012, 0x00180020, 0x00180022, 0x00180023, 0x00180024, 0x00181030, 0x00181042,
    0x00186011, 0x00189005,
    0x0020000D, 0x0020000E, 0x00200011, 0x00200052, 0x00200060, 0x00200062, 0x00204000,
    0x00280002, 0x00280004, 0x00280008, 0x00280010, 0x00280011, 0x00280100, 0x00280101, 0x00280103,
    0x00280120, 0x00280121,
)  # fmt: skip
_FRAME_TAGS = (
    0x00180050, 0x00180080, 0x00180081, 0x00180082, 0x00180088, 0x00181060, 0x00181314, 0x00189025,
    0x00189073, 0x00189075, 0x00189087, 0x0019100C, 0x00200012, 0x00200013, 0x00200032, 0x00200037,
    0x00200100, 0x00280030, 0x00281052, 0x00281053, 0x00431039, 0x20011003, 0x20050014, 0x20051429, 0x00651009,
)  # fmt: skip
_TAGS = frozenset((*_SOURCE_TAGS, *_FRAME_TAGS, *FUNCTIONAL_TAGS))

_AGENTS = 0x00180012
_TISSUE, _CENTIMETRES = 1, 3
_DAY_S = 86400.0
_DICOMDIR = "1.2.840.10008.1.3.10"
_NATIVE = (IMPLICIT, EXPLICIT, BIG_ENDIAN)
_FARTHEST_MM = 1e6
_LARGEST_FACTOR = 1e15
_MOST_FRAMES = 32_768
_LARGE, _MOST_RATIO = 64 * 2**20, 1000
"""Bytes of pixels from which a file is asked whether it can hold them, and how far image data ever shrink."""

ARCHIVE = "it is a zip archive"
NOT_DICOM = "it is not a DICOM file"
DICOMDIR_REASON = "it is a DICOMDIR, a table of contents; the files themselves are looked at instead"
"""Reasons by which the scan knows what to unpack, what may be of another format, and whose names to compare."""


def read_frames(path: Path) -> tuple[Frame, ...]:
    """Read the header of `path` (no pixels) and describe each image in it.

    Raises:
        Unusable: the file is no DICOM image, or is cut short.
        Exception: anything a parser raises on a broken file; the caller turns it into a reason.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise Unusable("it is not a regular file")
    if status.st_size == 0:
        raise Unusable("the file is empty")
    with path.open("rb", buffering=0) as stream:
        dataset = _header(stream, status.st_size)
    _refuse_what_is_no_image(dataset, path)
    layout = _pixel_layout(dataset, status.st_size)
    source = _source(path, dataset, layout)
    views = frame_views(dataset, layout.frames)
    if len(views) != layout.frames:
        raise Unusable(f"it declares {layout.frames} frames but describes {len(views)}")
    return tuple(_frame(source, dataset, view) for view in views)


def _header(stream: BinaryIO, size: int) -> Header:
    start = stream.read(132)
    stream.seek(0)
    if start[128:] != b"DICM":
        if start[:4] in (b"PK\3\4", b"PK\5\6"):  # with content, without
            raise Unusable(ARCHIVE)
        # Old exports have the data set alone, without preamble: it begins with group 0008 (or 0002), little
        # endian.
        if len(start) < 8 or start[:2] not in (b"\x08\x00", b"\x02\x00") or start[3] != 0:
            raise Unusable(NOT_DICOM)
    return read_header(stream, size, _TAGS)


def _refuse_what_is_no_image(dataset: Header, path: Path) -> None:
    meta = dataset.file_meta or dataset
    sop_class = el.text(dataset, 0x00080016) or el.text(meta, 0x00020002)
    if sop_class == _DICOMDIR or path.name.upper() == "DICOMDIR":
        raise Unusable(DICOMDIR_REASON)
    rows, columns = el.integer(dataset, 0x00280010), el.integer(dataset, 0x00280011)
    if not rows or not columns or rows < 0 or columns < 0:
        if not sop_class:
            raise Unusable("it is not a DICOM file, or its header is cut short")
        name = UID(sop_class).name
        if "Image Storage" in name:
            raise Unusable("the file is cut short, or broken: its header does not give the size of the image")
        kind = name if name != sop_class else "object of an unknown kind"
        raise Unusable(f"it holds no image ({kind})")


def _pixel_layout(dataset: Header, size: int) -> PixelLayout:
    """How the pixels are stored, and that all are there as far as the file's size can tell."""
    syntax = el.text(dataset.file_meta or dataset, 0x00020010)
    if not syntax:
        syntax = IMPLICIT if dataset.implicit else EXPLICIT if dataset.little else BIG_ENDIAN
    frames = el.integer(dataset, 0x00280008) or 1
    rows, columns = el.integer(dataset, 0x00280010) or 0, el.integer(dataset, 0x00280011) or 0
    allocated = el.integer(dataset, 0x00280100) or 0
    samples = el.integer(dataset, 0x00280002) or 1
    if frames < 1 or allocated not in (1, 8, 16, 32, 64) or samples not in (1, 3, 4):
        raise Unusable("its header does not say how its pixels are stored")
    start, length = dataset.pixel_start, dataset.pixel_length
    if not dataset.pixel_tag:
        raise Unusable("it holds no pixels, or is cut short before them")
    if frames > _MOST_FRAMES:
        raise Unusable(f"it is broken: it declares {frames} frames, more than a file of images has")
    if syntax not in (*_NATIVE, DEFLATED) and 8 * frames > size:  # each frame has an item at least
        raise Unusable(f"it is broken: it declares {frames} frames, and has {size} bytes in all")
    expected = (rows * columns * samples * frames * allocated + 7) // 8
    if expected > _LARGE and expected > _MOST_RATIO * size:
        raise Unusable(f"it is broken: it declares {expected} bytes of pixels, and has {size} bytes in all")
    plain = syntax in _NATIVE
    if length == UNDEFINED:
        if start >= size and syntax != DEFLATED:
            raise Unusable("the file is cut short: its pixels are missing")
    elif syntax != DEFLATED and start + length > size:
        missing = start + length - size
        raise Unusable(f"the file is cut short: {missing} of {length} bytes of pixels are missing")
    elif (plain or syntax == DEFLATED) and length < (expected if samples == 1 else expected // 2):  # YBR
        raise Unusable(f"it holds {length} bytes of pixels where its header asks for {expected}")
    return PixelLayout(
        transfer_syntax=syntax,
        offset=start if plain and length != UNDEFINED else None,
        bits_allocated=allocated,
        bits_stored=el.integer(dataset, 0x00280101) or allocated,
        signed=el.integer(dataset, 0x00280103) == 1,
        real=dataset.pixel_tag != PIXEL_TAGS[-1],
        inverted=el.text(dataset, 0x00280004) == "MONOCHROME1",
        big_endian=not dataset.little,
        samples=samples,
        frames=frames,
        start=start,
        packed=dataset.packed,
        padding=_padding(dataset, allocated),
        palette=el.text(dataset, 0x00280004) == "PALETTE COLOR",
    )


def _padding(dataset: Header, allocated: int) -> tuple[int, int] | None:
    """The stored values that mean "no image here": PixelPaddingValue, or the range that it begins."""
    one, other = el.integer(dataset, 0x00280120), el.integer(dataset, 0x00280121)
    if one is None:
        return None
    signed = el.integer(dataset, 0x00280103) == 1
    # Where the encoding has no VR, a negative value was read as an unsigned one.
    ends = sorted(
        end - 2**16 if signed and end >= 2**15 and allocated <= 16 else end
        for end in (one, one if other is None else other)
    )
    return ends[0], ends[1]


def _source(path: Path, dataset: Header, layout: PixelLayout) -> Source:
    description = el.words(dataset, 0x0008103E)
    said = " ".join((description, el.words(dataset, 0x00204000), el.words(dataset, 0x00100010)))
    return Source(
        path=path,
        sop_instance_uid=el.text(dataset, 0x00080018),
        sop_class_uid=el.text(dataset, 0x00080016),
        study_uid=el.text(dataset, 0x0020000D),
        series_uid=el.text(dataset, 0x0020000E),
        frame_of_reference_uid=el.text(dataset, 0x00200052),
        modality=el.text(dataset, 0x00080060),
        manufacturer=el.text(dataset, 0x00080070),
        series_number=el.integer(dataset, 0x00200011),
        description=description,
        protocol=el.words(dataset, 0x00181030),
        sequence=el.text(dataset, 0x00180024) or el.text(dataset, 0x00189005),
        scanning=el.texts(dataset, 0x00180020),
        scan_options=frozenset(option.upper() for option in el.texts(dataset, 0x00180022) if option),
        acquisition_type=el.text(dataset, 0x00180023),
        contrast_agent=bool(el.text(dataset, 0x00180010) or el.items(dataset, _AGENTS)),
        synthetic="synthetic" in said.casefold(),
        rows=el.integer(dataset, 0x00280010) or 0,
        columns=el.integer(dataset, 0x00280011) or 0,
        pixels=layout,
        patient_id=el.text(dataset, 0x00100020),
        laterality=_laterality(dataset),
        contrast_s=_contrast(dataset),
        study_date=el.text(dataset, 0x00080020),
        study_description=el.words(dataset, 0x00081030),
    )


def _laterality(dataset: Header) -> str:
    return _one_side(el.text(dataset, 0x00200062)) or _one_side(el.text(dataset, 0x00200060))


def _one_side(said: str) -> str:
    return said.upper() if said.upper() in ("L", "R", "B") else ""


def _contrast(dataset: Header) -> float | None:
    """When the agent was given: by the image, or by what an enhanced file says of each agent (PS3.3 C.7.6.4b)."""
    profiles = (one for agent in el.items(dataset, _AGENTS) for one in el.items(agent, 0x00189340))
    given = [el.time_of_day(el.text(holder, 0x00181042)) for holder in (dataset, *profiles)]
    known = [seconds for seconds in given if seconds is not None]
    if not known:
        return None
    dates = (0x00080022, 0x00080021, 0x00080020)
    if (moment := el.moment(el.text(dataset, 0x0008002A))) is not None and not el.text(dataset, dates[0]):
        return moment // _DAY_S * _DAY_S + min(known)
    days = (el.day(el.text(dataset, tag)) for tag in dates)
    return min(known) + next((start for start in days if start is not None), 0.0)


def _administered(view: FrameView) -> bool | None:
    said = {el.text(one, 0x00189342).upper() for held in view.groups for one in el.items(held, 0x00189341)}
    return True if "YES" in said else False if "NO" in said else None


def _region_spacing(dataset: Header) -> tuple[float, ...]:
    """The spacing of an ultrasound picture in mm, where all its regions of tissue have one (PS3.3 C.8.5.5)."""
    found = set()
    for region in el.items(dataset, 0x00186011):
        kind, *units = (el.integer(region, tag) for tag in (0x00186012, 0x00186024, 0x00186026))
        across, down = el.number(region, 0x0018602C), el.number(region, 0x0018602E)
        if kind == _TISSUE and units == [_CENTIMETRES] * 2 and across and down:
            found.add((round(10.0 * abs(down), 6), round(10.0 * abs(across), 6)))
    return found.pop() if len(found) == 1 else ()


def _frame(source: Source, dataset: Header, view: FrameView) -> Frame:
    position = view.numbers(0x00200032, 0x00209113)
    orientation = view.numbers(0x00200037, 0x00209116)
    spacing = view.numbers(0x00280030, 0x00289110) or _region_spacing(dataset)
    image_type = view.texts(0x00089007, 0x00189226) or el.texts(dataset, 0x00080008)
    acquisition_s, acquisition_source = _acquisition(dataset, view)
    temporal = view.number(0x00209128, 0x00209111)
    temporal_source = "TemporalPositionIndex"
    if temporal is None:
        temporal, temporal_source = el.number(dataset, 0x00200100), "TemporalPositionIdentifier"
    trigger = view.number(0x00209153, 0x00189118)
    trigger_source = "NominalCardiacTriggerDelayTime"
    if trigger is None:
        trigger, trigger_source = view.number(0x00181060, None), "TriggerTime"
    duration_s, duration_source = _duration(dataset, view)
    slope = view.number(0x00281053, 0x00289145)
    number = view.number(0x00209156, 0x00209111)
    return Frame(
        source=source,
        number=view.index,
        position=_exactly(position, 3),
        orientation=_exactly(orientation, 6),
        pixel_spacing=_exactly(spacing, 2) if min(spacing, default=0) > 0 else None,
        thickness=view.number(0x00180050, 0x00289110),
        spacing_between_slices=view.number(0x00180088, 0x00289110),
        image_type=tuple(part.upper() for part in image_type),
        echo_ms=_first(view.number(0x00189082, 0x00189114), el.number(dataset, 0x00180081)),
        repetition_ms=view.number(0x00180080, 0x00189112),
        inversion_ms=_first(view.number(0x00189079, 0x00189115), el.number(dataset, 0x00180082)),
        flip_deg=view.number(0x00181314, 0x00189112),
        temporal_position=None if temporal is None else int(temporal),
        temporal_source=temporal_source,
        trigger_s=None if trigger is None else trigger / 1000.0,
        trigger_source=trigger_source,
        acquisition_number=el.integer(dataset, 0x00200012) if number is None else int(number),
        instance_number=el.integer(dataset, 0x00200013),
        acquisition_s=acquisition_s,
        acquisition_source=acquisition_source,
        content_s=_date_and_time(dataset, (0x00080023,), 0x00080033),
        slope=_factor(slope) or 1.0,
        intercept=_factor(view.number(0x00281052, 0x00289145)) or 0.0,
        b_value=_b_value(source, dataset, view),
        variant=view.variant,
        fat_suppression=view.text(0x00189025, 0x00189115).upper(),
        duration_s=duration_s,
        duration_source=duration_source,
        reference_s=el.moment(view.text(0x00189151, 0x00209111)),
        laterality=_one_side(view.text(0x00209072, 0x00209071)),
        administered=_administered(view),
    )


def _exactly(values: tuple[float, ...], count: int) -> Any:
    return values if len(values) == count and max(map(abs, values)) <= _FARTHEST_MM else None


def _factor(value: float | None) -> float | None:
    """None beyond all measure: stored values times it would be infinite."""
    return value if value is None or abs(value) <= _LARGEST_FACTOR else None


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


def _acquisition(dataset: Header, view: FrameView) -> tuple[float | None, str]:
    found = el.moment(view.text(0x00189074, 0x00209111))
    if found is not None:
        return found, "FrameAcquisitionDateTime"
    found = _date_and_time(dataset, (0x00080022, 0x00080021, 0x00080020), 0x00080032)
    if found is not None:
        return found, "AcquisitionTime"
    return el.moment(el.text(dataset, 0x0008002A)), "AcquisitionDateTime"


def _duration(dataset: Header, view: FrameView) -> tuple[float | None, str]:
    frame_ms = view.number(0x00189220, 0x00209111)
    if frame_ms is not None and frame_ms > 0:
        return frame_ms / 1000.0, "FrameAcquisitionDuration"
    whole_s = el.number(dataset, 0x00189073)
    return (whole_s, "AcquisitionDuration") if whole_s is not None and whole_s > 0 else (None, "")


def _date_and_time(dataset: Header, dates: tuple[int, ...], time: int) -> float | None:
    seconds = el.time_of_day(el.text(dataset, time))
    if seconds is None:
        return None
    days = (el.day(el.text(dataset, tag)) for tag in dates)
    return seconds + next((start for start in days if start is not None), 0.0)


def _b_value(source: Source, dataset: Header, view: FrameView) -> float | None:
    public = view.number(0x00189087, 0x00189117)
    if public is not None:
        return public
    if view.text(0x00189075, 0x00189117).upper() == "NONE":  # DiffusionDirectionality: no weighting
        return 0.0
    maker = source.manufacturer.upper()
    if "SIEMENS" in maker:
        return el.number(dataset, 0x0019100C)
    if maker.startswith("GE") and "EP" in source.scanning:  # other sequences use the element for other things
        value = el.number(dataset, 0x00431039)
        return None if value is None else value % 1_000_000_000
    if "PHILIPS" in maker:
        return el.number(dataset, 0x20011003)
    return el.number(dataset, 0x00651009) if "UIH" in maker or "UNITED" in maker else None


def unreadable(error: BaseException) -> str:
    """The reason for a file that the parser, or the system, refused."""
    if isinstance(error, Unusable):
        return str(error)
    if isinstance(error, PermissionError):
        return "it may not be read (no permission)"
    if isinstance(error, OSError) and error.strerror:
        return f"it cannot be read ({os.strerror(error.errno) if error.errno else error.strerror})"
    if isinstance(error, zlib.error):
        return "it is broken: its deflated data set cannot be inflated"
    if isinstance(error, MemoryError):
        return "it is broken: it asks for more memory than there is"
    return f"it is broken: the header cannot be parsed ({type(error).__name__})"
