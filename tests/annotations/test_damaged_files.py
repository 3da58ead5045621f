"""Damaged files give sentences, numbers that are numbers, or nothing; never a crash, never NaN."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from box_readers import journal, lesions, placing
from napari_breast_ai.annotations import AnnotationError
from napari_breast_ai.annotations.agreement import agreement
from napari_breast_ai.annotations.cases import find_journals, read_case
from napari_breast_ai.annotations.coco import read_coco, to_coco
from napari_breast_ai.annotations.importing import import_items
from napari_breast_ai.annotations.pace import pace
from napari_breast_ai.annotations.raters import readings
from napari_breast_ai.annotations.tables import read_table, to_table

VALUES = (
    None, "", "x", -1, 0, 1e308, 1e400, float("nan"), [], {}, True, "1.2", [1], 10**30, "\ud800", "é",
)  # fmt: skip


@pytest.fixture
def records(tmp_path):
    for reader, flipped in (("anna", False), ("ben", True)):
        kept = journal(tmp_path, "1", reader, flipped=flipped)
        kept.add_many(lesions(1))
        kept.say_empty(0)
        kept.offer(lesions(2), "model:a")
        kept.accept(kept.offers[0].id)
        kept.mark("done")
    return [read_case(path) for path in find_journals([tmp_path])]


def worse(thing, dice: random.Random):
    """The same with one value changed, taken away or put in."""
    if isinstance(thing, dict) and thing:
        key = dice.choice(list(thing))
        if dice.random() < 0.4:
            thing[key] = dice.choice(VALUES)
        elif dice.random() < 0.1:
            del thing[key]
        else:
            thing[key] = worse(thing[key], dice)
    elif isinstance(thing, list) and thing:
        place = dice.randrange(len(thing))
        thing[place] = dice.choice(VALUES) if dice.random() < 0.3 else worse(thing[place], dice)
    return thing


def scratched(raw: bytes, dice: random.Random, letters: bytes) -> bytes:
    """The same with some bytes changed."""
    data = bytearray(raw)
    for _ in range(dice.randint(1, 12)):
        data[dice.randrange(len(data))] = dice.choice(letters) if dice.random() < 0.8 else dice.randrange(256)
    return bytes(data)


@pytest.mark.parametrize("seed", range(4))
def test_damaged_coco_and_tables_cost_their_damaged_part(tmp_path, records, seed):
    dice = random.Random(seed)
    coco, table = json.dumps(to_coco(records)[0]), to_table(records)[0].encode()
    path, added, notes = tmp_path / "file", 0, 0
    for turn in range(80):
        changed = json.loads(coco)
        for _ in range(dice.randint(1, 6)):
            changed = worse(changed, dice)
        for read, content in (
            (read_coco, json.dumps(changed).encode()),
            (read_coco, scratched(coco.encode(), dice, b'0123456789-"{}[],:')),
            (read_table, scratched(table, dice, b',;\n"\t 0123456789.-enx\xff\x00')),
        ):
            path.write_bytes(content)
            try:
                got = read(path)
            except AnnotationError:
                continue
            notes += len(got.notes)
            kept = journal(tmp_path, "2", f"reader {turn % 8}", placing=placing("1"))
            made = import_items(kept, placing("1"), got.cases, path.name)
            assert all(not box.problems((20, 96, 80)) for box in made.added)
            added += len(made.added)
    assert added and notes


@pytest.mark.parametrize("seed", range(4))
def test_damaged_journals_give_figures_or_sentences(tmp_path, records, seed):
    dice = random.Random(100 + seed)
    path = tmp_path / "boxes-damaged.jsonl"
    read = 0
    for _ in range(80):
        path.write_bytes(scratched(dice.choice(records).path.read_bytes(), dice, b'0123456789-"{}[],:'))
        try:
            damaged = replace(read_case(path), reader="damaged", reading=1)
        except AnnotationError:
            continue
        read += 1
        both = [records[0], damaged]
        try:
            result = agreement(readings(both, "anna"), readings(both, "damaged"))
            json.dumps(result.to_json(), allow_nan=False)
        except AnnotationError:
            pass
        json.dumps(pace([damaged]).to_json(), allow_nan=False)
        json.dumps(to_coco(both)[0], allow_nan=False)
        assert "nan" not in to_table(both)[0]
    assert read > 40


@pytest.mark.parametrize(
    "change",
    [
        {"affine": [[0, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]},
        {"affine": [[1, 1, 0, 1], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]},
        {"shape": [10**12, 96, 80]},
        {"shape": [99999, 99999, 99999]},
        {"spacing": [0, 1, 1]},
        {"affine": "x"},
    ],
    ids=["flat", "no volume", "slices", "voxels", "no distance", "no matrix"],
)
def test_a_stack_that_cannot_be_is_left_out_with_a_warning(records, change):
    path: Path = records[0].path
    lines = [json.loads(text) for text in path.read_text().splitlines()]
    for one in lines:
        if one.get("do") == "volume":
            one.update(change)
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    got = read_case(path)
    assert got.geometry is None and len(got.boxes) == len(records[0].boxes)
    assert any("is left out" in warning for warning in got.warnings)
