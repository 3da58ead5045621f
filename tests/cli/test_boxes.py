"""`boxes` as a person types it: journals found wherever they are, files out and in, figures, sentences."""

import csv
import json
import shutil

import nibabel
import numpy as np
import pytest

from box_readers import SHAPE, Clock, journal, lesions, seen_by
from napari_breast_ai.annotations import Journal, Placing, journal_path, remember
from napari_breast_ai.annotations.cases import find_journals, read_case
from napari_breast_ai.annotations.coco import read_coco
from napari_breast_ai.annotations.log import ReadingLog, Standing, Turn
from napari_breast_ai.annotations.worklist import read_worklist
from napari_breast_ai.cli import main
from napari_breast_ai.core import Box
from napari_breast_ai.study import Loader, open_study


@pytest.fixture(autouse=True)
def data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_BREAST_AI_DATA", str(tmp_path / "user data"))
    return tmp_path / "user data"


@pytest.fixture
def readers(tmp_path, monkeypatch):
    """Three cases of anna and ben, with times."""
    clock = Clock(monkeypatch)
    folder = tmp_path / "studies"
    for case in range(3):
        truth = lesions(case)
        for reader, boxes in (("anna", truth), ("ben", seen_by(truth, case))):
            kept = journal(folder, str(case), reader)
            kept.enter()
            for box in boxes:
                clock.wait(9)
                kept.add(box)
            kept.say_empty(0)
            kept.mark("done")
    return folder


@pytest.fixture
def own_study(study, tmp_path):
    """A copy of the phantom's study, and its stack."""
    folder = tmp_path / "studies" / "patient 7"
    shutil.copytree(study, folder)
    opened = open_study(folder)
    assert isinstance(opened, Loader)
    return folder, opened.volume


def run(capsys, *arguments) -> tuple[int, str, str]:
    status = main(["boxes", *map(str, arguments)])
    out = capsys.readouterr()
    return status, out.out, out.err


