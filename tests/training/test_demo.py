import json

import numpy as np
import pytest
import torch

from napari_breast_ai.inference import predict
from napari_breast_ai.models import list_bundles, load_bundle
from napari_breast_ai.training import demo
from napari_breast_ai.training.cohort import FIRST_SEED, CohortSpec
from napari_breast_ai.training.localisation import peak

NAMES = (demo.ATTENTION, demo.NARROW)
SHIPPED = (demo.ATTENTION,)
MEGABYTE = 1_000_000


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
    cohort = CohortSpec(patients=15, matrix=(48, 48), slice_mm=(20.0, 20.0))
    found = demo.make_demo(
        out,
        demo.DemoSpec(epochs=1, narrow=True, held_out=4),
        cohort=cohort,
        progress=lambda *step: told.append(step[2]),
    )
    return out, found, told


def test_the_command_writes_two_bundles_that_load_with_their_figures(tiny):
    out, found, told = tiny
    assert {folder.name for folder in out.iterdir()} == set(NAMES) == set(found)
    for name in NAMES:
        bundle = load_bundle(out / name)
        assert bundle.ref.name == name and bundle.spec.backbone.origin == demo.ORIGIN
        assert bundle.evaluation["held-out"] == json.loads(json.dumps(found[name].to_json()))
        parts = bundle.evaluation["split"]["patients"]
        assert {part: sum(n.values()) for part, n in parts.items()} == {
            "training": 10,
            "validation": 2,
            "second validation": 3,
            "held-out test": 4,
        }
        assert sum(found[name].patients.values()) == 4
    assert {"making phantoms", "training, epoch 1", "scoring slices"} <= set(told)


def test_the_narrow_head_stands_on_a_backbone_of_our_own(tiny):
    out, _, _ = tiny
    narrow, attention = load_bundle(out / demo.NARROW).model, load_bundle(out / demo.ATTENTION).model
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
    assert status == 1 and "1 to" in caplog.text


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
    assert bundle.spec.backbone.origin == demo.ORIGIN
    held_out = bundle.evaluation["held-out"]
    for figure in held_out["auc"].values():
        assert figure["low"] <= figure["value"] <= figure["high"]
    # The card gives the numbers of the evaluation.
    figure = held_out["auc"]["IGM against NME/per patient"]
    assert f"| IGM against NME, per patient, AUC | {figure['value']:.3f} |" in bundle.card
    assert sum(held_out["patients"].values()) == len(held_out["cases"])
    assert bundle.evaluation["training"]["command"] in bundle.card
    # No phantom that people make by hand was trained on.
    assert all(int(case.removeprefix("phantom-")) >= FIRST_SEED for case in held_out["cases"])


@pytest.fixture(scope="module")
def unseen(phantom_factory):
    return phantom_factory("nme", seed=4711, shape=(24, 256, 256))


def test_shipped_attention_model_finds_the_lesion_of_an_unseen_phantom(unseen):
    prediction = predict(unseen.volume, load_bundle(demo.ATTENTION))
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
    prediction = predict(unseen.volume, load_bundle(tiny[0] / demo.NARROW), boxes=unseen.truth.boxes)
    total = prediction.probabilities["IGM"] + prediction.probabilities["NME"]
    np.testing.assert_allclose(total, 1, rtol=1e-5)
    assert set(prediction.case.voting_slices["diagnosis"]) == {box.z for box in unseen.truth.boxes}
    assert prediction.attention is None
