import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_breast_ai.core import Cancelled
from napari_breast_ai.inference import prepare, to_input
from napari_breast_ai.models import RECIPES
from napari_breast_ai.training.cohort import CohortSpec, make_cohort, prepare_case
from napari_breast_ai.training.errors import TrainingError
from napari_breast_ai.training.examples import Examples

SMALL = CohortSpec(patients=3, matrix=(48, 48), slice_mm=(12.0, 20.0))


@pytest.fixture(scope="module")
def preparation():
    return replace(RECIPES["attention-squeezenet"].preparation, size=(64, 64))


@pytest.fixture(scope="module")
def cohort(preparation, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort")
    return make_cohort(SMALL, preparation, cache=folder), folder


def test_prepared_slices_are_what_a_prediction_would_see(phantom_factory, preparation):
    phantom = phantom_factory("igm", seed=3)
    case = prepare_case("a", phantom.volume, phantom.truth.boxes, preparation)
    slices = range(phantom.volume.n_slices)
    expected = prepare(phantom.volume, preparation, slices).images
    seen = to_input(case.grey(slices), preparation)
    # Stored in 8 bits: half a grey level, through the mode's division by the standard deviation.
    assert (seen - expected).abs().max() < 0.51 / 255 / 0.224
    assert case.patients == ("a",) * len(slices) and case.slices == tuple(slices)


def test_boxes_stay_on_the_lesion(phantom_factory, preparation):
    phantom = phantom_factory("igm", seed=3)
    case = prepare_case("a", phantom.volume, phantom.truth.boxes, preparation)
    lesion = torch.from_numpy(phantom.truth.lesion.astype(np.float32))[:, None]
    resized = torch.nn.functional.interpolate(lesion, size=(64, 64), mode="bilinear", antialias=True)[
        :, 0
    ].numpy()
    assert sum(map(len, case.boxes)) == len(phantom.truth.boxes) > 0
    for z, boxes in enumerate(case.boxes):
        for box in boxes:
            inside = resized[
                z, max(0, round(box.y0)) : round(box.y1) + 1, max(0, round(box.x0)) : round(box.x1) + 1
            ]
            assert inside.max() > 0.3
            assert box.label == "IGM" and box.z == z


def test_every_patient_is_another_woman_with_all_slices(cohort):
    examples, _ = cohort
    assert list(examples.case_diagnoses.values())[:2] == ["IGM", "NME"]
    assert len(set(examples.patients)) == 3
    firsts = [examples.patients.index(p) for p in examples.case_diagnoses]
    assert examples.slices[firsts[1] - 1] == firsts[1] - 1  # the first patient's slices are all there
    seeds = {CohortSpec(seed=s).phantom(i, 120).seed for s in (0, 1) for i in range(200)}
    assert len(seeds) == 400
    assert [CohortSpec().phantom(i, 120).kind for i in range(5)] == ["igm", "nme", "igm", "nme", "normal"]


def test_phantoms_have_the_phase_that_the_model_wants_and_no_more():
    for i in range(40):
        spec = CohortSpec().phantom(i, 300.0)
        # A phase more would not be nearer.
        last = (spec.n_phases - 1) * spec.interval_s
        assert abs(last - 300) <= abs(last + spec.interval_s - 300)
        assert abs(last - 300) <= spec.interval_s / 2
        assert 3.5 <= spec.slice_mm <= 6.0 and spec.problems() == []


def test_cache_gives_the_same_slices_without_volumes_and_without_pickle(cohort, preparation):
    examples, folder = cohort
    files = sorted(folder.iterdir())
    assert len(files) == 3
    with np.load(files[0], allow_pickle=False) as stored:
        assert set(stored) == {"images", "boxes", "facts"} and stored["images"].shape[1] == 3
        json.loads(str(stored["boxes"]))
    before = [file.stat().st_mtime_ns for file in files]
    again = make_cohort(SMALL, preparation, cache=folder)
    assert [file.stat().st_mtime_ns for file in sorted(folder.iterdir())] == before
    assert np.array_equal(again.images, examples.images) and again.boxes == examples.boxes
    assert again.facts == examples.facts and set(again.facts) == set(examples.patients)
    # The mode is applied later, so that it makes nothing anew; the image source does.
    make_cohort(SMALL, replace(preparation, mode="caffe"), cache=folder)
    assert len(list(folder.iterdir())) == 3
    phase = replace(preparation, channels=None)
    other = make_cohort(SMALL, phase, cache=folder)
    assert len(list(folder.iterdir())) == 6
    assert not np.array_equal(other.images, examples.images)


def test_processes_give_the_same_as_one(cohort, preparation):
    examples, _ = cohort
    seen = []
    spread = make_cohort(SMALL, preparation, workers=2, progress=lambda *told: seen.append(told))
    assert np.array_equal(spread.images, examples.images) and spread.patients == examples.patients
    assert seen == [(i, 3, "making phantoms") for i in (1, 2, 3)]


def test_cancel_leaves_whole_files_only(preparation, tmp_path):
    def stop(done, total, what):
        if done == 1:
            raise Cancelled

    with pytest.raises(Cancelled):
        make_cohort(SMALL, preparation, cache=tmp_path, progress=stop)
    (file,) = tmp_path.iterdir()
    with np.load(file) as stored:
        assert len(stored["images"])


def test_what_cannot_be_made_is_said(preparation, tmp_path):
    with pytest.raises(TrainingError, match="1 to"):
        make_cohort(replace(SMALL, patients=0), preparation)
    with pytest.raises(TrainingError, match="times between phases"):
        make_cohort(replace(SMALL, interval_s=(60, 30)), preparation)
    with pytest.raises(TrainingError, match="distances between slices"):
        make_cohort(replace(SMALL, slice_mm=(0, 3)), preparation)
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="cannot be used"):
        make_cohort(SMALL, preparation, cache=tmp_path / "file")
    assert isinstance(make_cohort(replace(SMALL, patients=1), preparation), Examples)