def test_export_writes_all_three_forms(readers, tmp_path, capsys):
    for kind, name in (("coco", "b.json"), ("csv", "b.csv"), ("masks", "masks")):
        status, out, err = run(capsys, "export", readers, "--to", kind, "--out", tmp_path / name)
        assert (status, err) == (0, "")
        assert "of 3 cases" in out
    coco = read_coco(tmp_path / "b.json")
    boxes = sum(len(read_case(path).boxes) for path in find_journals([readers]))
    assert sum(len(case.boxes) for case in coco.cases) == boxes
    with (tmp_path / "b.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == boxes + 6 and {row["reader"] for row in rows} == {"anna", "ben"}
    masks = sorted((tmp_path / "masks").iterdir())
    assert all(nibabel.load(path).shape == SHAPE[::-1] for path in masks) and len(masks) >= 6
    status, out, _ = run(
        capsys, "export", readers, "--to", "csv", "--out", tmp_path / "ben.csv", "--readers", "ben"
    )
    assert status == 0 and "anna" not in (tmp_path / "ben.csv").read_text()


def test_agreement_prints_and_writes_the_same_figures(readers, tmp_path, capsys):
    files = [tmp_path / f"out/a.{ending}" for ending in ("json", "csv", "png")]
    options = [
        x for name, file in zip(("--json", "--csv", "--plot"), files, strict=True) for x in (name, file)
    ]
    status, out, err = run(capsys, "agreement", readers, *options)
    assert (status, err) == (0, "")
    content = json.loads(files[0].read_text(encoding="utf-8"))
    assert content["first"] == "anna" and len(content["cases"]) == 3
    assert f"F1 {content['overall']['f1']['value']:.3f} (" in out
    with files[1].open(newline="", encoding="utf-8") as file:
        rows = {(row["class"], row["figure"]): row for row in csv.DictReader(file)}
    assert float(rows["all lesions", "f1"]["value"]) == content["overall"]["f1"]["value"]
    assert files[2].read_bytes().startswith(b"\x89PNG")
    status, out, _ = run(capsys, "agreement", readers, "--readers", "ben", "anna", "--iou", "0.9")
    assert status == 0 and out.startswith("ben (reference) and anna: 3 cases, boxes match from IoU 0.9")


def test_pace_names_what_others_reached(readers, tmp_path, capsys):
    status, out, _ = run(capsys, "pace", readers, "--json", tmp_path / "p.json", "--csv", tmp_path / "p.csv")
    assert status == 0
    assert "335 images boxed in less than an hour, under 10.7 s an image" in out
    assert "9.0 s a box (median)" in out
    content = json.loads((tmp_path / "p.json").read_text())
    assert [one["reader"] for one in content["readers"]] == ["anna", "ben"]
    assert len((tmp_path / "p.csv").read_text().splitlines()) == 1 + 2 + 6


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["export", "nowhere", "--to", "csv", "--out", "x.csv"], "no file or folder nowhere"),
        (["export", "empty", "--to", "csv", "--out", "x.csv"], "holds no studies"),
        (["export", "studies", "--to", "csv", "--out", "taken.csv"], "exists already"),
        (["export", "studies", "--to", "csv", "--out", "x.csv", "--readers", "carl"], "no boxes of carl"),
        (["export", "studies", "--to", "csv", "--out", "taken.csv/x.csv"], "cannot be written"),
        (["agreement", "studies", "--readers", "anna", "carl"], "no boxes of carl"),
        (["agreement", "studies", "--iou", "nan"], "not a threshold"),
        (["agreement", "studies", "--plot", "x.bmp"], "png or .svg"),
        (["agreement", "studies/case0/napari-breast-ai"], "no case in common|Name|Two readers"),
        (["pace", "studies", "--pause", "0"], "above 0"),
        (["pace", "taken.csv"], "no column case_id"),
        (["import", "nothing.csv", "--into", "studies", "--reader", "x"], "cannot be read"),
        (["import", "taken.csv", "--into", "studies", "--reader", "x"], "no column"),
        (["import", "good.csv", "--into", "nowhere", "--reader", "x"], "no worklist, folder or study"),
        (["import", "good.csv", "--into", "studies", "--reader", " "], "need a reader"),
        (["import", "good.csv", "--into", "studies", "--reader", "x"], "None of the 1 cases"),
        (["import", "bad.csv", "--into", "studies", "--reader", "x"], "no boxes that can be used"),
    ],
)
def test_bad_input_is_a_sentence_and_exit_1(readers, tmp_path, capsys, monkeypatch, arguments, word):
    import re

    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken.csv").write_text("something,else\n")
    (tmp_path / "empty").mkdir()
    head = "case_id,slice,y0,x0,y1,x1,label\n"
    (tmp_path / "good.csv").write_text(f"{head}other,1,0,0,5,5,NME\n")
    (tmp_path / "bad.csv").write_text(f"{head}other,1,0,0,5,x,NME\n")
    if arguments[1].endswith("napari-breast-ai"):
        for path in find_journals([readers / "case0"]):
            if "ben" in path.name:
                path.unlink()
    status, _, err = run(capsys, *arguments)
    assert status == 1
    assert re.search(word, err) and "unexpected" not in err
    assert not (tmp_path / "x.csv").exists()


def test_boxes_come_into_a_study_and_out_again(own_study, tmp_path, capsys):
    """Anna's boxes as COCO into Ben's journal, by the study's UID, and by the name of the folder."""
    folder, volume = own_study
    anna = Journal(
        journal_path(folder, volume.identity, "anna"),
        "anna",
        study_uid=volume.identity.study_uid,
        placing=Placing.of(volume),
    )
    anna.add_many([Box(z, 10, 12, 30, 28, "NME") for z in (3, 4)])
    anna.say_empty(0)
    out = tmp_path / "anna.json"
    assert run(capsys, "export", folder, "--to", "coco", "--out", out)[0] == 0
    for into, reader in ((folder, "ben"), (folder.parent, "carl")):
        status, said, err = run(capsys, "import", out, "--into", into, "--reader", reader)
        assert (status, err) == (0, "") and "boxes added: 2" in said
        (path,) = [one for one in find_journals([folder]) if f"-{reader}." in one.name]
        record = read_case(path)
        assert [(box.z, box.y0, box.x1, box.origin) for box in record.boxes] == [
            (3, 10, 28, "import:anna.json"),
            (4, 10, 28, "import:anna.json"),
        ]
        assert record.empty_slices == (0,) and record.geometry.same_as(volume.geometry)
        assert record.images[record.boxes[0].id] == volume.frames[0][3]
    before = path.read_bytes()
    status, said, _ = run(capsys, "import", out, "--into", folder, "--reader", "carl")
    assert status == 0 and "there already: 3" in said and path.read_bytes() == before
    status, said, _ = run(capsys, "agreement", folder, "--readers", "anna", "ben")
    assert status == 0 and "F1 1.000" in said and "2 and 2 boxes, 2 match" in said


