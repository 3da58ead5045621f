"""Boxes as COCO, as tables and as masks: what goes out comes back, and what is wrong is said."""

import contextlib
import csv
import io
import json
from dataclasses import replace

import nibabel
import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from box_readers import SHAPE, SPACING, journal, lesions, seen_by
from napari_breast_ai.annotations import AnnotationError
from napari_breast_ai.annotations.cases import CaseRecord, find_journals, read_case
from napari_breast_ai.annotations.coco import read_coco, to_coco
from napari_breast_ai.annotations.exchange import name_of_image
from napari_breast_ai.annotations.masks import mask, write_masks
from napari_breast_ai.annotations.tables import COLUMNS, read_table, to_table
from napari_breast_ai.core import Box, Geometry


@pytest.fixture
def records(tmp_path):
    """Two readers of two cases; one has suggestions accepted, lesions over slices, and slices without."""
    for case in ("1", "2"):
        truth = lesions(int(case))
        anna = journal(tmp_path, case, "anna")
        made = anna.add_many(truth[:4])
        anna.group([made[0].id, made[1].id], made[0].id)
        anna.offer(truth[4:], "model:demo")
        anna.accept([box.id for box in anna.offers])
        anna.move(anna.boxes[-1].id, replace(anna.boxes[-1], x0=1.125))
        anna.say_empty(0)
        journal(tmp_path, case, "Dr. Ünal", reading=2).add_many(seen_by(truth, 5))
    no = journal(tmp_path, "3", "anna")
    no.say_empty(None)
    return [read_case(path) for path in find_journals([tmp_path])]


def written(tmp_path, records):
    content, notes = to_coco(records)
    path = tmp_path / "out.json"
    path.write_text(json.dumps(content))
    return path, content, notes


def same(record: CaseRecord, got) -> None:
    (case,) = [
        one
        for one in got.cases
        if (one.study_uid, one.reader, one.reading) == (record.study_uid, record.reader, record.reading)
    ]
    assert case.case_id == record.case_id
    assert set(case.boxes) == set(record.boxes) and len(case.boxes) == len(record.boxes)
    assert case.empty_slices == record.empty_slices and case.empty_case == record.empty_case
    images = {item.box.id: item.image for item in case.items if item.box is not None}
    assert images == record.images


def test_coco_comes_back_equal(tmp_path, records):
    path, _, notes = written(tmp_path, records)
    got = read_coco(path)
    assert notes == got.notes == ()
    assert len(got.cases) == len(records) == 5
    for record in records:
        same(record, got)
    assert any(box.lesion for record in records for box in record.boxes)
    assert any(box.origin == "model:demo" and box.edited for record in records for box in record.boxes)


def test_coco_loads_with_pycocotools_and_covers_the_same_pixels(tmp_path, records):
    path, content, _ = written(tmp_path, records)
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(path))
    assert len(coco.getImgIds()) == len(content["images"])
    assert len(coco.getAnnIds()) == sum(len(record.boxes) for record in records)
    names = {one["id"]: one["name"] for one in coco.loadCats(coco.getCatIds())}
    found = set()
    for annotation in coco.loadAnns(coco.getAnnIds()):
        (image,) = coco.loadImgs(annotation["image_id"])
        assert (image["height"], image["width"]) == SHAPE[1:]
        x, y, width, height = annotation["bbox"]
        assert annotation["area"] == pytest.approx(width * height) and annotation["iscrowd"] == 0
        found.add((image["case_id"], image["slice"], names[annotation["category_id"]], x, y, width, height))
    expected = {
        (r.case_id, b.z, b.label, *np.round([b.x0 + 0.5, b.y0 + 0.5, b.x1 - b.x0, b.y1 - b.y0], 6).tolist())
        for r in records
        for b in r.boxes
    }
    assert found == expected
    # The first pixel alone is [0, 0, 1, 1] in COCO.
    one = replace(records[0], boxes=(Box(3, -0.5, -0.5, 0.5, 0.5, "IGM", "a"),), empty_slices=())
    assert to_coco([one])[0]["annotations"][0]["bbox"] == [0.0, 0.0, 1.0, 1.0]


def test_coco_results_can_be_scored_with_pycocotools(tmp_path, records):
    """Our files go through COCO's own evaluation: a reader against herself is right in all."""
    from pycocotools.cocoeval import COCOeval

    mine = [record for record in records if record.rater == "anna"]
    path, content, _ = written(tmp_path, mine)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(path))
        results = [{**one, "score": 1.0} for one in content["annotations"]]
        evaluation = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1.0)


