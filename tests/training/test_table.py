import numpy as np
import pytest
from PIL import Image

from napari_breast_ai.cli import main
from napari_breast_ai.core import Box
from napari_breast_ai.models import ImageSource, PreparationSpec
from napari_breast_ai.training.errors import TrainingError
from napari_breast_ai.training.gather import check_images, examples_from
from napari_breast_ai.training.order import Order
from napari_breast_ai.training.outlook import check
from napari_breast_ai.training.table import ask, check_labels, read_cohort

PICTURE = PreparationSpec(ImageSource("picture"), (64, 64))


def write(folder, lines, images=True):
    table = folder / "cohort.csv"
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    rng = np.random.default_rng(0)
    for line in lines[1:] if images else ():
        for cell in line.split(","):
            if cell.endswith(".png") and not cell.startswith("no"):
                Image.fromarray(rng.integers(0, 255, (40, 50), np.uint8)).save(folder / cell)
    return table


def texts(problems, line):
    return [problem.text for problem in problems if problem.line == line]


def test_everything_wrong_with_a_table_is_said_on_its_line(tmp_path):
    table = write(
        tmp_path,
        [
            "case_id,patient_id,path,label,split",
            "a,p1,a.png,yes it is,train",
            "a,p2,b.png,other,train",
            "c,p3,a.png,other,",
            "d,,d.png,other,",
            "e,p5,none.png,other,practice",
            "f,p1,f.png,other,test",
        ],
    )
    cohort = read_cohort(table)
    assert "stands in line 2 already under another patient" in texts(cohort.problems, 3)[0]
    assert "under another patient" in texts(cohort.problems, 4)[0]
    assert texts(cohort.problems, 5) == ["It has no patient_id. Fill it in."]
    assert "nothing at none.png" in texts(cohort.problems, 6)[0]
    assert "practice" in texts(cohort.problems, 6)[1]
    assert "two splits" in texts(cohort.problems, 7)[0]
    found = check_labels(cohort, ask(cohort, ["label"]), folds=5)
    (differing,) = [one for one in found if "cases that differ in label (“p1” in lines 2 and 7)" in one.text]
    assert not differing.fatal
    assert any("5 folds need at least 5" in text for text in texts(found, 0))
    assert all(problem.fatal for problem in cohort.problems)


def test_columns_become_questions(tmp_path):
    lines = [
        "case_id;patient_id;path;Grade;ki67 high",
        *(f"c{i};p{i};{i}.png;{'ABC'[i % 3]};{i % 2}" for i in range(6)),
    ]
    cohort = read_cohort(write(tmp_path, lines, images=False))
    (grade,), (pair, binary) = ask(cohort, ["grade"]), ask(cohort, ["Grade=C,A", "ki67 high"])
    assert grade.group.labels == ("A", "B", "C")
    assert pair.group.labels == ("C", "A")
    assert [pair.answer(row) for row in cohort.rows[:3]] == ["A", "", "C"]
    assert (binary.group.labels, binary.group.activation) == (("ki67 high",), "sigmoid")
    assert binary.answer(cohort.rows[1]) == "1"
    with pytest.raises(TrainingError, match="no column “age”"):
        ask(cohort, ["age"])
    with pytest.raises(TrainingError, match="two questions"):
        ask(cohort, ["Grade", "grade=A,B"])


def test_a_table_that_is_none_is_said(tmp_path):
    with pytest.raises(TrainingError, match="no column patient_id"):
        read_cohort(write(tmp_path, ["case_id,path", "a,b"], images=False))


def test_images_are_looked_into(tmp_path, capsys):
    table = write(
        tmp_path,
        [
            "case_id,patient_id,path,label,box_y0,box_x0,box_y1,box_x1",
            "a,p1,a.png,x,3,4,10,20",
            "b,p2,b.png,y,50,4,60,20",
            "c,p3,c.png,x,,,,",
            "d,p4,d.png,y,,,,",
        ],
    )
    (tmp_path / "c.png").write_bytes((tmp_path / "a.png").read_bytes())
    (tmp_path / "d.png").write_bytes(b"no picture")
    cohort = read_cohort(table)
    found = list(check_images(cohort))
    assert "outside the image" in texts(found, 3)[0]
    assert "The same images stand in line 2, under another patient (“p1”)" in texts(found, 4)[0]
    assert "cannot be read as a picture" in texts(found, 5)[0]
    assert not texts(found, 2)
    assert main(["cohort", "check", str(table), "--labels", "label"]) == 0
    assert main(["cohort", "check", str(table), "--label", "label", "--read"]) == 1
    out = capsys.readouterr()
    assert "line 4: The same images" in out.out
    assert "must be put right" in out.err