def test_a_file_for_other_images_says_how_many_matched_and_uses_the_good_part(own_study, tmp_path, capsys):
    _, volume = own_study
    table = tmp_path / "mixed.csv"
    table.write_text(
        "case_id,study_uid,slice,y0,x0,y1,x1,label\n"
        "patient 7,,3,10,10,20,20,NME\n"
        "patient 8,,3,10,10,20,20,NME\n"
        "patient 9,9.9.9,3,10,10,20,20,NME\n"
        f"renamed,{volume.identity.study_uid},4,10,10,20,20,NME\n"
        "patient 7,,400,10,10,20,20,NME\n"
        "patient 7,1.2.3,5,10,10,20,20,NME\n"
        "patient 7,,5,10,10,20,nonsense,NME\n"
    )
    worklist = tmp_path / "list.csv"
    worklist.write_text("case_id,path\npatient 7,studies/patient 7\n")
    status, said, _ = run(capsys, "import", table, "--into", worklist, "--reader", "anna")
    assert status == 0
    assert "boxes added: 2, left out: 1" in said
    assert "2 of 5. Left out: patient 8, patient 9, patient 7." in said
    assert "Line 6 of mixed.csv is left out (case “patient 7”): the box is on slice 400" in said
    assert "Line 8 of mixed.csv is left out: x1 is “nonsense”, not a number." in said
    assert "names another study" in said


def test_journals_of_a_worklist_are_found_wherever_they_lie(
    readers, own_study, tmp_path, capsys, data_folder
):
    """Beside the case, in the user's data folder, remembered from a folder that was moved, and named in a log."""
    folder, volume = own_study
    identity = volume.identity

    def boxes_of(reader: str, path=None) -> Journal:
        place = path or journal_path(folder, identity, reader)
        made = Journal(place, reader, study_uid=identity.study_uid, placing=Placing.of(volume))
        made.add(Box(3, 10, 10, 20, 20, "NME"))
        made.mark("done")
        return made

    beside = boxes_of("anna")
    boxes_of("ben", data_folder / "cases" / beside.path.name.replace("anna", "ben"))
    moved = tmp_path / "moved" / beside.path.name.replace("anna", "carl")
    boxes_of("carl", moved)
    remember(moved)
    logged = tmp_path / "elsewhere" / "boxes-x-dora.jsonl"
    boxes_of("dora", logged)
    worklist = tmp_path / "list.csv"
    worklist.write_text("case_id,path\nseven,studies/patient 7\nnot there,studies/nothing\n")
    log = ReadingLog(read_worklist(worklist), "dora")
    log.record(Turn("seven"), Standing("done", journal=logged))
    out = tmp_path / "all.csv"
    status, said, _ = run(capsys, "export", worklist, "--to", "csv", "--out", out)
    assert status == 0 and "there is nothing at studies/nothing" in said
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["reader"] for row in rows} == {"anna", "ben", "carl", "dora"}
    assert {row["case_id"] for row in rows} == {"seven"}

    beside.path.unlink()
    logged.unlink()
    other = tmp_path / "other.csv"
    other.write_text("case_id,path\nseven,studies/patient 7\n")
    status, said, _ = run(capsys, "agreement", other)
    assert status == 0 and said.startswith("ben (reference) and carl"), (
        "the study itself was asked for its UID"
    )


