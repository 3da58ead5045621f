"""Studies that have moved."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from napari_breast_ai.phantom import write_dicom
from napari_breast_ai.study import find_studies, open_volume


def test_copies_among_other_studies_are_not_found_as_the_folder_of_all(
    tmp_path: Path, phantom_factory: Callable[..., Any]
) -> None:
    phantoms = [phantom_factory("igm", seed=number, shape=(4, 48, 48)) for number in (1, 2)]
    for number, phantom in enumerate(phantoms):
        write_dicom(phantom, tmp_path / "2024" / f"case{number}", "ge")
    shutil.copytree(tmp_path / "2024" / "case1", tmp_path / "backup" / "case1")
    uid = open_volume(tmp_path / "2024" / "case1").identity.study_uid
    found = find_studies(tmp_path, [uid])[uid]
    assert found in (tmp_path / "2024" / "case1", tmp_path / "backup", tmp_path / "backup" / "case1")
    assert open_volume(found).identity.study_uid == uid
