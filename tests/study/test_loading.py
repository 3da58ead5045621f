"""Pixels into their places: the order, what is broken, every encoding, values as they are meant."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRBigEndian, HTJ2KLossless, JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless

from napari_breast_ai.core import Cancelled
from napari_breast_ai.study import Loader, StudyError, assemble, read_study, scan
from napari_breast_ai.study.pixels import stored_values


def says(p: int, z: int) -> dict[str, Any]:
    return {"TemporalPositionIdentifier": p + 1, "TriggerTime": f"{60000 * p}"}


class TestOrder:
    def test_what_is_looked_at_comes_first(self, study: Any) -> None:
        """One slice after the other is asked for, as the threads would find them in their queue."""
        study.write(says)
        loader = Loader(scan(study.folder).dce())
        came: list[tuple[int, int]] = []
        read = loader._read

        def note(part: Any) -> None:
            came.extend((p, z) for p, z, _ in part)
            read(part)

        loader._read = note  # type: ignore[method-assign]
        loader.load(first=(2, 3))
        place = {one: i for i, one in enumerate(came)}
        assert place[2, 3] <= 1, "two threads may change places"
        assert max(place[2, z] for z in range(5)) < 7
        assert place[2, 0] > place[2, 2]
        assert max(place[1, z] for z in range(5)) < max(place[0, z] for z in range(5))
        assert loader.complete
        np.testing.assert_array_equal(loader.volume.data, study.data)

    def test_only_some(self, study: Any) -> None:
        study.write(says)
        loader = Loader(scan(study.folder).dce())
        loader.load(only={(1, 2), (0, 2)})
        assert loader.loaded.sum() == 2
        assert not loader.complete
        np.testing.assert_array_equal(loader.volume.data[1, 2], study.data[1, 2])
        assert not loader.volume.data[3].any()
        steps: list[int] = []
        loader.load(lambda done, total, what: steps.append(total))
        assert steps[-1] == 18, "what is there is not read again"
        np.testing.assert_array_equal(loader.volume.data, study.data)

    def test_cancelled_and_taken_up_again(self, study: Any) -> None:
        study.write(says)
        loader = Loader(scan(study.folder).dce())

        def stop(done: int, total: int, what: str) -> None:
            if done == 3:
                raise Cancelled

        with pytest.raises(Cancelled):
            loader.load(stop)
        for p, z in np.argwhere(loader.loaded):
            np.testing.assert_array_equal(loader.volume.data[p, z], study.data[p, z])
        assert not loader.volume.data[~loader.loaded].any()
        loader.load()
        np.testing.assert_array_equal(loader.volume.data, study.data)

    def test_a_broken_file_costs_its_slice_and_is_named(self, study: Any) -> None:
        victim = study.write(says)[7]
        loader = Loader(scan(study.folder).dce())
        victim.write_bytes(victim.read_bytes()[:-40])
        with pytest.raises(StudyError, match=f"“{victim.name}” cannot be read"):
            loader.load()
        assert loader.loaded.sum() == 19
        (hole,) = map(tuple, np.argwhere(~loader.loaded))
        assert not loader.volume.data[hole].any()
        whole = loader.loaded
        np.testing.assert_array_equal(loader.volume.data[whole], study.data[whole])


ENCODERS = {
    JPEG2000Lossless: lambda a: imagecodecs.jpeg2k_encode(a, level=0, reversible=True, codecformat="j2k"),
    JPEGLSLossless: imagecodecs.jpegls_encode,
    JPEGLosslessSV1: lambda a: imagecodecs.ljpeg_encode(a, bitspersample=16),
    HTJ2KLossless: lambda a: imagecodecs.htj2k_encode(a, reversible=True),
}


class TestEncodings:
    def rewrite(self, study: Any, syntax: str, encode: Any) -> None:
        study.data = np.random.default_rng(2).integers(0, 65536, (4, 5, 48, 64)).astype(np.uint16)
        for path in study.write(says):
            ds = pydicom.dcmread(path)
            plane = np.frombuffer(ds.PixelData, "<u2").reshape(ds.Rows, ds.Columns)
            ds.PixelData = encapsulate([bytes(encode(plane.copy()))])
            ds["PixelData"].is_undefined_length = True
            ds.file_meta.TransferSyntaxUID = syntax
            ds.save_as(path)

    @pytest.mark.parametrize("syntax", list(ENCODERS), ids=lambda uid: uid.keyword)
    def test_lossless(self, syntax: str, study: Any) -> None:
        self.rewrite(study, syntax, ENCODERS[syntax])
        np.testing.assert_array_equal(read_study(study.folder).data, study.data)

    @pytest.mark.parametrize("syntax", list(ENCODERS), ids=lambda uid: uid.keyword)
    def test_a_codestream_of_another_size_is_not_decoded(self, syntax: str, study: Any) -> None:
        larger = np.zeros((480, 640), np.uint16)
        self.rewrite(study, syntax, lambda plane: ENCODERS[syntax](larger))
        with pytest.raises(StudyError, match=r"codestream is of \(480, 640\)"):
            read_study(study.folder)

    def test_run_lengths_that_cannot_make_the_image(self, study: Any) -> None:
        self.rewrite(study, pydicom.uid.RLELossless, lambda plane: bytes(64) + b"\x81\0")
        with pytest.raises(StudyError, match="run lengths"):
            read_study(study.folder)

    @pytest.mark.parametrize(
        "name",
        ["JLSL_16_15_1_1F.dcm", "JLSL_08_07_0_1F.dcm", "JPEG-LL.dcm", "JPGLosslessP14SV1_1s_1f_8b.dcm",
         "RG3_J2KR.dcm", "emri_small_jpeg_ls_lossless.dcm", "693_J2KR.dcm"],
    )  # fmt: skip
    def test_real_files(self, name: str, data_dir: Path) -> None:
        """Against pydicom's plugins where one is there, else against the range that the header gives."""
        path = data_dir / "dicom" / "pydicom_odd" / name
        index = scan(path)
        if not index.groups:
            pytest.skip(index.unused[0].reason)
        frames = sorted((f for g in index.groups for f in g.frames), key=lambda f: f.number or 0)
        planes = stored_values(frames)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ds = pydicom.dcmread(path)
            try:
                truth = ds.pixel_array.reshape(-1, ds.Rows, ds.Columns)
            except (RuntimeError, NotImplementedError):
                truth = None
        for frame, plane in zip(frames, planes, strict=True):
            if truth is not None:
                np.testing.assert_array_equal(plane, truth[frame.number or 0])
            else:
                assert plane.shape == (ds.Rows, ds.Columns)
                assert len(np.unique(plane)) > 20
                assert int(plane.max()) < 2**ds.BitsStored


