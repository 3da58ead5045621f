"""A study against what the model was trained on: what is out of range is found, and what is not, is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from napari_breast_ai.core import DceVolume, Geometry, Identity, PhaseTimes
from napari_breast_ai.inference import engine_for, make_images, plan_images
from napari_breast_ai.inference.fat_suppression import uneven_fat
from napari_breast_ai.inference.in_range import (
    RangeReport,
    check_range,
    feature_findings,
    margin,
    slice_vectors,
)
from napari_breast_ai.inference.late_order import late_order
from napari_breast_ai.inference.phase_order import phase_order
from napari_breast_ai.models import load_bundle
from napari_breast_ai.models.bundle import Bundle
from napari_breast_ai.models.ranges import FeatureSpace, Range, TrainingRanges
from napari_breast_ai.phantom import Phantom, acquisition, make_phantom
from napari_breast_ai.phantom import make as making
from napari_breast_ai.phantom.view import one_breast
from napari_breast_ai.study import read_study
from napari_breast_ai.training.cohort import CohortSpec


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle("demo-attention-squeezenet")


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    """A woman of the kind that the demo model was trained on, but none of those."""
    return make_phantom(CohortSpec(seed=5).phantom(0, 300.0))


def found(volume: DceVolume, bundle: Bundle) -> RangeReport:
    return check_range(volume, bundle.spec.preparation, bundle.ranges)


def about(report: RangeReport) -> set[str]:
    return {one.about for one in report.findings if one.severity != "note"}


def vectors(volume: DceVolume, bundle: Bundle, slices: list[int]) -> np.ndarray:
    plan = plan_images(volume, bundle.spec.preparation)
    engine = engine_for(bundle.model, torch.device("cpu"))
    return slice_vectors(engine.features(make_images(volume, plan, slices)))


def spaced(volume: DceVolume, factor: float) -> DceVolume:
    old = volume.geometry
    affine = old.affine.copy()
    affine[:3, :3] *= factor
    spacing = tuple(factor * one for one in old.spacing)
    return replace(volume, geometry=Geometry(old.shape, spacing, affine))  # type: ignore[arg-type]


def test_an_ordinary_phantom_is_in_range_with_its_features(phantom, bundle):
    own = vectors(phantom.volume, bundle, list(range(4, 24, 4)))
    report = check_range(phantom.volume, bundle.spec.preparation, bundle.ranges, own)
    assert report.findings == () and not report.outside
    assert report.known and report.features
    assert report.to_json()["findings"] == []


def test_half_the_spacing_is_said_with_both_numbers(phantom, bundle):
    report = found(spaced(phantom.volume, 0.5), bundle)
    assert {"spacing", "field"} <= about(report) and report.outside
    step = phantom.volume.geometry.spacing[0] / 2
    assert any(f"The slices are {step:.3g} mm apart; in the training" in one.text for one in report.findings)


@pytest.mark.parametrize("order", ["reversed", "exchanged", "wrong pre-contrast phase"])
def test_the_wrong_order_of_phases_is_noticed(phantom, bundle, order):
    volume = phantom.volume
    if order == "reversed":
        wrong = replace(volume, data=np.ascontiguousarray(volume.data[::-1]))
    elif order == "exchanged":
        wrong = replace(volume, data=volume.data[[1, 0, *range(2, volume.n_phases)]])
    else:
        wrong = replace(volume, pre_contrast=1)
    report = found(wrong, bundle)
    assert "contrast" in about(report)
    assert "may be in the wrong order" in report.findings[0].text
    # Without any ranges it is wrong, too.
    bare = check_range(wrong, bundle.spec.preparation, None)
    assert (
        bare.outside and not bare.known and "does not tell what it was trained on" in bare.findings[-1].text
    )


def test_subtractions_and_equal_phases_are_no_dynamic_study(phantom, bundle):
    volume = phantom.volume
    minus = replace(volume, data=volume.data.astype(np.float32) - volume.data[0])
    assert "negative, as in a subtraction" in found(minus, bundle).findings[0].text
    same = replace(volume, data=np.repeat(volume.data[:1], volume.n_phases, axis=0))
    assert "takes up contrast agent" in found(same, bundle).findings[0].text


def test_fat_that_is_not_suppressed_is_noticed(bundle, monkeypatch):
    monkeypatch.setattr(making, "fat_suppression", lambda scene: np.ones(len(scene.index), np.float32))
    bright = make_phantom(CohortSpec(seed=5).phantom(0, 300.0)).volume
    report = found(bright, bundle)
    assert "fat suppression" in about(report)
    assert any("Fat may not be suppressed" in one.text for one in report.findings)


def exchanged(volume: DceVolume, first: int, second: int) -> DceVolume:
    order = list(range(volume.n_phases))
    order[first], order[second] = second, first
    return replace(volume, data=volume.data[order])


def test_two_exchanged_phases_after_contrast_are_noticed_and_named(phantom, bundle):
    volume = phantom.volume
    plan = plan_images(volume, bundle.spec.preparation)
    assert late_order(volume) is None
    for pair in combinations(range(1, volume.n_phases), 2):
        wrong = exchanged(volume, *pair)
        found_here = late_order(wrong)
        assert found_here is not None and found_here.phases == pair
        assert f"Phases {pair[0]} and {pair[1]} may stand in each other's place" in found_here.text
        assert "times (Phantom) say that they do not" in found_here.text
    # Where the model sees one of them its scores are in doubt; else it is a remark for whoever reads the curves.
    report = found(exchanged(volume, plan.phase, plan.phase + 1), bundle)
    assert about(report) == {"contrast"} and report.outside
    unseen = [phase for phase in range(1, volume.n_phases) if phase not in (plan.phase, *plan.phases)]
    report = found(exchanged(volume, *unseen[-2:]), bundle)
    assert not report.outside and "The model sees neither of them" in report.findings[0].text


def test_very_large_numbers_do_not_matter(phantom, bundle):
    wrong = exchanged(phantom.volume, 2, 4)
    scaled = replace(wrong, data=(wrong.data * 1e30).astype(np.float32))
    found_here = late_order(scaled)
    assert found_here is not None and found_here == late_order(wrong)
    assert any("stand in each other's place" in one.text for one in found(scaled, bundle).findings)


@pytest.mark.parametrize("arrival_s, interval_s", [(60.0, 60.0), (25.0, 12.0)])
def test_contrast_that_comes_late_or_is_followed_closely_is_no_exchange(monkeypatch, arrival_s, interval_s):
    """The first phase after the injection shows nothing yet, or the course has its summit later."""
    monkeypatch.setattr(acquisition, "ARRIVAL_S", arrival_s)
    spec = replace(CohortSpec(seed=5, extent_mm=40.0).phantom(1, 300.0), interval_s=interval_s)
    assert late_order(make_phantom(spec).volume) is None


def test_no_phase_of_a_real_study_is_taken_for_another(data_dir, bundle):
    """25 phases of one slice: too close in time and too noisy for one exchange to be told, and none is."""
    volume = read_study(data_dir / "breast_dce_invivo" / "dicom")
    assert late_order(volume) is None
    assert uneven_fat(volume, 5) is None


def partly(where: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]) -> Callable[[Any], np.ndarray]:
    """Fat suppression that fails where a function of the place (0..1 along slices, rows, columns) says so."""
    usual = acquisition.fat_suppression

    def left(scene: Any) -> np.ndarray:
        shape = scene.geometry.shape
        at = [axis / (n - 1) for axis, n in zip(np.unravel_index(scene.index, shape), shape, strict=True)]
        return np.where(where(*at), np.float32(0.7), usual(scene))

    return left


@pytest.mark.parametrize(
    "where, said",
    [
        (lambda z, y, x: x < 0.5, ", mostly in the right one,"),
        (lambda z, y, x: z > 0.6, "% of them what is bright"),
    ],
    ids=["one breast", "some slices"],
)
def test_fat_that_is_suppressed_in_part_is_noticed(phantom, bundle, monkeypatch, where, said):
    assert uneven_fat(phantom.volume, 2) is None
    monkeypatch.setattr(making, "fat_suppression", partly(where))
    report = found(make_phantom(CohortSpec(seed=5).phantom(0, 300.0)).volume, bundle)
    assert report.outside
    (text,) = [one.text for one in report.findings if "in part of the breasts only" in one.text]
    assert said in text and "Look at the images before contrast" in text


def test_fat_that_is_nowhere_suppressed_is_not_uneven(monkeypatch):
    """Of a protocol without fat suppression only the training's ranges can tell whether that is right."""
    monkeypatch.setattr(making, "fat_suppression", lambda scene: np.ones(len(scene.index), np.float32))
    assert uneven_fat(make_phantom(CohortSpec(seed=5, extent_mm=60.0).phantom(2, 60.0)).volume, 1) is None


