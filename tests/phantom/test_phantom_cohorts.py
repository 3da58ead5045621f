"""Cohorts of phantoms: who is in them, and the view of one breast."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from napari_breast_ai.phantom import MANNERS, PhantomSpec, make_phantom, write_dicom
from napari_breast_ai.phantom.cohorts import FIVE, MOTION_MM, CohortDesign, annotated_slices
from napari_breast_ai.phantom.traits import PROFILES, apart, lesion_traits
from napari_breast_ai.phantom.view import one_breast
from napari_breast_ai.study import read_study


def test_the_cohorts_have_the_published_sizes() -> None:
    first, second = CohortDesign("m1").members(), CohortDesign("m2").members()
    assert len(first) == 63 and CohortDesign("m1").annotated == 475
    kinds = Counter(member.columns["diagnosis"] for member in first)
    assert min(kinds.values()) == 31
    assert {member.columns["diagnosis"] for member in first[50:]} == {"IGM", "NME"}, "the test has both"
    assert len(second) == 335
    for member in second:
        told = {name: member.columns[name] == "1" for name in FIVE}
        assert sum(told[name] for name in FIVE if name != "malignancy") == 1
        assert told["malignancy"] == (told["IDC"] or told["other malignant"])
    assert Counter(member.spec.kind for member in second)["idc"] == pytest.approx(0.4 * 335, abs=2)


def test_no_woman_is_in_two_cohorts_and_equal_designs_are_equal() -> None:
    seeds = [
        {member.spec.seed for member in CohortDesign(kind, seed=seed).members()}
        for kind, seed in (("m1", 0), ("m1", 1), ("m2", 2))
    ]
    assert not seeds[0] & seeds[1] and not seeds[1] & seeds[2]
    assert CohortDesign("m1").members() == CohortDesign("m1").members()
    assert [len(member.patient_id) for member in CohortDesign("m1").members()] == [15] * 63


def test_slices_are_shared_out_evenly_and_the_largest_are_taken() -> None:
    design = CohortDesign("m1", patients=3, slices=9)
    areas = [{4: 1.0, 5: 3.0}, {0: 1.0, 1: 2.0, 2: 3.0, 3: 4.0, 4: 5.0, 9: 0.9}, dict.fromkeys(range(9), 1.0)]
    assert annotated_slices(design, areas) == ((4, 5), (1, 2, 3, 4), (0, 1, 2))
    few = annotated_slices(replace(design, slices=100), areas)
    assert [len(slices) for slices in few] == [2, 5, 9], "nobody can annotate what is not there"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"design": "m9"}, "unknown"),
        ({"patients": 1}, "2 to 5000"),
        ({"slices": 5}, "1 to 100 slices"),
        ({"seed": 10_000}, "0 to 9999"),
        ({"overlap": 2.0}, "between -1 and 1"),
        ({"shape": (1, 4, 4)}, "at least 1 slice"),
    ],
)
def test_problems_in_words(changes: dict[str, object], words: str) -> None:
    (problem,) = CohortDesign(**changes).problems()  # type: ignore[arg-type]
    assert words in problem
    assert not CohortDesign("m2").problems()


def test_classes_drawn_apart_differ_more() -> None:
    def rings(kind: str, overlap: float) -> float:
        found = [lesion_traits(PhantomSpec(kind, seed, overlap=overlap)) for seed in range(300)]  # type: ignore[arg-type]
        return float(np.mean([traits is not None and traits.rings > 0 for traits in found]))

    as_published, textbook = (rings("igm", o) - rings("nme", o) for o in (0.0, -1.0))
    assert 0.25 < as_published < 0.55 and textbook > 0.75
    same = apart(PROFILES["idc"], PROFILES["fibroadenoma"], 0.0)
    assert same.kep == PROFILES["idc"].kep and same.skin == pytest.approx(PROFILES["idc"].skin)
    far = apart(PROFILES["idc"], PROFILES["fibroadenoma"], 1.0)
    assert far.kep[0] > PROFILES["idc"].kep[0] and far.kep[1] == pytest.approx(PROFILES["idc"].kep[1] / 2)


def test_the_first_cohort_moves_so_that_a_subtraction_does_not_lay_the_lesion_bare() -> None:
    seen: dict[float, list[tuple[float, float]]] = {MOTION_MM: [], 0.0: []}
    for member in CohortDesign("m1", shape=(4, 152, 152)).members()[:2]:
        assert member.spec.motion_mm == MOTION_MM
        for mm, found in seen.items():
            phantom = one_breast(make_phantom(replace(member.spec, motion_mm=mm)))
            change, truth = phantom.volume.subtraction(2), phantom.truth
            # Fat and whatever else takes up next to nothing: what is left there was moved, or is noise.
            still = ~truth.lesion & (truth.tissue > 0) & (truth.ktrans < 0.004)
            found.append((float(change[truth.lesion].mean()), float(np.abs(change[still]).mean())))
    moved, unmoved = np.sum(seen[MOTION_MM], axis=0), np.sum(seen[0.0], axis=0)
    assert moved[0] == pytest.approx(unmoved[0], rel=0.1) and moved[1] > 1.1 * unmoved[1]


@pytest.mark.parametrize("kind", ["idc", "fibroadenoma"])
def test_masses_are_rounder_than_what_follows_the_ducts(kind: str) -> None:
    drawn = [lesion_traits(PhantomSpec(kind, seed, overlap=0.0)) for seed in range(200)]  # type: ignore[arg-type]
    masses = [traits for traits in drawn if traits is not None and traits.distribution == "mass"]
    assert len(masses) >= (200 if kind == "fibroadenoma" else 130)
    assert all(traits.width >= 0.6 and traits.extent_mm <= 50 for traits in masses)
    spikes = np.array([traits.spikes for traits in masses])
    assert spikes.min() >= (0.35 if kind == "idc" else 0.0) and spikes.max() <= (
        1.0 if kind == "idc" else 0.45
    )
    phantom = make_phantom(PhantomSpec(kind, 4, (3, 128, 128), n_phases=2, slice_mm=4.0))  # type: ignore[arg-type]
    assert phantom.truth.label == ("IDC" if kind == "idc" else "other benign")
    assert {box.label for box in phantom.truth.boxes} == {phantom.truth.label}
    gain = phantom.volume.subtraction(1)
    assert gain[phantom.truth.lesion].mean() > 2 * gain[~phantom.truth.lesion].mean()


def test_one_breast_shows_the_same_places(tmp_path) -> None:
    for seed in range(2, 8):
        whole = make_phantom(PhantomSpec("igm", seed, (4, 96, 96), n_phases=2))
        part = one_breast(whole)
        assert whole.truth.traits is not None
        assert part.volume.geometry.shape == (4, 48, 48)
        assert part.truth.lesion.sum() > 0.98 * whole.truth.lesion.sum()
        corner = part.volume.geometry.to_patient([1, 5, 7])
        z, y, x = (round(v) for v in whole.volume.geometry.to_index(corner))
        assert np.array_equal(whole.volume.data[:, z, y, x], part.volume.data[:, 1, 5, 7])
        for box in part.truth.boxes:
            assert not box.problems(part.volume.geometry.shape)
            assert part.truth.lesion[
                box.z, int(box.y0 + 1) : int(box.y1 + 1), int(box.x0 + 1) : int(box.x1 + 1)
            ].any()
    for manner in MANNERS:
        write_dicom(part, tmp_path / manner, manner)
        read = read_study(tmp_path / manner)
        assert np.array_equal(read.data, part.volume.data)
        assert read.geometry.same_as(part.volume.geometry)
