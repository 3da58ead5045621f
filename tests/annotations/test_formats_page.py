"""The page of formats names what the code writes."""

import re
from pathlib import Path

import pytest

from box_readers import journal, lesions
from napari_breast_ai.annotations.cases import read_case
from napari_breast_ai.annotations.coco import to_coco
from napari_breast_ai.annotations.records import BESIDE, UNDONE
from napari_breast_ai.annotations.tables import COLUMNS

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "annotations.md"


@pytest.fixture(scope="module")
def page() -> str:
    return PAGE.read_text(encoding="utf-8")


def named(page: str, heading: str) -> set[str]:
    part = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return set(re.findall(r"`([^`]+)`", part))


def test_every_action_of_a_journal_is_told(page):
    assert set(UNDONE) | set(BESIDE) | {"undo", "redo"} <= named(page, "The journal")


def test_every_column_is_told(page):
    assert set(COLUMNS) <= named(page, "The table")


def test_every_key_of_ours_in_coco_is_told(page, tmp_path):
    kept = journal(tmp_path, "1", "anna")
    kept.add_many(lesions(1))
    kept.say_empty(0)
    content, _ = to_coco([read_case(kept.path)])
    told = named(page, "COCO")
    standard = {"id", "width", "height", "file_name", "image_id", "category_id", "segmentation"}
    for kind in ("images", "annotations"):
        for one in content[kind]:
            assert set(one) - standard <= told
    ours = content["info"]["napari_breast_ai"]
    assert set(ours) | set(ours["cases"][0]) <= told
