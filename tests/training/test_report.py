"""The report, from the plain records of evaluation.json to the page."""

import copy
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from napari_breast_ai.cli import main
from napari_breast_ai.core.colors import OKABE_ITO
from napari_breast_ai.training.appraisal import answers, appraise, fold_aucs, questions
from napari_breast_ai.training.comparison import compare
from napari_breast_ai.training.errors import TrainingError
from napari_breast_ai.training.metrics import challenge_score, delong_test
from napari_breast_ai.training.records import hidden, make_run, read_run
from napari_breast_ai.training.report import make_report, write_report

DIAGNOSIS = {"name": "diagnosis", "labels": ["IGM", "NME"], "activation": "softmax", "gate": None}
LESION = {"name": "lesion", "labels": ["lesion"], "activation": "sigmoid", "gate": None}
CHALLENGE = ["malignancy", "normal", "other benign", "IDC", "other malignant"]


def document(rows, groups, **more):
    return {
        "schema": "napari-breast-ai/evaluation",
        "version": 1,
        "recipe": {"name": "squeezenet-narrow", "groups": groups},
        "protocol": {"grouped by": "patient"},
        "predictions": rows,
        **more,
    }


def igm(patients=40, seed=0, strength=1.5, one_class=False):
    """Slices of patients, 80 of 100 in folds and the others for the test."""
    rng = np.random.default_rng(seed)
    rows = []
    for p in range(patients):
        truth = "IGM" if p % 2 or one_class else "NME"
        test = p >= 0.8 * patients
        own = rng.normal() + strength * (truth == "IGM") - strength / 2
        for z in range(3 + p % 4):
            score = float(expit(2 * (own + 0.5 * rng.normal())))
            rows.append(
                {
                    "case_id": f"case-{p}",
                    "patient_id": f"secret-{p}",
                    "slice": 10 + z,
                    "fold": None if test else p % 5,
                    "part": "test" if test else "validation",
                    "scores": {"IGM": score, "NME": 1 - score},
                    "truth": {"diagnosis": truth},
                }
            )
    return document(rows, [DIAGNOSIS])


def challenge(patients=60, shuffles=3, seed=1):
    """Five scores of one slice a patient, judged once in every shuffle."""
    rng = np.random.default_rng(seed)
    truth = [CHALLENGE[1 + p % 4] for p in range(patients)]
    rows = []
    for shuffle in range(shuffles):
        for p, label in enumerate(truth):
            held = {label} | ({"malignancy"} if label in ("IDC", "other malignant") else set())
            rows.append(
                {
                    "case_id": f"c{p}",
                    "patient_id": f"p{p}",
                    "slice": 0,
                    "shuffle": shuffle + 1,
                    "fold": (p // 4) % 3 + 1,
                    "part": "held-out",
                    "scores": {x: float(expit(rng.normal() + 1.2 * (x in held))) for x in CHALLENGE},
                    "truth": {"scores": label},
                }
            )
    return document(rows, [{"name": "scores", "labels": CHALLENGE, "activation": "sigmoid"}])


class Page(HTMLParser):
    """Reads a page strictly: every element is closed where it must be."""

    EMPTY = ("meta", "img", "br", "line", "rect", "circle", "polyline", "polygon", "path")

    def __init__(self, text):
        super().__init__()
        self.open, self.text, self.links, self.tags = [], [], [], []
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "action", "xlink:href")]
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)

    @property
    def words(self):
        return re.sub(r"\s+", " ", " ".join(self.text))


def test_figures_are_those_of_the_records():
    run = make_run(igm())
    (question,) = questions(run.groups)
    appraisal = appraise(run)
    rows = [r for r in run.document["predictions"] if r["part"] == "test"]
    truth = np.array([r["truth"]["diagnosis"] == "IGM" for r in rows])
    scores = np.array([r["scores"]["IGM"] for r in rows])
    per_slice = appraisal.judged[question.name, "test", "slice"]
    assert per_slice.auc.value == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)
    assert per_slice.shares[0.5]["accuracy"].value == pytest.approx(((scores >= 0.5) == truth).mean())
    assert per_slice.auc.high - per_slice.auc.low > per_slice.auc_slices.high - per_slice.auc_slices.low
    means = {p: scores[[r["patient_id"] == p for r in rows]].mean() for p in {r["patient_id"] for r in rows}}
    per_patient = appraisal.judged[question.name, "test", "patient"]
    assert dict(zip(per_patient.answers.patients, per_patient.answers.scores, strict=True)) == pytest.approx(
        means
    )
    assert per_patient.auc.n == len(means) == 8
    assert appraisal.judged[question.name, "validation", "patient"].auc.n == 32


