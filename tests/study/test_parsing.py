"""The lean header parser against pydicom, element by element, and against hostile structure."""

from __future__ import annotations

import struct
import time
import warnings
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from napari_breast_ai.study import parsing, scan
from napari_breast_ai.study import reading as reader
from napari_breast_ai.study.errors import Unusable
from napari_breast_ai.study.parsing import PIXEL_TAGS, Header, read_header


def ours(path: Path) -> Header:
    with path.open("rb", buffering=0) as stream:
        return read_header(stream, path.stat().st_size, reader._TAGS)


def same(header: Header, dataset: Dataset, where: str) -> int:
    """Every element that both keep is the same; returns how many were compared."""
    compared = 0
    assert set(header) == {int(tag) for tag in dataset.keys()} - set(PIXEL_TAGS), where  # noqa: SIM118
    for tag in header:
        element, other = header.get_item(tag), dataset.get_item(tag)
        assert element is not None
        value = other.value
        if isinstance(value, bytes):
            assert element.value == value, f"{where} {tag:08X}"
            assert getattr(other, "VR", None) == element.VR, f"{where} {tag:08X}"
        elif dataset[tag].VR == "SQ":
            items = header.items(tag)
            assert len(items) == len(dataset[tag].value), f"{where} {tag:08X}"
            for own, its in zip(items, dataset[tag].value, strict=True):
                compared += same(own, its, f"{where} {tag:08X}")
        compared += 1
    return compared


def real_files(data_dir: Path) -> list[Path]:
    files = [p for p in sorted(data_dir.rglob("*")) if p.is_file()]
    # Of long series a few files stand for the rest.
    few = [p for i, p in enumerate(files) if i % 9 == 0 or "odd" in str(p) or "enh" in str(p)]
    return [p for p in few if p.read_bytes()[128:132] == b"DICM"]


def test_every_wanted_element_is_as_pydicom_reads_it(data_dir: Path) -> None:
    compared = 0
    for path in real_files(data_dir / "dicom"):
        try:
            header = ours(path)
        except Unusable as error:
            assert path.name == "bad_sequence.dcm" or "cut" in str(error), f"{path.name}: {error}"
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(reader._TAGS))
            compared += same(header, dataset, path.name)
    assert compared > 10_000


def test_the_pixels_are_where_pydicom_finds_them(data_dir: Path) -> None:
    found = 0
    for path in real_files(data_dir / "dicom"):
        try:
            header = ours(path)
        except Unusable:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(path)
        if header.pixel_tag not in dataset or dataset.file_meta.get("TransferSyntaxUID") == parsing.DEFLATED:
            continue
        value = dataset.get_item(header.pixel_tag).value
        content = path.read_bytes()[header.pixel_start : header.pixel_start + min(len(value), 64)]
        if header.pixel_length != parsing.UNDEFINED:
            assert content == value[:64], path.name
            assert header.pixel_length == len(value)
        else:
            assert content[:4] == b"\xfe\xff\x00\xe0", path.name
        found += 1
    assert found > 60


def written(ds: Dataset, syntax: str = pydicom.uid.ExplicitVRLittleEndian) -> bytes:
    copy = pydicom.dcmread(BytesIO(plain(ds)))
    copy.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        copy.PixelData = np.frombuffer(copy.PixelData, "<u2").astype(">u2").tobytes()
    stream = DicomBytesIO()
    pydicom.dcmwrite(
        stream,
        copy,
        implicit_vr=syntax == ImplicitVRLittleEndian,
        little_endian=syntax != ExplicitVRBigEndian,
    )
    return stream.getvalue()


def plain(ds: Dataset) -> bytes:
    stream = DicomBytesIO()
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = (
        ds.SOPClassUID,
        ds.SOPInstanceUID,
    )
    pydicom.dcmwrite(stream, ds, enforce_file_format=True)
    return stream.getvalue()


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
def test_encodings_give_the_same_frame(syntax: str, mr_image: Any, tmp_path: Path) -> None:
    ds = mr_image(np.arange(48, dtype=np.uint16).reshape(6, 8), 3, TemporalPositionIdentifier=2)
    (tmp_path / "a").write_bytes(plain(ds))
    (tmp_path / "b").write_bytes(written(ds, syntax))
    (a,), (b,) = reader.read_frames(tmp_path / "a"), reader.read_frames(tmp_path / "b")
    assert (a.position, a.temporal_position, a.acquisition_s) == (b.position, 2, b.acquisition_s)
    assert a.source.description == b.source.description == "Ax VIBRANT"
    assert b.source.pixels.transfer_syntax == syntax
    assert b.source.pixels.start > 0