def test_an_image_of_two_readers_is_one_image_and_two_stacks_are_one(tmp_path):
    box = lesions(3)[0]
    journal(tmp_path, "1", "anna").add(box)
    turned = journal(tmp_path, "1", "ben", flipped=True)
    turned.add(replace(box, z=SHAPE[0] - 1 - box.z))
    turned.say_empty(SHAPE[0] - 1)
    content, notes = to_coco([read_case(path) for path in find_journals([tmp_path])])
    assert not notes
    assert [image["slice"] for image in content["images"]] == [0, box.z]
    assert content["images"][0]["no_lesion"] == [{"reader": "ben", "reading": 1}]
    assert content["images"][0]["sop_instance_uid"] == "1.2.1.0"
    assert content["images"][1]["sop_instance_uid"] == f"1.2.1.{box.z}"
    first, second = content["annotations"]
    assert first["image_id"] == second["image_id"]
    np.testing.assert_allclose(first["bbox"], second["bbox"], atol=1e-3)


def test_a_case_of_unknown_size_is_left_out_of_coco_and_masks_with_a_sentence(tmp_path, records):
    old = replace(records[0], geometry=None, study_uid="1.77", case_id="old")
    content, notes = to_coco([old, *records])
    assert len(notes) == 1 and "“old” is left out" in notes[0]
    assert all(image["case_id"] != "old" for image in content["images"])
    paths, notes = write_masks([old], tmp_path / "masks")
    assert paths == () and "“old”" in notes[0]
    text, notes = to_table([old])
    assert not notes and text.count("old") == len(old.boxes) + 1
    assert all(not row["height_mm"] for row in csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("case1/0012.png", ("case1", 12)),
        ("case1_12.png", ("case1", 12)),
        ("case1_slice0012.png", ("case1", 12)),
        ("folder/case1/slice_3.dcm", ("case1", 3)),
        ("pictures\\benign_001.png", ("benign_001.png", 0)),
        ("benign_003.png", ("benign_003", 0)),
        ("unknown_007.png", ("unknown", 7)),
        ("plain.png", ("plain", 0)),
    ],
)
def test_names_of_images_tell_the_case_and_the_slice(name, expected):
    assert name_of_image(name, {"case1", "benign_001.png", "benign_003"}) == expected


def foreign(tmp_path, **more):
    content = {
        "images": [
            {"id": 7, "file_name": "case1/0003.png", "width": 80, "height": 96},
            {"id": "b", "file_name": "case2_5.png"},
        ],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 2, "bbox": [10, 20, 5, 6]},
            {"id": 2, "image_id": "b", "category_id": 2, "bbox": [0, 0, 1, 1], "iscrowd": 0},
        ],
        "categories": [{"id": 2, "name": "NME"}],
    }
    content.update(more)
    path = tmp_path / "foreign.json"
    path.write_text(json.dumps(content))
    return path


def test_a_foreign_coco_is_read_by_the_names_of_its_images(tmp_path):
    got = read_coco(foreign(tmp_path))
    assert not got.notes
    assert [(case.case_id, case.boxes) for case in got.cases] == [
        ("case1", (Box(3, 19.5, 9.5, 25.5, 14.5, "NME"),)),
        ("case2", (Box(5, -0.5, -0.5, 0.5, 0.5, "NME"),)),
    ]
    assert got.cases[0].items[0].size == (96, 80)


@pytest.mark.parametrize(
    ("annotation", "word"),
    [
        ({"image_id": 99}, "image is not in the file"),
        ({"category_id": 9}, "category is not in the file"),
        ({"bbox": [1, 2, 3]}, "incomplete"),
        ({"bbox": [1, 2, 0, 4]}, "no area"),
        ({"bbox": [1, 2, float("nan"), 4]}, "finite"),
        ({"bbox": "box"}, "incomplete"),
        ({"iscrowd": 1}, "crowd"),
        ({"image_id": []}, "incomplete"),
        (None, "incomplete"),
        (17, "incomplete"),
    ],
)
def test_a_bad_annotation_costs_itself_only(tmp_path, annotation, word):
    good = {"id": 1, "image_id": 7, "category_id": 2, "bbox": [10, 20, 5, 6]}
    bad = {**good, **annotation} if isinstance(annotation, dict) else annotation
    got = read_coco(foreign(tmp_path, annotations=[good, bad, good]))
    assert sum(len(case.boxes) for case in got.cases) == 2
    assert (
        len(got.notes) == 1
        and got.notes[0].startswith("Annotation 2 of foreign.json")
        and word in got.notes[0]
    )