def test_thresholds_and_temperatures_come_from_the_validation_part_alone():
    data = igm()
    before = appraise(make_run(data))
    changed = copy.deepcopy(data)
    for row in changed["predictions"]:
        if row["part"] == "test":  # turn all truths of the test around
            row["truth"]["diagnosis"] = {"IGM": "NME", "NME": "IGM"}[row["truth"]["diagnosis"]]
    after = appraise(make_run(changed))
    for level in ("patient", "slice"):
        one, two = (j.judged["IGM against NME", "test", level] for j in (before, after))
        assert one.point == two.point and one.temperature == two.temperature
        assert one.point.threshold in one.shares and one.auc.value == pytest.approx(1 - two.auc.value)
        flattering = before.judged["IGM against NME", "validation", level]
        assert flattering.point is None and "flatter" in flattering.point_reason
    alone = appraise(make_run(document([r for r in data["predictions"] if r["part"] == "test"], [DIAGNOSIS])))
    lonely = alone.judged["IGM against NME", "test", "slice"]
    assert lonely.temperature is None and "no validation part" in lonely.temperature_reason


def test_a_gated_question_counts_unanswered_patients_as_wrong():
    rows = []
    for p, (label, gate) in enumerate([("IGM", 0.9), ("NME", 0.8), ("IGM", 0.2), (None, 0.1)]):
        for z in range(4):
            lesion = label is not None and z < 2
            rows.append(
                {
                    "case_id": f"c{p}",
                    "patient_id": f"p{p}",
                    "slice": z,
                    "part": "test",
                    "scores": {"lesion": gate if lesion else 0.05, "IGM": 0.7 if p != 1 else 0.1, "NME": 0.3},
                    "truth": {"lesion": "lesion" if lesion else [], "diagnosis": label if lesion else None},
                }
            )
    run = make_run(document(rows, [LESION, DIAGNOSIS | {"gate": "lesion"}]))
    detection, diagnosis = questions(run.groups)
    found = answers(run, detection, run.records, "patient")
    assert found.positive.tolist() == [True, True, True, False]
    assert found.scores[0] == pytest.approx((0.9 + 0.9 + 0.05) / 3)  # the mean of the three highest
    found = answers(run, diagnosis, run.records, "patient")
    assert found.patients == ("p0", "p1", "p2") and found.answered.tolist() == [True, True, False]
    assert found.scores.tolist() == pytest.approx([0.7, 0.1, 0.5])
    assert (found.called(0.5) == found.positive).tolist() == [True, True, False]
    assert (found.called(0.4) == found.positive).tolist() == [True, True, False]
    assert "no answer about a patient (1 times)" in Page(make_report([run])).words


def test_patients_with_contradicting_truths_are_left_out_and_said():
    data = igm(10)
    data["predictions"][0]["truth"]["diagnosis"] = "IGM"
    run = make_run(data)
    found = answers(run, questions(run.groups)[0], run.records, "patient")
    assert found.left_out == ("secret-0",) and "secret-0" not in found.patients
    assert "Left out, since their slices are of several classes: secret-0." in Page(make_report([run])).words


