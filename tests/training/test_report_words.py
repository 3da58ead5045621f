"""What the report says of protocol, split and recipe: only what counted, and the same in every process."""

import re

import numpy as np
import pytest
from test_report import Page, challenge, igm

from napari_breast_ai.training.protocol import ProtocolSpec
from napari_breast_ai.training.recipe import read_recipe, recipe_names
from napari_breast_ai.training.records import make_run
from napari_breast_ai.training.report import make_report
from napari_breast_ai.training.report_figures import Line, lines_svg
from napari_breast_ai.training.report_words import protocol_words, used_settings

MANY = 120


def page(document, **more):
    return Page(make_report([make_run(document | more)])).words


def repeated_run(patients=MANY):
    """3 shuffles whose folds differ from one to the next."""
    data = challenge(patients)
    for row in data["predictions"]:
        number, repeat = int(row["patient_id"][1:]), row.pop("shuffle")
        row |= {"repeat": repeat, "fold": (number // 4 + (number % 3) * repeat) % 3 + 1}
    return data


@pytest.mark.parametrize(
    ("given", "words", "unsaid"),
    [
        ({"kind": "sequential"}, ["first 80 %", "5-fold", "last 20 %"], ["7", "shuffled"]),
        ({"kind": "kfold", "folds": 4}, ["4-fold", "judged once"], ["80", "7"]),
        ({"kind": "repeated", "folds": 3}, ["3 × 3-fold", "shuffled 3 times"], ["80", "7"]),
        ({"kind": "column"}, ["column split"], ["5", "80", "Seed"]),
        ({"kind": "fractions"}, ["7, 1, 2"], ["5-fold", "80"]),
    ],
)
def test_the_protocol_is_told_with_the_numbers_that_count(given, words, unsaid):
    spec = ProtocolSpec(**given)
    said = protocol_words(vars(spec) | {"seed": 3})
    assert all(word in said for word in words) and not any(word in said for word in unsaid), said
    assert ("Seed of the shuffles: 3." in said) == (given["kind"] != "column")


def test_a_protocol_of_another_program_is_shown_as_it_is():
    assert (
        protocol_words({"kind": "leave one out"}) == ""
        and protocol_words({"kind": "kfold", "folds": "x"}) == ""
    )
    assert "leave one out" in page(igm(10), protocol={"kind": "leave one out", "seed": 4})


def test_every_patient_is_told_with_her_fold_in_every_shuffle():
    data = repeated_run()
    words = page(data)
    folds = {}
    for row in data["predictions"]:
        folds.setdefault(row["patient_id"], {})[row["repeat"]] = row["fold"]
    for patient, own in folds.items():
        assert f" {patient} {own[1]} · {own[2]} · {own[3]} " in f"{words} "
    assert "the fold that judged her in repeat 1, 2, 3" in words
    listed = words[words.index("The split, patient by patient, held-out part") :]
    assert listed.count(" · ") == 2 * MANY, "one line a patient"


def test_classes_stand_in_the_models_order():
    words = page(repeated_run(20))
    at = [words.index(f" {label}", words.index("patients with")) for label in ("malignancy", "normal", "IDC")]
    assert at == sorted(at)


@pytest.mark.parametrize("name", recipe_names())
def test_settings_that_a_fit_does_not_use_are_not_shown(name):
    recipe = read_recipe(name)
    content = recipe.to_json()
    used = used_settings(content)
    assert content == recipe.to_json(), "nothing is taken from the evaluation itself"
    if not recipe.needs_weights or content.get("kind") == "table":
        return
    fit, method = used["fit"], content["fit"]["method"]
    assert ("tuning" in fit) == (method == "finetune")
    assert ("epochs" in fit) == (method in ("sgd", "finetune"))
    assert ("iterations" in fit) == (method in ("narrow", "ridge"))
    assert ("attention" in fit) == (content["pooling"] == "attention")
    assert all(fit[key] == content["fit"][key] for key in fit) and fit["method"] == method
    assert "protocol" not in used


def test_pictures_have_no_phase_and_no_slice_number():
    content = read_recipe("gap-squeezenet", ["preparation.source.kind=picture"]).to_json()
    words = page(repeated_run(20), recipe=content, input=content["preparation"])
    assert "picture" in words and "nearest_time" not in words and "tuning" not in words
    assert ", slice " not in words and ", slice 10" in page(igm(30, strength=0.2))


def test_random_weights_are_said_where_it_matters():
    assert "random weights" not in page(igm(10), made={"weights": "net.safetensors sha256 00"})
    assert "The backbone began with random weights" in page(igm(10), made={"weights": "random"})


def test_equal_comparisons_are_not_shown_twice():
    runs = [make_run(challenge(40, seed=seed) | {"name": f"run {seed}"}) for seed in (1, 2)]
    words = Page(make_report(runs)).words
    assert "Per patient, on the same cases" in words and "Per slice, on the same cases" not in words
    assert "How run 1 was made" in words
    several = [make_run(igm(30, seed=seed) | {"name": f"run {seed}"}) for seed in (1, 2)]
    assert "Per slice, on the same cases" in Page(make_report(several)).words


def test_numbers_on_an_axis_do_not_touch_its_name():
    svg = lines_svg([Line(np.array([1.0, 2.0]), np.array([0.83, 0.92]), "a")], "epoch", "AUC", "t")
    ticks = [line for line in svg.split("<text")[1:] if 'text-anchor="end"' in line]
    left = min(float(line.split('x="')[1].split('"')[0]) for line in ticks)
    longest = max(len(line.split(">")[1].split("<")[0]) for line in ticks)
    # Of 12 units' height a digit is 6.7 wide; the name stands upright left of 18.
    assert longest >= 4 and left - 6.7 * longest > 18


def test_a_test_part_is_no_fold_and_thresholds_read_the_same_everywhere():
    data = igm(40)
    for row in data["predictions"]:
        row |= {"repeat": 1, "fold": 6 if row["part"] == "test" else row["fold"] + 1}
    words = page(data)
    assert "repeat 1, fold 5" in words and "fold 6" not in words
    (chosen,) = set(re.findall(r"Patients at (0\.\d+)", words)) - {"0.5"}
    assert f"at {chosen} (Wilson 95 %)" in words and f"Threshold {chosen}:" in words


def test_a_model_without_attention_says_so():
    content = read_recipe("squeezenet-narrow").to_json()
    assert "This model has no attention" in page(igm(10), recipe=content)
    attends = read_recipe("attention-squeezenet").to_json()
    assert "holds no figures on where" in page(igm(10), recipe=attends)