@pytest.mark.parametrize(
    "image", [None, {}, {"id": 7}, {"id": 1, "file_name": "a", "slice": -1, "case_id": "x"}]
)
def test_a_bad_image_is_said_and_the_rest_is_used(tmp_path, image):
    good = {"id": 7, "file_name": "case1/0003.png"}
    got = read_coco(foreign(tmp_path, images=[good, image]))
    assert got.notes[0].startswith("Image 2 of foreign.json is left out")
    assert [case.case_id for case in got.cases] == ["case1"]


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"not json", "not JSON"),
        (b"[]", "not a COCO"),
        (b'{"images": []}', "not a COCO"),
        (b"\0\1\2", "no text"),
        (b"[" * 100000, "not JSON"),
    ],
)
def test_what_is_no_coco_is_a_sentence(tmp_path, content, word):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(AnnotationError, match=word):
        read_coco(path)
    with pytest.raises(AnnotationError, match="cannot be read"):
        read_coco(tmp_path / "nothing.json")


def table(tmp_path, text: str, encoding: str = "utf-8"):
    path = tmp_path / "boxes.csv"
    path.write_text(text, encoding=encoding)
    return read_table(path)


def test_a_table_comes_back_equal(tmp_path, records):
    text, notes = to_table(records)
    assert text.splitlines()[0] == ",".join(COLUMNS) and not notes
    got = table(tmp_path, text)
    assert not got.notes
    for record in records:
        same(record, got)
    rows = list(csv.DictReader(io.StringIO(text)))
    for row in rows:
        if row["y0"]:
            assert float(row["height_mm"]) == pytest.approx(
                (float(row["y1"]) - float(row["y0"])) * SPACING[1], abs=1e-3
            )
            assert float(row["width_mm"]) == pytest.approx(
                (float(row["x1"]) - float(row["x0"])) * SPACING[2], abs=1e-3
            )
    said = [(row["case_id"], row["slice"]) for row in rows if row["label"] == "no lesion"]
    assert said == [("case1", "0"), ("case2", "0"), ("case3", "")]


def test_a_table_of_a_spreadsheet_with_semicolons_and_decimal_commas(tmp_path):
    text = "Case_ID;Slice;Y0;X0;Y1;X1;Label\ncase1;3;9,5;19,5;12,5;30,25;Kütle\n;;;;;;\n"
    for encoding in ("utf-8", "utf-8-sig", "cp1252"):
        got = table(tmp_path, text, encoding)
        assert not got.notes
        assert got.cases[0].boxes == (Box(3, 9.5, 19.5, 12.5, 30.25, "Kütle"),)


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("case1,3,a,0,5,5,NME", "y0 is “a”, not a number"),
        ("case1,3,nan,0,5,5,NME", "y0 is “nan”, not a number"),
        ("case1,3.5,0,0,5,5,NME", "slice is “3.5”, not a whole number"),
        ("case1,-1,0,0,5,5,NME", "slice is “-1”"),
        ("case1,,0,0,5,5,NME", "slice is empty"),
        ("case1,3,0,0,5,,NME", "x1 is empty"),
        ("case1,3,0,0,0,5,NME", "no area"),
        ("case1,3,0,0,5,5,", "no class"),
        (",3,0,0,5,5,NME", "names no case"),
        ("case1,3,0,0,5,5,NME,more", "more cells"),
        ("case1,3,0,1e999,5,5,NME", "x0"),
    ],
)
def test_a_bad_line_is_said_with_its_number_and_costs_itself_only(tmp_path, line, word):
    text = f"case_id,slice,y0,x0,y1,x1,label\ncase1,1,0,0,5,5,NME\n\n{line}\ncase1,2,0,0,5,5,NME\n"
    got = table(tmp_path, text)
    assert [box.z for box in got.cases[0].boxes] == [1, 2]
    assert (
        len(got.notes) == 1
        and got.notes[0].startswith("Line 4 of boxes.csv is left out")
        and word in got.notes[0]
    )


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "no column case_id"),
        ("case_id,slice,y0,x0,y1,label\n", "no column x1"),
        ("slice,y0,x0,y1,x1,label\n", "no column case_id"),
        ('case_id,slice,y0,x0,y1,x1,label\n"a\n' + "x" * 200000, "damaged|no column"),
    ],
)
def test_a_table_that_cannot_be_used_is_a_sentence(tmp_path, text, word):
    with pytest.raises(AnnotationError, match=word):
        table(tmp_path, text)


def test_a_study_uid_alone_names_a_case(tmp_path):
    got = table(tmp_path, "study_uid,slice,y0,x0,y1,x1,label\n1.2.3,1,0,0,5,5,NME\n")
    assert (got.cases[0].case_id, got.cases[0].study_uid) == ("", "1.2.3")


