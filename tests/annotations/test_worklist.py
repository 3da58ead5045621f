"""Tables and folders of cases, as people make them."""

from pathlib import Path

import pytest

from napari_breast_ai.annotations import AnnotationError
from napari_breast_ai.annotations.worklist import read_worklist


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    return tmp_path


def table(studies: Path, content: str | bytes, name: str = "list.csv") -> Path:
    path = studies / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "BOM"])
def test_what_spreadsheets_write(studies: Path, separator: str, end: str, mark: bytes) -> None:
    rows = [["Case_ID", " path ", "age, years; so far"], ["1", "a", "41"], ["2", "b"], ["", "", ""]]
    text = end.join(separator.join(f'"{cell}"' for cell in row) for row in rows)
    worklist = read_worklist(table(studies, mark + text.encode()))
    assert [(case.case_id, case.path) for case in worklist.cases] == [
        ("1", studies / "a"),
        ("2", studies / "b"),
    ]
    assert dict(worklist.cases[0].columns) == {"age, years; so far": "41"}
    assert dict(worklist.cases[1].columns) == {"age, years; so far": ""}
    assert not worklist.warnings
    assert worklist.folder == studies and worklist.case("2").path == studies / "b"
    with pytest.raises(KeyError):
        worklist.case("3")


@pytest.mark.parametrize("separator", ";,|")
def test_excels_own_line_about_separators(studies: Path, separator: str) -> None:
    text = f"sep={separator}\r\ncase_id{separator}path\r\n1{separator}a\r\n2{separator}nowhere\r\n"
    worklist = read_worklist(table(studies, text))
    assert [case.case_id for case in worklist.cases] == ["1", "2"]
    assert "Line 4 of list.csv" in worklist.warnings[0]


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_letters(studies: Path, encoding: str) -> None:
    (studies / "Müller").mkdir()
    worklist = read_worklist(
        table(studies, "case_id;path;note\nMüller;Müller;größer als “3”\n".encode(encoding))
    )
    (case,) = worklist.cases
    assert (case.case_id, case.path.is_dir(), case.columns["note"]) == ("Müller", True, "größer als “3”")
    assert not worklist.warnings


def test_quotes_with_separators_line_ends_and_quotes_inside(studies: Path) -> None:
    (studies / "x, y").mkdir()
    text = 'case_id,path,note\n"1","x, y","two\nlines and ""quotes"""\n2,b,\n2,c,\n'
    worklist = read_worklist(table(studies, text))
    assert worklist.cases[0].path == studies / "x, y"
    assert worklist.cases[0].columns["note"] == 'two\nlines and "quotes"'
    assert worklist.warnings == (
        "Line 5 of list.csv is left out: the case_id “2” stands in an earlier line.",
    ), "as a text editor counts lines"


def test_lines_that_cannot_be_used_are_named(studies: Path) -> None:
    text = (
        "\n\npath;case_id\na;1\n;2\nb;\nb;1\nnowhere;4\nc;5;more;than;columns\n" + "x" * 5000 + ";6\nz\0z;7\n"
    )
    # No zero may stand in the first bytes; further on they are only odd names.
    worklist = read_worklist(table(studies, text))
    assert [case.case_id for case in worklist.cases] == ["1", "4", "5", "6", "7"]
    said = [warning.partition(" of ")[0] for warning in worklist.warnings]
    assert said == ["Line 5", "Line 6", "Line 7", "Line 8", "Line 10", "Line 11"]
    assert [word for word in ("no path", "no case_id", "earlier line", "nothing at nowhere")
            if word in " ".join(worklist.warnings)] == [
        "no path", "no case_id", "earlier line", "nothing at nowhere",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no column case_id and no column path"),
        (b"\n\n  \n", "no column case_id and no column path"),
        (b"case_id\n1\n", "no column path"),
        (b"case,path\n1,a\n", "no column case_id.*found: case, path"),
        (b"case_id,path\n", "names no case"),
        (b"case_id,path\n,\n,a\n", "names no case.*no case_id"),
        (b"PK\x03\x04\x14\x00\x06\x00", "not a table"),
        ("case_id\tpath\n".encode("utf-16"), "not a table"),
        (bytes(range(1, 256)) * 20, "no column"),
        (b'case_id,path\n1,"' + b"a" * 200_000 + b'"\n', "damaged as a table"),
    ],
)
def test_what_is_no_worklist(studies: Path, content: bytes, said: str) -> None:
    with pytest.raises(AnnotationError, match=said):
        read_worklist(table(studies, content))


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="cannot be read"):
        read_worklist(tmp_path / "absent.csv")


def test_ten_thousand_lines(studies: Path) -> None:
    text = "case_id,path\n" + "".join(f"{n % 9_000},a\n" for n in range(10_000))
    worklist = read_worklist(table(studies, text))
    assert len(worklist.cases) == 9_000 and len(worklist.warnings) == 1_000
    assert worklist.cases[8_999].case_id == "8999"
    assert worklist.warnings[-1].startswith("Line 10001 ")


def test_a_folder_of_studies(tmp_path: Path) -> None:
    for name in ("case10", "case2", ".hidden", "napari-breast-ai"):
        (tmp_path / name).mkdir()
    for name in (
        "b.png", "a.zip", "notes.txt", ".DS_Store",
        "vol_0000.nii.gz", "vol_0001.nii.gz", "vol_0002.nii.gz", "single.nii", "other_0000.nii",
    ):  # fmt: skip
        (tmp_path / name).write_bytes(b"")
    worklist = read_worklist(tmp_path)
    assert [(case.case_id, case.path.name) for case in worklist.cases] == [
        ("a.zip", "a.zip"), ("b.png", "b.png"), ("case2", "case2"), ("case10", "case10"),
        ("other", "other_0000.nii"), ("single.nii", "single.nii"), ("vol", "vol_0000.nii.gz"),
    ]  # fmt: skip
    assert worklist.folder == tmp_path


def test_a_folder_and_numbered_files_of_one_name_are_two_cases(tmp_path: Path) -> None:
    (tmp_path / "p1").mkdir()
    for name in ("p1_0000.nii.gz", "p1_0001.nii.gz"):
        (tmp_path / name).write_bytes(b"")
    worklist = read_worklist(tmp_path)
    assert [(case.case_id, case.path.name) for case in worklist.cases] == [
        ("p1", "p1"), ("p1_0000.nii.gz", "p1_0000.nii.gz"),
    ]  # fmt: skip


def test_a_folder_of_plain_files_is_one_case(tmp_path: Path) -> None:
    (tmp_path / "IM0001").write_bytes(b"")
    (tmp_path / "IM0002").write_bytes(b"")
    assert [(case.case_id, case.path) for case in read_worklist(tmp_path).cases] == [
        (tmp_path.name, tmp_path)
    ]


def test_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / ".hidden").mkdir()
    with pytest.raises(AnnotationError, match="holds no studies"):
        read_worklist(tmp_path)


def test_names_of_lists(studies: Path) -> None:
    one, other = (read_worklist(table(studies, "case_id,path\n1,a\n", name)) for name in ("x.csv", "y.csv"))
    assert one.name != other.name and one.name == read_worklist(studies / "x.csv").name
    assert one.name.isalnum()