@pytest.mark.parametrize("name", ["Mülleräß", "山田", "Иван"])
def test_character_sets(name: str, mr_image: Any, tmp_path: Path) -> None:
    ds = mr_image(np.zeros((6, 8), np.uint16), 0, SpecificCharacterSet="ISO_IR 192", SeriesDescription=name)
    (tmp_path / "a").write_bytes(plain(ds))
    assert reader.read_frames(tmp_path / "a")[0].source.description == name


def test_a_large_element_before_the_pixels_is_stepped_over(mr_image: Any, tmp_path: Path) -> None:
    ds = mr_image(np.zeros((6, 8), np.uint16), 0)
    ds.add_new(0x00291010, "OB", bytes(500_000))
    (tmp_path / "a").write_bytes(plain(ds))
    header = ours(tmp_path / "a")
    assert header.pixel_tag == 0x7FE00010
    assert header.pixel_start > 500_000
    assert 0x00291010 not in header


class TestHostile:
    """What a file declares is not what it may cost."""

    def insert(self, ds: Dataset, piece: bytes, tmp_path: Path) -> Path:
        content = plain(ds)
        start = content.index(b"\x08\x00\x08\x00CS")
        path = tmp_path / "hostile"
        path.write_bytes(content[:start] + piece + content[start:])
        return path

    @pytest.mark.parametrize(
        ("piece", "said"),
        [
            (b"\x08\x00\x06\x00SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * 200, "too deeply"),
            (b"\x08\x00\x06\x00OB\0\0\x00\x00\x00\x80", "cut short"),
            (b"\x08\x00\x06\x00SQ\0\0\xff\xff\xff\xff\x01\x02\x03\x04\x05\x06\x07\x08", "no item"),
            (b"\x08\x00\x05\x00CS\xf0\xff", "cut short"),
        ],
    )
    def test_structure(self, piece: bytes, said: str, mr_image: Any, tmp_path: Path) -> None:
        path = self.insert(mr_image(np.zeros((6, 8), np.uint16), 0), piece, tmp_path)
        with pytest.raises(Unusable, match=said):
            ours(path)

    def test_more_elements_than_any_header_has(
        self, mr_image: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(parsing, "_MOST_ELEMENTS", 1000)
        piece = b"\x08\x00\x04\x00SH\0\0" * 2000
        path = self.insert(mr_image(np.zeros((6, 8), np.uint16), 0), piece, tmp_path)
        with pytest.raises(Unusable, match="more than 1000 elements"):
            ours(path)

    def test_an_inflating_bomb(self, mr_image: Any, tmp_path: Path) -> None:
        content = written(mr_image(np.zeros((6, 8), np.uint16), 0), DeflatedExplicitVRLittleEndian)
        start = 132 + 12 + struct.unpack("<L", content[140:144])[0]
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        bomb = struct.pack("<HH2sHL", 8, 6, b"OB", 0, 400_000_000) + bytes(90_000_000)
        (tmp_path / "bomb").write_bytes(content[:start] + packer.compress(bomb) + packer.flush())
        (unused,) = scan(tmp_path).unused
        assert "inflates to more than 64 MiB" in unused.reason

    @settings(max_examples=60, deadline=2000)
    @given(st.binary(max_size=400), st.booleans())
    def test_any_bytes(self, noise: bytes, preamble: bool) -> None:
        content = (bytes(128) + b"DICM" if preamble else b"") + b"\x08\x00\x05\x00" + noise
        try:
            header = read_header(BytesIO(content), len(content), reader._TAGS)
            for tag in header:
                header.items(tag)
        except Unusable as error:
            assert len(str(error)) > 20


def test_a_large_deflated_header_is_read_in_a_moment(tmp_path: Path) -> None:
    """Thousands of large elements, below the bound of what may be inflated."""
    meta = b"\x02\x00\x10\x00UI" + struct.pack("<H", 22) + DeflatedExplicitVRLittleEndian.encode()
    element = b"\x09\x00\x10\x10LO" + struct.pack("<H", 20_000) + b" " * 20_000
    packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = packer.compress(b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100" + element * 3300) + packer.flush()
    (tmp_path / "a").write_bytes(bytes(128) + b"DICM" + meta + body)
    begun = time.perf_counter()
    (unused,) = scan(tmp_path).unused
    assert "cut short" in unused.reason
    assert time.perf_counter() - begun < 5.0
