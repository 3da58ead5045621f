import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_breast_ai.training.errors import LeakError, TrainingError
from napari_breast_ai.training.splits import (
    check_no_leak,
    grouped_folds,
    split_by_patient,
    split_in_order,
)

cohorts = st.lists(st.integers(0, 30).map(lambda i: f"p{i}"), min_size=40, max_size=120).filter(
    lambda patients: len(set(patients)) >= 10
)


def sides(patients, split):
    return [{patients[i] for i in part} for part in split.parts().values()]


def assert_partition(patients, split):
    """Every example once, and no patient twice: checked without the code under test."""
    everything = [i for part in split.parts().values() for i in part]
    assert sorted(everything) == list(range(len(patients)))
    a, b, c = sides(patients, split)
    assert not a & b and not a & c and not b & c


@settings(max_examples=60, deadline=None)
@given(cohorts, st.integers(0, 10_000), st.booleans())
def test_no_patient_is_on_two_sides(patients, seed, stratify):
    strata = [int(p[1:]) % 3 for p in patients] if stratify else None
    assert_partition(patients, split_by_patient(patients, (0.5, 0.25, 0.25), seed, strata))
    assert_partition(patients, split_in_order(patients))
    folds = grouped_folds(patients, 5, seed, strata)
    for fold in folds:
        assert_partition(patients, fold)
    validated = sorted(i for fold in folds for i in fold.validation)
    assert validated == list(range(len(patients)))
    sizes = [len({patients[i] for i in fold.validation}) for fold in folds]
    assert max(sizes) - min(sizes) <= 1


def test_shares_and_strata_hold():
    patients = [f"p{i // 4}" for i in range(400)]
    strata = ["IGM" if i // 4 < 30 else "NME" for i in range(400)]
    split = split_by_patient(patients, (0.6, 0.2, 0.2), seed=3, strata=strata)
    counts = [
        {label: len({patients[i] for i in part if strata[i] == label}) for label in ("IGM", "NME")}
        for part in split.parts().values()
    ]
    assert counts == [{"IGM": 18, "NME": 42}, {"IGM": 6, "NME": 14}, {"IGM": 6, "NME": 14}]


def test_same_seed_same_split_other_seed_other_split():
    patients = [f"p{i // 3}" for i in range(90)]
    assert split_by_patient(patients, seed=1) == split_by_patient(patients, seed=1)
    assert split_by_patient(patients, seed=1) != split_by_patient(patients, seed=2)
    assert grouped_folds(patients, seed=1) != grouped_folds(patients, seed=2)


def test_in_order_takes_the_first_patients_even_where_their_slices_are_mixed():
    patients = ["a", "b", "a", "c", "d", "e", "a", "e"]
    split = split_in_order(patients, 0.8)
    assert {patients[i] for i in split.train} == {"a", "b", "c", "d"}
    assert split.test == (5, 7)


def test_a_planted_leak_is_an_error():
    with pytest.raises(LeakError, match=r"Patient b is in both train and test"):
        check_no_leak(["a", "b", "b", "c"], {"train": [0, 1], "test": [2, 3]})


def test_an_equal_image_under_two_names_is_an_error():
    patients, contents = ["a", "b", "c"], ["x", "y", "x"]
    with pytest.raises(LeakError, match=r"same image is in train \(patient a\) and in test \(patient c\)"):
        check_no_leak(patients, {"train": [0], "test": [1, 2]}, contents)
    check_no_leak(patients, {"train": [0, 2], "test": [1]}, contents)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: grouped_folds(["a", "b"], 3), "2 patients cannot be dealt out to 3 folds"),
        (lambda: grouped_folds(["a", "b"], 1), "at least two folds"),
        (lambda: split_in_order(["a", "a"]), "cannot be divided"),
        (lambda: split_by_patient(["a", "b"]), "too few patients"),
        (lambda: split_by_patient(["a", "b"], (0.9, 0.2, 0.2)), "add up to 1"),
        (lambda: split_by_patient(["a", "b"], strata=["x"]), "needs a class"),
    ],
)
def test_what_cannot_be_split_is_said(call, words):
    with pytest.raises(TrainingError, match=words):
        call()