def test_malignancy_follows_from_its_kinds_and_repeats_count_once():
    run = make_run(challenge())
    by_name = {question.name: question for question in questions(run.groups)}
    found = answers(run, by_name["malignancy"], run.records, "slice")
    assert len(found.scores) == 60 and found.positive.sum() == 30
    rows = run.document["predictions"]
    mean = np.mean([row["scores"]["malignancy"] for row in rows if row["case_id"] == "c7"])
    assert found.scores[found.cases.index("c7")] == pytest.approx(mean)
    folds = {label: fold_aucs(run, by_name[label], "held-out") for label in CHALLENGE}
    assert list(folds["IDC"]) == [f"shuffle {s}, fold {f}" for s in (1, 2, 3) for f in (1, 2, 3)]
    one = [row for row in rows if row["shuffle"] == 2 and row["fold"] == 3]
    expected = roc_auc_score([r["truth"]["scores"] == "IDC" for r in one], [r["scores"]["IDC"] for r in one])
    assert folds["IDC"]["shuffle 2, fold 3"] == pytest.approx(expected)
    words = Page(make_report([run])).words
    weighted = [challenge_score({x: folds[x][fold] for x in CHALLENGE}) for fold in folds["IDC"]]
    assert f"{np.mean(weighted):.3f} ({np.std(weighted, ddof=1):.3f})" in words
    assert "committee does better than one model" in words


def test_runs_are_compared_on_the_cases_that_both_have():
    one, two = igm(seed=0), igm(seed=0)
    rng = np.random.default_rng(9)
    for row in two["predictions"]:
        row["scores"]["IGM"] = float(np.clip(row["scores"]["IGM"] + 0.3 * rng.normal(), 0, 1))
    two["predictions"] = [row for row in two["predictions"] if row["case_id"] != "case-39"]
    runs = make_run(one | {"name": "first"}), make_run(two | {"name": "second"})
    found = {(c.part, c.level): c for c in compare(runs)}
    per_slice = found["test", "slice"]
    keys = {(r["case_id"], r["slice"]) for r in two["predictions"]}
    a = [r for r in one["predictions"] if (r["case_id"], r["slice"]) in keys and r["part"] == "test"]
    b = [r for r in two["predictions"] if r["part"] == "test"]
    expected = delong_test(
        [r["scores"]["IGM"] for r in a],
        [r["scores"]["IGM"] for r in b],
        [r["truth"]["diagnosis"] == "IGM" for r in b],
    )
    assert per_slice.test == expected and per_slice.n == len(b)
    assert found["test", "patient"].n == 7 and found["test", "patient"].left_out == 1
    for level in ("patient", "slice"):
        tests = sorted((c for c in found.values() if c.level == level), key=lambda c: c.test.p)
        assert tests[0].p_holm == pytest.approx(min(1, 2 * tests[0].test.p))
        assert tests[1].p_holm == pytest.approx(max(tests[0].p_holm, tests[1].test.p))
    words = Page(make_report(runs)).words
    assert "IGM against NME, test: first against second" in words
    same = compare((runs[0], make_run(one | {"name": "again"})))
    assert all(c.test.p == 1 and c.difference.value == 0 for c in same)


@pytest.mark.parametrize("data", [igm(63), igm(6), igm(12, one_class=True), challenge()])
def test_the_page_needs_nothing_from_outside_and_says_what_it_must(data):
    text = make_report([make_run(data)])
    page = Page(text)
    assert "script" not in page.tags and not page.links
    assert "http" not in text.replace("http-equiv", "") and "url(" not in text
    assert not re.search(r"\bnan\b", text, re.IGNORECASE)
    for words in (
        "Research use only",
        "What it does not show",
        "No patient is in more than one",
        "not shown",
    ):
        assert words in page.words
    used = {color.lower() for color in re.findall(r'(?:stroke|fill)="(#[0-9a-fA-F]{6})"', text)}
    assert used <= set(OKABE_ITO.values())
    assert make_report([make_run(data)]) == text


def test_the_page_says_what_is_undefined_and_warns_of_few_patients():
    words = Page(make_report([make_run(igm(12, one_class=True))])).words
    assert "An AUC needs cases of both classes" in words and "No ROC curve" in words
    few = Page(make_report([make_run(igm(6))])).words
    assert "Few patients of a class were judged" in few
    noise = Page(make_report([make_run(igm(40, strength=0.0))])).words
    assert "better than guessing is not shown" in noise


def test_a_patient_on_two_sides_is_said():
    data = igm(10)
    data["predictions"][0]["part"] = "test"
    assert "Patients in more than one part: secret-0" in Page(make_report([make_run(data)])).words


