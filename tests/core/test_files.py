"""Files are there whole or not at all, whoever else writes them."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from napari_breast_ai.files import taking_place, write_whole


def names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


def test_what_is_written_is_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "a.json"
    write_whole(path, "früher")
    write_whole(path, "später")
    assert path.read_bytes() == "später".encode()
    write_whole(path, b"\x00\n", lasting=False)
    assert path.read_bytes() == b"\x00\n" and names(path.parent) == ["a.json"]


@pytest.mark.skipif(os.name != "posix", reason="permissions are those of POSIX")
def test_others_may_read_what_the_mask_lets_them(tmp_path: Path) -> None:
    """A file of a shared folder that only its writer can read is lost to the others."""
    plain = tmp_path / "plain"
    plain.write_text("")
    write_whole(tmp_path / "ours", "")
    assert (tmp_path / "ours").stat().st_mode == plain.stat().st_mode


def test_what_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), taking_place(path) as part:
        part.write_text("half")
        _ = 1 / 0
    assert path.read_text() == "old" and names(tmp_path) == ["a.csv"]
    with pytest.raises(OSError):
        write_whole(path / "below", "a file is no folder")
    with pytest.raises(IsADirectoryError if os.name == "posix" else OSError):
        write_whole(tmp_path, "nor is a folder a file")
    assert names(tmp_path) == ["a.csv"]


def test_two_at_once_do_not_write_into_one_another(tmp_path: Path) -> None:
    path = tmp_path / "a"
    texts = [str(number) * 200_000 for number in range(4)]
    threads = [threading.Thread(target=write_whole, args=(path, text, False)) for text in texts * 5]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert path.read_text() in texts and names(tmp_path) == ["a"]