def test_an_old_journal_gets_its_stack_from_the_study(own_study, tmp_path, capsys):
    folder, volume = own_study
    path = journal_path(folder, volume.identity, "anna")
    path.parent.mkdir()
    frame = volume.frames[0][6]
    lines = [
        {
            "schema": "napari-breast-ai/journal",
            "version": 1,
            "study_uid": volume.identity.study_uid,
            "reader": "anna",
        },
        {
            "do": "add",
            "box": {"z": 3, "y0": 9.5, "x0": 9.5, "y1": 19.5, "x1": 29.5, "label": "NME", "id": "a"},
            "image": {"sop_instance_uid": frame.sop_instance_uid, "frame": frame.frame},
        },
    ]
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    status, _, _ = run(capsys, "export", folder, "--to", "masks", "--out", tmp_path / "masks")
    assert status == 0
    (file,) = (tmp_path / "masks").iterdir()
    data = np.asarray(nibabel.load(file).dataobj)
    assert data.shape == volume.geometry.shape[::-1]
    assert np.nonzero(data.any(axis=(0, 1)))[0].tolist() == [6], "the stored image tells the slice"
    assert data.sum() == 10 * 20
    text = path.read_text()
    shutil.rmtree(folder / next(one.name for one in folder.iterdir() if one.name != "napari-breast-ai"))
    for rest in folder.iterdir():
        if rest.name != "napari-breast-ai":
            shutil.rmtree(rest) if rest.is_dir() else rest.unlink()
    status, said, _ = run(capsys, "export", folder, "--to", "coco", "--out", tmp_path / "b.json")
    assert status == 0 and "is left out" in said and path.read_text() == text


def test_real_pictures_with_their_published_boxes_as_a_second_reader(data_dir, tmp_path, capsys):
    """Boxes of an ultrasound set, in its own COCO by file names, against a reader who drew two pixels wider."""
    images = tmp_path / "pictures"
    images.mkdir()
    with (data_dir / "busi_odd" / "labels.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["box_y0"]][:6]
    content = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "mass"}]}
    for number, row in enumerate(rows):
        shutil.copy(data_dir / "busi_odd" / "images" / row["file"], images)
        y0, x0, y1, x1 = (float(row[f"box_{name}"]) for name in ("y0", "x0", "y1", "x1"))
        size = {"width": int(row["width_px"]), "height": int(row["height_px"])}
        content["images"].append({"id": number, "file_name": f"images/{row['file']}", **size})
        bbox = [x0, y0, x1 - x0, y1 - y0]
        content["annotations"].append({"id": number, "image_id": number, "category_id": 1, "bbox": bbox})
    for name, grow in (("published.json", 0), ("wider.json", 2)):
        for one in content["annotations"]:
            x, y, width, height = one["bbox"]
            one["bbox"] = [x - grow, y - grow, width + 2 * grow, height + 2 * grow]
        (tmp_path / name).write_text(json.dumps(content))
        reader = name.removesuffix(".json")
        status, said, err = run(capsys, "import", tmp_path / name, "--into", images, "--reader", reader)
        assert (status, err) == (0, "") and said.count("boxes added: 1.") == 6
    status, said, _ = run(capsys, "agreement", images, "--json", tmp_path / "a.json")
    assert status == 0 and said.startswith("published (reference) and wider: 6 cases")
    result = json.loads((tmp_path / "a.json").read_text())
    expected = []
    for row in rows:
        y0, x0, y1, x1 = (float(row[f"box_{name}"]) for name in ("y0", "x0", "y1", "x1"))
        expected.append((y1 - y0) * (x1 - x0) / ((y1 - y0 + 4) * (x1 - x0 + 4)))
    assert sorted(result["ious"]) == pytest.approx(sorted(expected))
    assert len({case["case_id"] for case in result["cases"]}) == 6, "pictures of one folder are told apart"
    out = tmp_path / "again.json"
    assert run(capsys, "export", images, "--to", "coco", "--out", out, "--readers", "published")[0] == 0
    again = json.loads(out.read_text())
    assert len({image["file_name"] for image in again["images"]}) == 6
    status, said, _ = run(capsys, "import", out, "--into", images, "--reader", "third")
    assert status == 0 and said.count("boxes added: 1.") == 6