def test_names_in_the_data_cannot_become_markup_and_can_be_hidden():
    data = igm(10)
    for row in data["predictions"]:
        row["case_id"] = f"<script>alert({row['case_id'][5:]})</script>"
    data["protocol"]["test patients"] = ["secret-8", "secret-9"]
    run = make_run(data)
    text = make_report([run])
    assert "<script" not in text and "secret-9" in text
    without = make_report([run], hide_names=True)
    assert "secret" not in without and "alert" not in without
    assert "patient 9, patient 10" in Page(without).words
    shown, also = hidden([run, run])
    assert [r.patient_id for r in shown.records] == [r.patient_id for r in also.records]


def test_failures_are_the_worst_one_a_patient_with_their_pictures(tmp_path):
    data = igm(40, strength=0.5)
    rows = [row for row in data["predictions"] if row["part"] == "test"]
    Image.fromarray(np.full((900, 600), 77, np.uint8)).save(tmp_path / "over.png")
    for row in rows:
        row["overlay"] = "over.png"
    (tmp_path / "evaluation.json").write_text(json.dumps(data))
    run = read_run(tmp_path / "evaluation.json")
    text = make_report([run])
    assert 1 <= text.count("data:image/jpeg;base64,") <= 6

    def miss(row):
        score = row["scores"]["IGM"]
        return 1 - score if row["truth"]["diagnosis"] == "IGM" else score

    worst = max(rows, key=miss)
    gallery = text[text.index('class="gallery"') :]
    assert gallery.index("<b>") == gallery.index(f"<b>{worst['case_id']}, slice {worst['slice']}</b>")
    (tmp_path / "over.png").write_text("no picture")
    assert "cannot be read" in Page(make_report([run])).words
    given = {(worst["case_id"], worst["slice"]): np.zeros((8, 8, 3))}
    assert make_report([run], pictures=given).count("data:image/jpeg") == 1
    assert make_report([run], pictures=given, hide_names=True).count("data:image/jpeg") == 1


def test_attention_and_the_course_of_training_are_shown_where_they_are():
    figure = {"value": 0.7, "low": 0.6, "high": 0.8, "n": 90, "interval": "Wilson 95%", "chance": 0.08}
    epochs = [
        {"epoch": e, "training loss": {"total": 1 / e}, "validation auc": {"IGM": 0.5}} for e in (1, 2, 3)
    ]
    more = {
        "figures": {"attention": {"peak inside true box": figure}},
        "training": {"folds": [{"fold": "fold 1", "history": {"kept epoch": 2, "epochs": epochs}}]},
    }
    words = Page(make_report([make_run(igm(10) | more)])).words
    assert "peak inside true box 0.700 (0.600 to 0.800) 90 0.080" in words
    assert "fold 1: loss by epoch" in words and "kept: 2" in words and "validation auc: IGM" in words
    assert "kept no course" in Page(make_report([make_run(igm(10))])).words


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not a JSON file"),
        ("[]", "no evaluation of this program"),
        (json.dumps({"schema": "napari-breast-ai/evaluation", "version": 2}), "newer version"),
        (json.dumps(document([], [])), "holds no predictions"),
        (
            json.dumps(document([{"case_id": "a", "scores": {"IGM": 2}, "truth": {}}], [DIAGNOSIS])),
            "no probability",
        ),
        (json.dumps(document([{"scores": {}, "truth": {}}], [DIAGNOSIS])), "Prediction 1 of"),
        (
            json.dumps(document([{"case_id": "a", "part": "train", "scores": {}, "truth": {}}], [DIAGNOSIS])),
            "training slices only",
        ),
    ],
)
def test_files_that_cannot_be_judged_are_refused_with_a_sentence(tmp_path, capsys, content, words):
    path = tmp_path / "evaluation.json"
    path.write_text(content)
    with pytest.raises(TrainingError, match=words):
        read_run(path)
    assert main(["report", str(path), "--out", str(tmp_path / "r.html")]) == 1
    assert words in capsys.readouterr().err and not (tmp_path / "r.html").exists()


