"""Specs, and how far the classes overlap."""

from __future__ import annotations

import numpy as np
import pytest

from napari_breast_ai.phantom import KINDS, PhantomError, PhantomSpec, make_phantom
from napari_breast_ai.phantom.traits import LesionTraits, body_traits, lesion_traits


def lesions(kind: str, number: int = 400, **changes: float) -> list[LesionTraits]:
    found = [lesion_traits(PhantomSpec(kind, seed, **changes)) for seed in range(number)]  # type: ignore[arg-type]
    return [traits for traits in found if traits is not None]


def auc(high: np.ndarray, low: np.ndarray) -> float:
    return float((high[:, None] > low[None]).mean() + 0.5 * (high[:, None] == low[None]).mean())


@pytest.mark.parametrize("trait", ["kep", "ktrans", "width"])
def test_numbers_differ_between_classes_but_overlap(trait: str) -> None:
    igm = np.array([getattr(t, trait) for t in lesions("igm")])
    nme = np.array([getattr(t, trait) for t in lesions("nme")])
    value = auc(igm, nme)
    assert 0.57 < max(value, 1 - value) < 0.88, "neither equal nor told apart by this alone"


def test_patterns_occur_in_both_classes() -> None:
    for kind, low, high in (("igm", 0.50, 0.70), ("nme", 0.22, 0.42)):
        rings = np.mean([t.rings > 0 for t in lesions(kind)])
        assert low < rings < high
        skin = np.mean([t.skin_mm > 0 for t in lesions(kind)])
        assert 0.1 < skin < 0.6
        assert {t.distribution for t in lesions(kind)} == {"focal", "linear", "segmental", "regional"}


def test_full_overlap_makes_the_classes_equal() -> None:
    igm = np.array([t.kep for t in lesions("igm", 800, overlap=1.0)])
    nme = np.array([t.kep for t in lesions("nme", 800, overlap=1.0)])
    assert abs(auc(igm, nme) - 0.5) < 0.06


def test_the_seed_is_the_woman_whatever_the_kind_and_matrix() -> None:
    bodies = {repr(body_traits(PhantomSpec(kind, 5))) for kind in KINDS}
    bodies.add(repr(body_traits(PhantomSpec("igm", 5, (6, 64, 64)))))
    assert len(bodies) == 1
    assert repr(body_traits(PhantomSpec("igm", 6))) not in bodies


def test_women_differ() -> None:
    bodies = [body_traits(PhantomSpec("normal", seed)) for seed in range(60)]
    assert {b.density for b in bodies} == {"a", "b", "c", "d"}
    assert {b.bpe for b in bodies} == {"minimal", "mild", "moderate", "marked"}
    assert np.std([b.breasts[0].length for b in bodies]) > 8


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "cyst"}, "kind 'cyst' is unknown"),
        ({"seed": -1}, "seed"),
        ({"shape": (0, 64, 64)}, "at least 1 slice"),
        ({"shape": (6, 16, 64)}, "32 rows"),
        ({"shape": (600, 1024, 1024)}, "at most"),
        ({"n_phases": 1}, "2 to 60 phases"),
        ({"interval_s": 0.0}, "1 to 600 seconds"),
        ({"interval_s": float("nan")}, "1 to 600 seconds"),
        ({"overlap": 1.5}, "between -1 and 1"),
        ({"field_t": 7.0}, "tesla"),
        ({"fov_mm": 20.0}, "field of view"),
        ({"slice_mm": 0.0}, "slices"),
        ({"motion_mm": 9.0}, "motion"),
        ({"motion_across_mm": -1.0}, "motion"),
        ({"noise": -0.1}, "noise"),
        ({"density": "e"}, "density"),
        ({"bpe": "some"}, "background enhancement"),
    ],
)
def test_problems_in_words(changes: dict[str, object], words: str) -> None:
    spec = PhantomSpec(**{"kind": "igm", **changes})  # type: ignore[arg-type]
    problems = spec.problems()
    assert len(problems) == 1
    assert words in problems[0]
    with pytest.raises(PhantomError, match=words):
        make_phantom(spec)


def test_a_good_spec_has_no_problems() -> None:
    assert PhantomSpec("nme").problems() == []
    assert PhantomSpec("igm", 3, (120, 448, 448), field_t=3.0, density="d", bpe="marked").problems() == []