def test_one_breast_and_other_times_are_noticed(phantom, bundle):
    one = found(one_breast(phantom).volume, bundle)
    assert {"side", "field"} <= about(one)
    assert any("breast only; the training studies show both breasts" in x.text for x in one.findings)
    times = phantom.volume.times
    slow = replace(phantom.volume, times=PhaseTimes(tuple(2.5 * t for t in times.start_s), times.source))
    assert "timing" in about(found(slow, bundle))


def ultrasound(folder: Path, count: int) -> list[np.ndarray]:
    files = sorted((folder / "busi_odd" / "images").iterdir())[:count]
    return [np.asarray(Image.open(file).convert("L").resize((256, 256)), np.float32) for file in files]


def test_ultrasound_is_not_taken_for_mr(data_dir, phantom, bundle):
    file = sorted((data_dir / "busi_odd" / "images").iterdir())[0]
    report = found(read_study(file), bundle)
    assert report.outside and report.findings[0].severity == "unusable"
    # Even where the pictures are dressed as a dynamic study of the right size and times.
    pictures = np.stack(ultrasound(data_dir, 6))
    rise = np.linspace(1, 2, phantom.volume.n_phases, dtype=np.float32)
    stack = np.tile(pictures, (6, 1, 1))[: phantom.volume.n_slices]
    dressed = replace(phantom.volume, data=rise[:, None, None, None] * stack)
    report = check_range(
        dressed, bundle.spec.preparation, bundle.ranges, vectors(dressed, bundle, list(range(6)))
    )
    assert {"features"} <= about(report) and len(report.findings) > 1


