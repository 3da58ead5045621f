"""Stored values to the scanner's units, and header values read from raw bytes."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openjpeg.utils import encode_array
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRBigEndian, JPEG2000Lossless, RLELossless

from napari_breast_ai.study import assemble, elements, read_study, scan
from napari_breast_ai.study.parsing import Element, Header, _Left


def at(p: int, z: int) -> dict[str, Any]:
    return {"TemporalPositionIdentifier": p + 1, "TriggerTime": f"{60000 * p}"}


class TestUnits:
    def test_integers_stay_as_stored(self, study: Any) -> None:
        study.write(lambda p, z: at(p, z) | {"RescaleSlope": "1", "RescaleIntercept": "0"})
        assert read_study(study.folder).data.dtype == np.uint16

    def test_one_scale_factor_per_phase(self, study: Any) -> None:
        """Philips may scale each phase by itself: only rescaled values compare."""
        slopes = [1.0, 0.5, 2.25, 3.125]
        study.write(lambda p, z: at(p, z) | {"RescaleSlope": str(slopes[p]), "RescaleIntercept": "-7.5"})
        data = read_study(study.folder).data
        assert data.dtype == np.float32
        expected = study.data * np.array(slopes)[:, None, None, None] - 7.5
        np.testing.assert_array_equal(data, expected.astype(np.float32))

    def test_whole_intercept_keeps_integers(self, study: Any) -> None:
        study.write(
            lambda p, z: at(p, z) | {"RescaleSlope": "1", "RescaleIntercept": "-1024", "BitsStored": 12}
        )
        data = read_study(study.folder).data
        assert data.dtype == np.int16
        np.testing.assert_array_equal(data, study.data.astype(np.int32) - 1024)

    def test_whole_intercept_beyond_the_stored_type(self, study: Any) -> None:
        study.write(lambda p, z: at(p, z) | {"RescaleSlope": "1", "RescaleIntercept": "65000"})
        data = read_study(study.folder).data
        assert data.dtype == np.uint32
        np.testing.assert_array_equal(data, study.data.astype(np.int64) + 65000)

    @pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16, np.int32, np.uint32])
    def test_other_types(self, study: Any, kind: Any) -> None:
        limits = np.iinfo(kind)
        values = np.random.default_rng(0).integers(limits.min, limits.max, study.data.shape, endpoint=True)
        study.data = values.astype(kind)
        study.data.flat[:2] = limits.min, limits.max
        study.write(at)
        data = read_study(study.folder).data
        assert data.dtype == kind
        np.testing.assert_array_equal(data, study.data)

    def test_a_slope_of_nothing_is_no_slope(self, study: Any) -> None:
        study.write(lambda p, z: at(p, z) | {"RescaleSlope": "0", "RescaleIntercept": "0"})
        np.testing.assert_array_equal(read_study(study.folder).data, study.data)

    def test_light_and_dark_exchanged_is_said(self, study: Any) -> None:
        study.data = (study.data >> 4).astype(np.uint8)
        study.write(lambda p, z: at(p, z) | {"PhotometricInterpretation": "MONOCHROME1"})
        volume = read_study(study.folder)
        np.testing.assert_array_equal(volume.data, 255 - study.data)
        (said,) = volume.warnings
        assert "MONOCHROME1" in said

    def test_floating_point(self, study: Any) -> None:
        import pydicom

        values = (study.data / 4096).astype(np.float32)
        for path in study.write(lambda p, z: at(p, z) | {"BitsAllocated": 32, "BitsStored": 32}):
            ds = pydicom.dcmread(path)
            place = np.argwhere((study.data == np.frombuffer(ds.PixelData, "<u2").reshape(6, 8)).all((2, 3)))[
                0
            ]
            del ds.PixelData
            ds.FloatPixelData = values[tuple(place)].tobytes()
            ds.save_as(path)
        data = read_study(study.folder).data
        assert data.dtype == np.float32
        np.testing.assert_array_equal(data, values)

    def test_overlay_in_the_unused_bits(self, study: Any) -> None:
        clean = study.data.copy()
        study.data = clean | np.uint16(0xA000)
        study.write(lambda p, z: at(p, z) | {"BitsStored": 12, "HighBit": 11})
        np.testing.assert_array_equal(read_study(study.folder).data, clean & 0x0FFF)

    def test_sign_within_fewer_bits(self, study: Any) -> None:
        signed = (study.data.astype(np.int16) - 2000).clip(-2048, 2047)
        study.data = signed & np.int16(0x0FFF)
        study.write(lambda p, z: at(p, z) | {"BitsStored": 12, "HighBit": 11})
        np.testing.assert_array_equal(read_study(study.folder).data, signed)


class TestEncodings:
    def rewrite(self, study: Any, change: Any) -> None:
        import pydicom

        for path in study.write(at):
            ds = pydicom.dcmread(path)
            change(ds)
            ds.save_as(path)

    def test_run_lengths(self, study: Any) -> None:
        self.rewrite(study, lambda ds: ds.compress(RLELossless, encoding_plugin="pydicom"))
        np.testing.assert_array_equal(read_study(study.folder).data, study.data)

    def test_jpeg_2000(self, study: Any) -> None:
        study.data = np.tile(study.data, (1, 1, 6, 5))  # the encoder refuses smaller images

        def compress(ds: Dataset) -> None:
            code = encode_array(ds.pixel_array, bits_stored=16, photometric_interpretation=2, codec_format=0)
            ds.PixelData = encapsulate([code])
            ds["PixelData"].VR = "OB"
            ds["PixelData"].is_undefined_length = True
            ds.file_meta.TransferSyntaxUID = JPEG2000Lossless

        self.rewrite(study, compress)
        np.testing.assert_array_equal(read_study(study.folder).data, study.data)

    def test_big_endian(self, study: Any) -> None:
        import pydicom

        for path in study.write(at):
            ds = pydicom.dcmread(path)
            ds.PixelData = np.frombuffer(ds.PixelData, "<u2").astype(">u2").tobytes()
            ds.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
            pydicom.dcmwrite(path, ds, implicit_vr=False, little_endian=False)
        volume = read_study(study.folder)
        assert volume.data.dtype == np.dtype(np.uint16)  # native order
        np.testing.assert_array_equal(volume.data, study.data)

    def test_implicit_without_preamble(self, study: Any) -> None:
        """The data set alone, as very old exports have it."""
        import pydicom

        for path in study.write(at):
            ds = pydicom.dcmread(path)
            del ds.file_meta
            ds.preamble = None
            pydicom.dcmwrite(path, ds, implicit_vr=True, little_endian=True, enforce_file_format=False)
            assert path.read_bytes()[:4] != b"\0" * 4
        np.testing.assert_array_equal(read_study(study.folder).data, study.data)

    def test_deflated(self, study: Any) -> None:
        import pydicom

        for path in study.write(at):
            ds = pydicom.dcmread(path)
            ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
            ds.save_as(path)
        np.testing.assert_array_equal(read_study(study.folder).data, study.data)


def test_enhanced_rescale_per_frame(study: Any) -> None:
    import pydicom

    path = study.write_enhanced()
    ds = pydicom.dcmread(path)
    expected = study.data.astype(np.float32)
    for item in ds.PerFrameFunctionalGroupsSequence:
        content = item.FrameContentSequence[0]
        p, z = content.TemporalPositionIndex - 1, content.InStackPositionNumber - 1
        scale = Dataset()
        scale.RescaleSlope, scale.RescaleIntercept, scale.RescaleType = str(1 + 0.5 * p + 0.25 * z), "2", "US"
        item.PixelValueTransformationSequence = [scale]
        expected[p, z] = expected[p, z] * (1 + 0.5 * p + 0.25 * z) + 2
    ds.save_as(path)
    np.testing.assert_array_equal(assemble(scan(path).dce()).data, expected)


def raw(vr: str | None, value: bytes, tag: int = 0x00181060, little: bool = True) -> Header:
    return Header({tag: Element(vr, value, little, vr is None)}, vr is None, little, _Left())


class TestElements:
    def test_decimals(self) -> None:
        assert elements.numbers(raw("DS", b"1.5\\-2 "), 0x00181060) == (1.5, -2.0)
        assert elements.numbers(raw(None, b"12\0"), 0x00181060) == (12.0,)

    @pytest.mark.parametrize("value", [b"1,5", b"abc", b"1\\x", b"nan", b"1e999", b"\xff\xfe"])
    def test_malformed_decimals_are_missing(self, value: bytes) -> None:
        assert elements.numbers(raw("DS", value), 0x00181060) == ()
        assert elements.number(raw("DS", value), 0x00181060) is None

    def test_binary(self) -> None:
        assert elements.numbers(raw("FD", struct.pack("<2d", 1.5, 2)), 0x00189087) == ()  # another tag
        assert elements.numbers(raw("FD", struct.pack("<2d", 1.5, 2), 0x00189087), 0x00189087) == (1.5, 2.0)
        assert elements.integer(raw("US", b"\1\2", 0x00280010, little=False), 0x00280010) == 258
        assert elements.numbers(raw("US", b"\1", 0x00280010), 0x00280010) == ()

    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            ("101500", 36900.0), ("101500.250000", 36900.25), ("10", 36000.0), ("1015", 36900.0),
            ("10:15:00.5", 36900.5), ("240000", None), ("1060", None), ("", None), ("x", None),
            ("101500.x", None), ("1015001", None), ("-10", None), ("²³", None),
        ],
    )  # fmt: skip
    def test_times(self, value: str, seconds: float | None) -> None:
        assert elements.time_of_day(value) == seconds

    def test_moments(self) -> None:
        noon, later = elements.moment("20240228120000.5+0100"), elements.moment("20240301120000.5")
        assert noon is not None
        assert later is not None
        assert later - noon == 2 * 86400  # 2024 is a leap year
        assert elements.moment("20230229120000") is None
        assert elements.moment("2024") is None

    @given(st.binary(max_size=30), st.sampled_from(["DS", "IS", "FD", "US", "TM", "UN", None]))
    def test_any_bytes(self, value: bytes, vr: str | None) -> None:
        """Whatever stands in an element, reading it gives values or nothing."""
        ds = raw(vr, value)
        assert isinstance(elements.numbers(ds, 0x00181060), tuple)
        assert isinstance(elements.texts(ds, 0x00181060), tuple)
        moment = elements.moment(value.decode("latin-1"))
        assert moment is None or isinstance(moment, float)


def test_paths_as_text_and_lists(study: Any, tmp_path: Path) -> None:
    paths = study.write(at)
    for given_path in (str(study.folder), [str(p) for p in paths], [study.folder, paths[0]], tuple(paths)):
        index = scan(given_path)
        assert index.files == len(paths)
        np.testing.assert_array_equal(assemble(index.dce()).data, study.data)
