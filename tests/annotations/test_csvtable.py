import pytest

from napari_breast_ai.annotations.csvtable import read_table
from napari_breast_ai.annotations.errors import AnnotationError
from napari_breast_ai.annotations.worklist import read_worklist


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_spreadsheets_are_read_as_they_are_saved(tmp_path, separator, encoding):
    file = tmp_path / "t.csv"
    lines = ["Case_ID,path,Befund", "a,x,gutartig", "", "b, y ,bösartig", "c,z"]
    file.write_bytes("\r\n".join(lines).replace(",", separator).encode(encoding))
    table = read_table(file, ("case_id", "path"))
    assert table.names == ("Case_ID", "path", "Befund")
    assert table.rows == ((2, ("a", "x", "gutartig")), (4, ("b", "y", "bösartig")), (5, ("c", "z", "")))
    assert table.column("case_id") == 0
    assert table.column("age") is None
    assert [case.case_id for case in read_worklist(file).cases] == ["a", "b", "c"]


def test_what_is_no_table_is_said(tmp_path):
    file = tmp_path / "t.csv"
    file.write_text("case_id,image\na,b\n")
    with pytest.raises(AnnotationError, match="no column path"):
        read_table(file, ("case_id", "path"))
    file.write_bytes(b"PK\0\0")
    with pytest.raises(AnnotationError, match="case_id and path"):
        read_table(file, ("case_id", "path"))
    with pytest.raises(AnnotationError, match="cannot be read"):
        read_table(tmp_path / "none.csv", ("case_id",))
