"""Zip archives and DICOMDIRs: every member is a file of the audit, and no name in them is trusted."""

import gc
import io
import json
import stat
import struct
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.fileset import FileSet

from napari_breast_ai.core import Cancelled
from napari_breast_ai.study import StudyError, archives, assemble, parsing, read_study, scan


def says(p: int, z: int) -> dict[str, Any]:
    return {"TemporalPositionIdentifier": p + 1, "TriggerTime": str(1000.0 * 60 * p)}


@pytest.fixture(autouse=True)
def own_temp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Temporary folders of this test alone, so that what is left behind is seen."""
    folder = tmp_path / "temp"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    yield folder
    gc.collect()
    assert list(folder.iterdir()) == []


def zipped(folder: Path, target: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, prefix + path.relative_to(folder).as_posix())
    return target


def test_a_zip_reads_as_its_folder(study: Any, tmp_path: Path, own_temp: Path) -> None:
    paths = study.write(says)
    (study.folder / "notes.txt").write_text("not an image")
    archive = zipped(study.folder, tmp_path / "study.zip")
    index = scan(archive)
    told = index.to_json()
    assert told["files"] == len(paths) + 1 == sum(g["files"] for g in told["groups"]) + len(told["unused"])
    (unused,) = told["unused"]
    assert unused["file"].endswith("study.zip!/notes.txt") and unused["reason"] == "it is not a DICOM file"
    assert all("study.zip!/f0" in name for name in told["groups"][0]["paths"])
    assert str(own_temp) not in json.dumps(told)
    np.testing.assert_array_equal(assemble(index.dce()).data, study.data)
    np.testing.assert_array_equal(read_study(archive).data, study.data)


def test_what_was_unpacked_stays_while_a_group_needs_it(study: Any, tmp_path: Path, own_temp: Path) -> None:
    study.write(says)
    group = scan(zipped(study.folder, tmp_path / "study.zip")).dce()
    gc.collect()
    assert list(own_temp.iterdir())
    np.testing.assert_array_equal(assemble(group).data, study.data)
    del group
    gc.collect()
    assert not list(own_temp.iterdir())


def test_a_zip_among_files(study: Any, tmp_path: Path) -> None:
    study.write(says, skip=lambda p, z: p > 1)
    late = type(study)(tmp_path / "late")
    late.write(says, skip=lambda p, z: p < 2)
    (study.folder / "sub").mkdir()
    zipped(late.folder, study.folder / "sub" / "late.zip")
    index = scan(study.folder)
    assert index.files == 20
    assert "sub/late.zip!/" in json.dumps(index.to_json())
    np.testing.assert_array_equal(assemble(index.dce()).data, study.data)


def test_names_in_a_zip_lead_nowhere(study: Any, tmp_path: Path) -> None:
    paths = study.write(says)
    archive = tmp_path / "evil" / "study.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as opened:
        for number, path in enumerate(paths):
            name = ("../../escaped", "/absolute", "C:\\windows", "a/../../b\x1b[31m")[number % 4]
            opened.writestr(f"{name}{number}", path.read_bytes())
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    index = scan(archive)
    assert index.files == len(paths)
    assert {path for path in tmp_path.rglob("*") if path.is_file() and "temp" not in path.parts} == before
    assert "\\u001b" not in json.dumps(index.to_json())
    np.testing.assert_array_equal(assemble(index.dce()).data, study.data)


def reason_of(path: Path) -> str:
    index = scan(path)
    assert index.files == len(index.unused) == 1 and not index.groups
    return index.unused[0].reason


def test_archives_that_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def make(name: str, **members: bytes) -> Path:
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, content in members.items():
                archive.writestr(member, content)
        return tmp_path / name

    assert reason_of(make("empty.zip")) == "it is an empty zip archive"
    assert "by another name" in reason_of(make("paper.docx", a=b"x"))
    bomb = make("bomb.zip", a=bytes(2**27))
    assert "it would grow to" in reason_of(bomb) or "more than image data do" in reason_of(bomb)
    many = make("many.zip", **{f"m{i}": b"x" for i in range(12)})
    monkeypatch.setattr(archives, "MOST_MEMBERS", 10)
    assert "12 files" in reason_of(many)
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("x", b"x")
    assert "inside another one" in reason_of(make("outer.zip", inner=inner.getvalue()))
    whole = make("cut.zip", a=bytes(range(256)) * 40).read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[: len(whole) // 2])
    assert "broken zip archive" in reason_of(tmp_path / "cut.zip")
    with pytest.raises(StudyError, match="broken zip archive"):
        read_study(tmp_path / "cut.zip")


def test_a_table_of_contents_is_bounded_before_it_is_taken_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not one object is made of the entries of an archive that is refused."""
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as archive:
        for number in range(200):
            archive.writestr(f"m{number}", b"x")

    def never(*args: Any, **more: Any) -> None:
        raise AssertionError("an entry was taken apart")

    with monkeypatch.context() as small:
        small.setattr(archives, "MOST_MEMBERS", 100)
        small.setattr(zipfile, "ZipInfo", never)
        assert reason_of(tmp_path / "many.zip") == (
            "it is a zip archive of 200 files; unpack it and open the folder of the study"
        )
    with monkeypatch.context() as small:
        small.setattr(archives, "_MOST_TABLE_BYTES", 1000)
        small.setattr(zipfile, "ZipInfo", never)
        assert "whose table of contents has 9" in reason_of(tmp_path / "many.zip")
    index = scan(tmp_path / "many.zip")
    assert index.files == len(index.unused) == 200