def test_a_picture_becomes_an_example_with_its_box(tmp_path):
    lines = [
        "case_id,patient_id,path,label,box_y0,box_x0,box_y1,box_x1",
        "a,p1,a.png,x,0,0,19,24",
        "b,p2,b.png,y,,,,",
    ]
    cohort = read_cohort(write(tmp_path, lines))
    examples, problems = examples_from(cohort, ask(cohort, ["label"]), PICTURE)
    assert not problems
    assert examples.labels == {"label": ("x", "y")}
    assert examples.cases == ("a", "b")
    (box,) = examples.boxes[0]
    # The upper left quarter of 40 × 50 is that of 64 × 64.
    np.testing.assert_allclose((box.y0, box.x0, box.y1, box.x1), (-0.5, -0.5, 31.5, 31.5))
    assert examples.boxes[1] == ()


def test_a_volume_gives_the_slices_that_a_reader_boxed(tmp_path):
    from napari_breast_ai.annotations import Journal, journal_path
    from napari_breast_ai.study import read_study

    for i in range(2):
        assert (
            main(
                ["phantom", str(tmp_path / f"s{i}"), "--kind=nme", f"--seed={i}", "--size=6x48x48", "--quiet"]
            )
            == 0
        )
    volume = read_study(tmp_path / "s0")
    for reader, z in (("ann", 2), ("ann", 4), ("bob", 1)):
        path = journal_path(tmp_path / "s0", volume.identity, reader)
        with_boxes = Journal(path, reader, study_uid=volume.identity.study_uid)
        with_boxes.add(Box(z, 10, 10, 20, 20, "NME"))
    cohort = read_cohort(
        write(tmp_path, ["case_id,patient_id,path,label", "a,p1,s0,x", "b,p2,s1,y"], images=False)
    )
    spec = PreparationSpec(ImageSource("phase", "post_index", 2), (64, 64))
    questions = ask(cohort, ["label"])
    with pytest.raises(TrainingError, match="2 readers"):
        examples_from(cohort, questions, spec)
    examples, problems = examples_from(cohort, questions, spec, reader="ann")
    assert examples.slices == (2, 4)
    assert "no lesion's box" in problems[0].text and not problems[0].fatal

    # The classes of the boxes themselves, slice by slice: lesions of one case need not be of one kind.
    path = journal_path(tmp_path / "s0", volume.identity, "ann")
    more = Journal(path, "ann", study_uid=volume.identity.study_uid)
    more.add(Box(4, 30, 30, 40, 40, "IGM"))
    more.add(Box(5, 30, 30, 40, 40, "IGM"))
    more.add(Box(3, 30, 30, 40, 40, "cyst"))
    (of_boxes,) = ask(cohort, ["boxes=IGM,NME"])
    assert not check_labels(cohort, [of_boxes], folds=5)
    examples, _ = examples_from(cohort, [of_boxes], spec, reader="ann")
    assert examples.slices == (2, 4, 5)
    assert examples.labels == {"boxes": ("NME", "IGM", "IGM")}, "a slice with both counts as the first"
    assert [len(boxes) for boxes in examples.boxes] == [1, 2, 1]
    # The look before the start counts what the training will take.
    order = Order(
        str(cohort.source), ("boxes=IGM,NME",), weights="random", reader="ann", out=str(tmp_path / "out")
    )
    found = []
    assert check(order, found.append).slices == 3
    assert [(one.problem.line, one.problem.fatal) for one in found] == [(3, False)]
    (other,) = ask(cohort, ["boxes=cyst,abscess"])
    assert examples_from(cohort, [other], spec, reader="ann")[0].slices == (3,)
    (none,) = ask(cohort, ["boxes=x,y"])
    with pytest.raises(TrainingError, match="no box of the classes that were asked for"):
        examples_from(cohort, [none], spec, reader="ann")
    with pytest.raises(TrainingError, match="Name the classes of boxes"):
        ask(cohort, ["boxes"])


def test_the_split_column_is_found_however_it_is_written(tmp_path):
    lines = [
        "case_id,patient_id,path,label,Split",
        "a,p1,a.png,x,train",
        "b,p1,b.png,y,test",
        "c,p2,c.png,y,odd",
    ]
    cohort = read_cohort(write(tmp_path, lines))
    assert cohort.rows[0].columns["split"] == "train"
    assert "two splits" in texts(cohort.problems, 3)[0]
    assert "“odd” is unknown" in texts(cohort.problems, 4)[0]
