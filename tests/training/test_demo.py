from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_breast_ai.inference import predict
from napari_breast_ai.inference.questions.place import peak
from napari_breast_ai.models import list_bundles, load_bundle
from napari_breast_ai.models.bundle import change_bundle
from napari_breast_ai.training import demo
from napari_breast_ai.training.cohort import FIRST_SEED, CohortSpec
from napari_breast_ai.training.demo_backbone import ATTENTION, NARROW, ORIGIN, attention_fit, kept_backbone
from napari_breast_ai.training.known import hidden

NAMES = (ATTENTION, NARROW)
SHIPPED = (ATTENTION,)
MEGABYTE = 1_000_000
COHORT = CohortSpec(patients=30, matrix=(48, 48), slice_mm=(20.0, 20.0))
SPEC = demo.DemoSpec(epochs=1, narrow=True, held_out=5, threads=1)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """The whole way of the command on a small cohort of coarse phantoms."""
    out = tmp_path_factory.mktemp("demo")
    told = []
    written = demo.make_demo(
        out, SPEC, cohort=COHORT, cache=out.parent / "cache", progress=lambda *step: told.append(step[2])
    )
    return out, written, told


def test_the_command_writes_two_bundles_that_load_with_their_figures(tiny):
    out, written, told = tiny
    assert [folder.name for folder in written] == list(NAMES)
    for name in NAMES:
        bundle = load_bundle(out / name)
        evaluation = bundle.evaluation
        assert bundle.ref.name == name and bundle.spec.backbone.origin == ORIGIN
        assert len(bundle.folds) == 5
        assert (
            set(evaluation["figures"]) == {"validation", "test"}
            and "synthetic phantoms" in evaluation["data"]
        )
        assert bundle.ranges.studies == 30 and bundle.ranges.features is not None
        assert bundle.card.count("## What it has seen") == 1
        parts = evaluation["phantoms"]["patients"]
        assert [sum(n.values()) for n in parts.values()] == [20, 3, 7, 5]
        # Every phantom was judged by models that had not seen it, and once.
        judged = [(one["patient_id"], one["part"]) for one in evaluation["patients"]]
        assert len(set(judged)) == len(judged)
        tested = {patient for patient, part in judged if part == "test"}
        assert not tested & {patient for patient, part in judged if part == "validation"}
    assert {"making phantoms", "training, epoch 1", "features", "fitting heads"} <= set(told)


def test_what_was_learnt_from_is_told_and_the_test_is_not(tiny):
    told = load_bundle(tiny[0] / ATTENTION).evaluation["trained_on"]
    seeds = {"learnt": (FIRST_SEED, FIRST_SEED + 29), "tested": (2 * FIRST_SEED,)}
    assert len(told["patients"]) == 30
    for what, some in seeds.items():
        for seed in some:
            assert (hidden(f"phantom-{seed}", told["salt"]) in told["patients"]) is (what == "learnt")


def test_the_folds_are_other_models_than_the_final_one(tiny):
    bundle = load_bundle(tiny[0] / ATTENTION)
    own = bundle.model.head.output.weight
    heads = [head.output.weight for _, head in bundle.folds]
    assert all(not torch.equal(head, own) for head in heads)
    assert all(not torch.equal(one, other) for i, one in enumerate(heads) for other in heads[:i])


def test_a_kept_backbone_gets_the_same_head_again(tiny):
    out, _, _ = tiny
    had = load_bundle(out / ATTENTION)
    demo.make_demo(out, replace(SPEC, narrow=False), cohort=COHORT, keep=True, cache=out.parent / "cache")
    made = load_bundle(out / ATTENTION)
    assert made.ref == had.ref
    assert made.evaluation | {"command": ""} == had.evaluation | {"command": ""}
    assert "has not been rerun as one" in made.card and "has not been rerun as one" not in had.card
    for one, other in zip(made.folds, had.folds, strict=True):
        for part, same in zip(one, other, strict=True):
            torch.testing.assert_close(part.state_dict(), same.state_dict(), rtol=0, atol=0)


def test_a_bundle_of_something_else_has_no_backbone_to_keep(tmp_path, caplog, tiny):
    had = load_bundle(tiny[0] / ATTENTION)
    bare = {name: value for name, value in had.evaluation.items() if name != "backbone"}
    change_bundle(had, tmp_path / ATTENTION, evaluation=bare)
    status = demo.main(
        ["--out", str(tmp_path), "--keep-backbone", "--cache", str(tmp_path), "--threads", "1"]
    )
    assert status == 1 and "how its backbone was made" in caplog.text


@pytest.mark.parametrize("other", [["--patients", "300"], ["--seed", "1"], ["--epochs", "13"]])
def test_a_backbone_of_other_phantoms_is_not_kept(tmp_path, caplog, other):
    change_bundle(load_bundle(ATTENTION), tmp_path / ATTENTION)
    status = demo.main(
        ["--out", str(tmp_path), "--keep-backbone", "--cache", str(tmp_path), "--threads", "1", *other]
    )
    assert status == 1 and "may have learnt from" in caplog.text