def test_the_command_writes_one_page_of_several_runs(tmp_path, capsys):
    paths = []
    for seed in (0, 1):
        folder = tmp_path / f"run{seed}"
        folder.mkdir()
        (folder / "evaluation.json").write_text(json.dumps(igm(20, seed)))
        paths.append(str(folder / "evaluation.json"))
    out = tmp_path / "new" / "report.html"
    assert main(["report", *paths, "--out", str(out), "--sensitivity", "0.9", "--hide-names"]) == 0
    words = Page(out.read_text(encoding="utf-8")).words
    assert "sensitivity of at least 0.9" in words and "squeezenet-narrow (run0)" in words
    assert "20 patients in test, validation" in capsys.readouterr().out
    assert [path.name for path in out.parent.iterdir()] == ["report.html"]
    with pytest.raises(SystemExit):
        main(["report", *paths, "--out", str(out), "--sensitivity", "0"])


def test_nothing_to_report_and_nowhere_to_write(tmp_path):
    with pytest.raises(TrainingError, match="no run"):
        make_report([])
    (tmp_path / "file").write_text("")
    (tmp_path / "evaluation.json").write_text(json.dumps(igm(6)))
    with pytest.raises(TrainingError, match="cannot be written"):
        write_report([tmp_path / "evaluation.json"], tmp_path / "file" / "report.html")
    with pytest.raises(TrainingError, match="cannot be read"):
        read_run(tmp_path / "missing.json")


def test_without_the_recipes_groups_the_truths_name_them():
    data = igm(10)
    del data["recipe"]
    assert [g.labels for g in make_run(data).groups] == [("IGM", "NME")]
    data = challenge(12, 1)
    del data["recipe"]
    assert make_run(data).groups[0].activation == "sigmoid"


def test_what_train_writes_is_read_as_it_was_meant():
    """Questions under "labels", yes and no as "1" and "0", patients' own scores, and a threshold from elsewhere."""
    labels = [{"group": "dense", "column": "dense", "labels": ["dense"], "activation": "sigmoid"}]
    rng = np.random.default_rng(3)
    rows, patients = [], []
    for repeat in (1, 2):
        for p in range(20):
            place = {"patient_id": f"p{p}", "repeat": repeat, "fold": 1 + p % 2, "part": "test"}
            truth = {"dense": str(p % 2)} if p else {}  # nobody knows of the first
            score = float(expit(rng.normal() + p % 2))
            patients.append(place | {"scores": {"dense": score}, "truth": truth})
            for z in range(2):
                rows.append(
                    place
                    | {"case_id": f"c{p}", "slice": z, "scores": {"dense": score / (1 + z)}, "truth": truth}
                )
    data = document(rows, None, labels=labels, patients=patients, warnings=["Case c3 has no box."])
    data["recipe"] = None
    hidden_ids = {"version": 1, "salt": "s", "cases": 1, "patients": ["5a17ed"], "images": ["c0ffee"]}
    data |= {"trained_on": hidden_ids, "known": {"compared": "patients and images"}}
    data["operating_points"] = {
        "dense": {"threshold": 0.4321, "rule": "Youden", "chosen_on": "32 validation patients"}
    }
    run = make_run(data)
    (question,) = questions(run.groups)
    found = answers(run, question, run.records, "patient")
    assert found.patients == tuple(f"p{p}" for p in range(1, 20)) and found.positive.sum() == 10
    own = [row["scores"]["dense"] for row in patients if row["patient_id"] == "p5"]
    assert found.scores[found.patients.index("p5")] == pytest.approx(np.mean(own))
    judged = appraise(run).judged["dense", "test", "patient"]
    assert judged.point.threshold == 0.4321 and 0.4321 in judged.shares
    words = Page(make_report([run])).words
    assert (
        "Threshold 0.432: Youden, chosen on 32 validation patients." in words
        and "Case c3 has no box." in words
    )
    assert "5a17ed" not in words and "c0ffee" not in words, (
        "hashes of people and images tell a reader nothing"
    )
    without = Page(make_report([run], hide_names=True)).words
    assert "Case c3" not in without and not re.search(r"\bp\d", without)