def test_members_that_are_refused(study: Any, tmp_path: Path) -> None:
    paths = study.write(says)
    archive = tmp_path / "study.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        for path in paths:
            opened.writestr(path.name, path.read_bytes())
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        opened.writestr(link, "/etc/passwd")
        opened.writestr("locked", b"secret" * 20)
        opened.writestr("damaged", b"damaged" * 20)
    content = bytearray(archive.read_bytes())
    at = content.rindex(b"PK\1\2", 0, content.rindex(b"locked"))
    content[at + 8] |= 1  # encrypted, says the table of contents
    content[content.index(b"damageddamaged") + 3] ^= 0xFF
    archive.write_bytes(bytes(content))
    index = scan(archive)
    reasons = {u.file.name: u.reason for u in index.unused}
    assert set(reasons) == {"link", "locked", "damaged"} and index.files == len(paths) + 3
    assert "link" in reasons["link"] and "encrypted" in reasons["locked"] and "broken" in reasons["damaged"]
    np.testing.assert_array_equal(assemble(index.dce()).data, study.data)


def test_cancelling_leaves_nothing(study: Any, tmp_path: Path, own_temp: Path) -> None:
    study.write(says)
    archive = zipped(study.folder, tmp_path / "study.zip")

    def stop(done: int, total: int, what: str) -> None:
        if what == "Unpacking" and done == 5:
            raise Cancelled

    with pytest.raises(Cancelled):
        scan(archive, stop)
    gc.collect()
    assert not list(own_temp.iterdir())


@pytest.fixture
def disc(study: Any, tmp_path: Path) -> Path:
    """A folder as on a CD: DICOMDIR and images under names of eight letters."""
    files = FileSet()
    for number, path in enumerate(study.write(says)):
        ds = dcmread(path)
        ds.PatientID, ds.StudyID, ds.StudyDate, ds.StudyTime = "p", "s", "20240102", "101500"
        ds.InstanceNumber = number + 1
        files.add(ds)
    scratch = [files._stage["t"]]  # temporary folders that pydicom leaves to chance, and warns of
    files.write(tmp_path / "disc")
    for folder in (*scratch, files._stage["t"]):
        folder.cleanup()
    return tmp_path / "disc"


def test_a_dicomdir_stands_for_its_folder(study: Any, disc: Path) -> None:
    for path in (disc, disc / "DICOMDIR"):
        index = scan(path)
        assert index.files == 21 and len(index.unused) == 1
        assert "table of contents" in index.unused[0].reason and not index.warnings
        np.testing.assert_array_equal(assemble(index.dce()).data, study.data)


@pytest.mark.parametrize("pack", [False, True])
def test_what_a_dicomdir_names_and_is_not_there_is_said(disc: Path, tmp_path: Path, pack: bool) -> None:
    images = sorted(path for path in disc.rglob("*") if path.is_file() and path.name != "DICOMDIR")
    for path in images[:3]:
        path.unlink()
    chosen = zipped(disc, tmp_path / "disc.zip", "CD/") if pack else disc / "DICOMDIR"
    index = scan(chosen)
    (unused,) = index.unused
    assert "3 of the 20 files that it names are missing" in unused.reason
    assert index.warnings == index.dce().warnings[-1:] and "3 of the 20" in index.warnings[0]


def test_a_dicomdir_cannot_lead_out(disc: Path) -> None:
    table = dcmread(disc / "DICOMDIR")
    images = [record for record in table.DirectoryRecordSequence if "ReferencedFileID" in record]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom sees that these are no names
        images[0].ReferencedFileID = ["..", "..", "ETC"]
        images[1].ReferencedFileID = ["", "ETC", "PASSWD"]
        table.save_as(disc / "DICOMDIR")
    index = scan(disc)
    (unused,) = index.unused
    assert "2 of the names in it lead out of its folder" in unused.reason
    assert len(index.dce().paths) == 20


def test_a_dicomdir_that_is_too_large(disc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_MOST_DICOMDIR_BYTES", 1000)
    index = scan(disc)
    (unused,) = index.unused
    assert "its names are not compared with the files, because it has " in unused.reason
    assert len(index.dce().paths) == 20 and "more than a table of contents has" in index.warnings[0]


def test_a_dicomdir_of_more_elements_than_any_has(disc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing, "_MOST_ELEMENTS", 120)
    index = scan(disc)
    (unused,) = index.unused
    assert "because it is broken: its header has more than 120 elements" in unused.reason
    assert len(index.dce().paths) == 20


def test_a_dicomdir_nested_deeper_than_any_parser_likes(disc: Path) -> None:
    """What is not asked for is stepped over, and the names are compared all the same."""
    nested = b""
    for _ in range(2000):
        item = struct.pack("<HHL", 0xFFFE, 0xE000, len(nested)) + nested
        nested = struct.pack("<HH2sHL", 0x0009, 0x1001, b"SQ", 0, len(item)) + item
    table = dcmread(disc / "DICOMDIR")
    image = next(record for record in table.DirectoryRecordSequence if "ReferencedFileID" in record)
    image.add_new(0x00091001, "UN", nested)
    table.save_as(disc / "DICOMDIR")
    next(path for path in disc.rglob("*") if path.is_file() and path.name != "DICOMDIR").unlink()
    (unused,) = scan(disc).unused
    assert "1 of the 20 files that it names are missing" in unused.reason