# ------------------------------------------------------------------- masks


def test_a_box_covers_the_pixels_whose_centres_it_contains():
    shape = (2, 6, 7)
    got = mask([Box(1, 0.5, 1.5, 3.5, 4.5, "a")], shape)
    assert got.dtype == np.uint8 and got.sum() == 9
    assert got[1, 1:4, 2:5].all()
    dice = np.random.default_rng(0)
    for _ in range(50):
        y0, x0 = dice.uniform(-2, 6, 2)
        box = Box(0, y0, x0, y0 + dice.uniform(0.1, 5), x0 + dice.uniform(0.1, 5), "a")
        expected = np.array([[box.contains(y, x) for x in range(7)] for y in range(6)])
        np.testing.assert_array_equal(mask([box], shape)[0], expected)
    assert mask([Box(0, 1, 2, 3, 4, "a")], shape).sum() == 9, "edges on centres are inside"
    assert mask([Box(5, 0, 0, 3, 3, "a")], shape).sum() == 0
    assert mask([Box(0, -9, -9, -3, -3, "a")], shape).sum() == 0


def test_masks_lie_where_the_images_lie(tmp_path, records, phantom_factory):
    paths, notes = write_masks(records, tmp_path / "masks")
    assert not notes
    assert len(paths) == sum(len({box.label for box in record.boxes}) for record in records)
    record = next(one for one in records if one.rater == "anna")
    label = record.boxes[0].label
    (path,) = [p for p in paths if p.name == f"case1--anna--{label.lower()}{slug_tail(label)}.nii.gz"]
    image = nibabel.load(path)
    data = np.asarray(image.dataobj)
    assert data.dtype == np.uint8 and set(np.unique(data)) == {0, 1}
    boxes = [box for box in record.boxes if box.label == label]
    np.testing.assert_array_equal(data.transpose(2, 1, 0), mask(boxes, SHAPE))
    # A voxel's place in the patient: RAS millimetres of NIfTI are those of DICOM with x and y turned round.
    for z, y, x in ((0, 0, 0), (3, 7, 11), (19, 95, 79)):
        np.testing.assert_allclose(
            (image.affine @ [x, y, z, 1])[:3], record.geometry.to_patient([z, y, x]) * [-1, -1, 1], atol=1e-4
        )
    with pytest.raises(AnnotationError, match="exists already"):
        write_masks(records, tmp_path / "masks")


def slug_tail(label: str) -> str:
    from napari_breast_ai.annotations.places import slug

    return slug(label).removeprefix(label.lower())


def test_a_box_between_centres_is_said(tmp_path, records):
    tiny = replace(records[0], boxes=(Box(1, 0.2, 0.2, 0.8, 0.8, "IGM", "t"),))
    _, notes = write_masks([tiny], tmp_path / "m")
    assert "no pixel's centre" in notes[0] and notes[0].endswith(": 1.")


def test_two_journals_of_one_reader_and_case_are_refused(tmp_path, records):
    with pytest.raises(AnnotationError, match="two journals of"):
        write_masks([records[0], replace(records[0], path=tmp_path)], tmp_path / "m")


def test_real_lesion_masks_survive_as_boxes(tmp_path, data_dir):
    """Boxes around the masks of 24 breast MR slices: out as COCO and table, back, and as masks that cover them."""
    records = []
    for path in sorted((data_dir / "breastdm_png" / "masks").glob("*.png")):
        truth = np.asarray(Image.open(path).convert("L")) > 0
        ys, xs = np.nonzero(truth)
        box = Box(0, ys.min() - 0.5, xs.min() - 0.5, ys.max() + 0.5, xs.max() + 0.5, "NME", path.stem, "anna")
        geometry = Geometry.from_dicom((1, *truth.shape), (1, 1), 1, (0, 0, 0), (1, 0, 0, 0, 1, 0))
        records.append(CaseRecord(path.stem, path, "anna", 1, "", (box,), geometry=geometry))
        covered = mask([box], geometry.shape)[0].astype(bool)
        assert covered[truth].all()
        assert covered.sum() == box.area, "a box around whole pixels covers its area"
        assert covered.any(axis=1).sum() == ys.max() - ys.min() + 1
    assert len(records) >= 20
    path, _, notes = written(tmp_path, records)
    assert not notes
    for got in (read_coco(path), table(tmp_path, to_table(records)[0])):
        assert [case.boxes for case in got.cases] == [record.boxes for record in records]