def test_the_shipped_backbone_is_of_the_command_on_its_card():
    phantoms, how = demo.Phantoms.of(demo.DemoSpec()), attention_fit(14, 0)
    assert kept_backbone(load_bundle(ATTENTION).folder, phantoms.told(), how).kept


def test_the_narrow_head_stands_on_a_backbone_of_our_own(tiny):
    out, _, _ = tiny
    narrow, attention = load_bundle(out / NARROW).model, load_bundle(out / ATTENTION).model
    assert narrow.spec.recipe == "squeezenet-narrow" and narrow.spec.head.hidden == 10
    # One image as published, against three in the attention model.
    assert len(narrow.spec.preparation.sources) == 1 and len(attention.spec.preparation.sources) == 3
    first = [model.backbone.state_dict()["features.0.weight"] for model in (narrow, attention)]
    # It went on from the attention model's weights: close to them, and not the same.
    assert not torch.equal(*first)
    assert torch.corrcoef(torch.stack([w.flatten() for w in first]))[0, 1] > 0.9


def test_a_cohort_that_is_too_small_is_said_by_the_command(tmp_path, caplog):
    status = demo.main(
        ["--out", str(tmp_path), "--patients", "0", "--cache", str(tmp_path), "--threads", "1"]
    )
    assert status == 1 and "too few patients" in caplog.text


def test_shipped_bundles_are_small_and_listed():
    shipped = [info for info in list_bundles() if info.origin == "shipped"]
    assert {info.name for info in shipped} >= set(SHIPPED)
    size = sum(file.stat().st_size for info in shipped for file in info.folder.iterdir())
    assert size <= 6 * MEGABYTE
    assert all(info.problem == "" for info in shipped)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_bundles_say_what_they_are(name):
    bundle = load_bundle(name)
    for words in (
        "synthetic phantoms only",
        "Research use only",
        "split by patient",
        "no ImageNet",
        "Held-out",
    ):
        assert words in bundle.card, words
    assert bundle.spec.backbone.origin == ORIGIN
    assert bundle.ranges.studies == 200 and "## What it has seen" in bundle.card
    figures = bundle.evaluation["figures"]
    for part in ("validation", "test"):
        for figure in figures[part].values():
            assert figure["low"] <= figure["value"] <= figure["high"]
    # The card gives the numbers of the evaluation.
    figure = figures["test"]["IGM against NME/per patient/AUC"]
    assert f"| IGM against NME, per patient, AUC | {figure['value']:.3f} |" in bundle.card
    assert bundle.evaluation["command"] in bundle.card
    # No phantom that people make by hand was trained on.
    assert all(
        int(one["patient_id"].removeprefix("phantom-")) >= FIRST_SEED for one in bundle.evaluation["patients"]
    )


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_bundles_bring_all_that_the_review_dock_shows(name, unseen):
    bundle = load_bundle(name)
    assert len(bundle.folds) == 5
    assert bundle.operating_point("lesion") is not None and bundle.operating_point("IGM") is not None
    assert bundle.calibration.has_error and set(bundle.calibration.temperatures) == {"lesion", "diagnosis"}
    case = predict(unseen.volume, bundle).case
    assert set(case.intervals) == {"lesion", "IGM", "NME"}
    for label, (low, high) in case.intervals.items():
        assert 0 <= low < case.probabilities[label] < high <= 1
    assert "5 models" in case.interval_rule and "calibration's error" in case.interval_rule
    assert "lesion calibrated at temperature" in case.rule


@pytest.fixture(scope="module")
def unseen(phantom_factory):
    return phantom_factory("nme", seed=4711, shape=(24, 256, 256))


def test_shipped_attention_model_finds_the_lesion_of_an_unseen_phantom(unseen):
    prediction = predict(unseen.volume, load_bundle(ATTENTION))
    lesion = unseen.truth.lesion.sum((1, 2))
    score = prediction.probabilities["lesion"]
    assert all(np.isfinite(values).all() for values in prediction.probabilities.values())
    assert np.isfinite(prediction.attention).all()
    assert not prediction.warnings
    assert score[lesion > 0].max() > 2 * np.median(score[lesion == 0])
    assert score[lesion > 0].mean() > score[lesion == 0].mean() + 0.2
    # On the slice with the most of the lesion the attention's peak lies within 15 mm of it.
    z = int(np.argmax(lesion))
    y, x = peak(prediction.attention[z], unseen.volume.geometry.shape[1:])
    rows, columns = np.nonzero(unseen.truth.lesion[z])
    assert np.hypot(rows - y, columns - x).min() * unseen.volume.geometry.spacing[1] < 15


def test_narrow_model_lets_boxed_slices_vote(tiny, unseen):
    prediction = predict(unseen.volume, load_bundle(tiny[0] / NARROW), boxes=unseen.truth.boxes)
    total = prediction.probabilities["IGM"] + prediction.probabilities["NME"]
    np.testing.assert_allclose(total, 1, rtol=1e-5)
    assert set(prediction.case.voting_slices["diagnosis"]) == {box.z for box in unseen.truth.boxes}
    assert prediction.attention is None