def test_features_tell_ultrasound_from_mr_pictures(data_dir, bundle):
    """Of a model for single pictures nothing but the brightness and the features can tell."""
    engine = engine_for(bundle.model, torch.device("cpu"))

    def seen(pictures: list[np.ndarray]) -> np.ndarray:
        grey = torch.from_numpy(np.stack(pictures))[:, None].expand(-1, 3, -1, -1) / 255
        return slice_vectors(engine.features(torch.nn.functional.interpolate(grey, (227, 227))))

    files = sorted((data_dir / "breastdm_png" / "images").iterdir())
    mr = [np.asarray(Image.open(f).convert("L").resize((256, 256)), np.float32) for f in files]
    space = FeatureSpace.of(seen(mr[:18]), [f"p{i}" for i in range(18)])
    ranges = TrainingRanges(18, {}, {}, space)
    assert feature_findings(seen(mr[18:]), ranges) == []
    (finding,) = feature_findings(seen(ultrasound(data_dir, 6)), ranges)
    assert finding.severity == "outside" and "unlike anything in its training" in finding.text


def test_a_real_study_has_its_phases_in_order(data_dir):
    volume = read_study(data_dir / "breast_dce_invivo" / "dicom")
    assert phase_order(volume) == []
    turned = replace(volume, data=np.ascontiguousarray(volume.data[::-1]))
    assert len(phase_order(turned)) == 1
    assert (
        phase_order(replace(volume, data=volume.data[:1], times=PhaseTimes((0.0,), ("",)), frames=())) == []
    )


def test_few_training_studies_leave_more_room():
    of = Range.of(list(np.linspace(1, 2, 50)))
    assert margin(of, 10) > margin(of, 100) == margin(of, 1000)
    assert margin(Range.of([3.0, 3.0]), 200) == pytest.approx(0.09)


def test_one_far_slice_of_many_is_a_note(bundle: Any):
    space = bundle.ranges.features
    near = np.repeat(space.mean[None], 10, axis=0)
    far = near + 100 * np.sqrt(space.rest)
    assert feature_findings(near, bundle.ranges) == []
    assert feature_findings(np.concatenate([near, far[:1]]), bundle.ranges) == []
    (note,) = feature_findings(np.concatenate([near, far[:5]]), bundle.ranges)
    assert note.severity == "note" and "5 of 15 slices" in note.text
    (grave,) = feature_findings(far[:1], bundle.ranges)
    assert grave.severity == "outside" and grave.text.startswith("This slice looks")


def test_a_study_without_any_number_is_said_without_warnings():
    times = PhaseTimes((0.0, 60.0), ("AcquisitionTime",) * 2)
    geometry = Geometry((2, 8, 8), (1.0, 1.0, 1.0), np.eye(4))
    nothing = DceVolume(
        np.full((2, 2, 8, 8), np.nan, np.float32), geometry, times, Identity("1", ("1",), "1")
    )
    (said,) = phase_order(nothing)
    assert said == "The study has no tissue that can be told from air."


def test_a_body_of_which_one_spot_enhances_is_told_nothing_of_without_warnings():
    z, y, x = np.mgrid[:20, :96, :112]
    tissue = 100 + 20 * np.sin(x / 5) + 10 * np.cos(y / 3) + z
    spot = (np.hypot(y - 48, x - 37) < 6) & (np.abs(z - 10) <= 1)
    data = np.stack([tissue + 80 * spot * min(phase, 2) for phase in range(4)]).astype(np.uint16)
    times = PhaseTimes((0.0, 75.0, 130.0, 190.0), ("AcquisitionTime",) * 4)
    geometry = Geometry((20, 96, 112), (3.0, 0.8, 0.7), np.diag([0.7, 0.8, 3.0, 1.0]))
    assert late_order(DceVolume(data, geometry, times, Identity("1", ("1",), "1"))) is None