class TestMeaning:
    @pytest.mark.parametrize("kind", [np.uint16, np.int16])
    def test_light_and_dark_exchanged(self, kind: Any, study: Any) -> None:
        study.data = (study.data.astype(np.int32) - (0 if kind == np.uint16 else 2048)).astype(kind)
        study.data = study.data.clip(-2048, 4095)
        more = {"PhotometricInterpretation": "MONOCHROME1", "BitsStored": 12, "HighBit": 11}
        study.write(lambda p, z: says(p, z) | more)
        expected = 4095 - study.data if kind == np.uint16 else -1 - study.data
        np.testing.assert_array_equal(read_study(study.folder).data, expected)

    @pytest.mark.parametrize("implicit", [False, True])
    def test_padding_is_nothing_and_said(self, implicit: bool, study: Any) -> None:
        study.data = study.data.astype(np.int16)
        study.data[:, :, 0, :3] = -2000
        for path in study.write(says):
            ds = pydicom.dcmread(path)
            ds.add_new(0x00280120, "SS", -2000)
            if implicit:
                ds.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
            ds.save_as(path)
        volume = read_study(study.folder)
        np.testing.assert_array_equal(volume.data, np.where(study.data == -2000, 0, study.data))
        assert any("-2000" in said for said in volume.warnings)

    def test_big_endian_with_fewer_bits(self, study: Any) -> None:
        for path in study.write(lambda p, z: says(p, z) | {"BitsStored": 12, "HighBit": 11}):
            ds = pydicom.dcmread(path)
            values = np.frombuffer(ds.PixelData, "<u2") | 0x7000
            ds.PixelData = values.astype(">u2").tobytes()
            ds.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
            pydicom.dcmwrite(path, ds, implicit_vr=False, little_endian=False)
        np.testing.assert_array_equal(read_study(study.folder).data, study.data)

    def test_numbers_of_colours_are_no_values(self, study: Any) -> None:
        study.data = (study.data >> 4).astype(np.uint8)
        study.write(lambda p, z: says(p, z) | {"PhotometricInterpretation": "PALETTE COLOR"})
        with pytest.raises(StudyError, match="colour"):
            assemble(scan(study.folder).dce())
