"""Whom a model was trained on is told with it, hides names, and is found in another table."""

import json

import pytest

from napari_breast_ai.training.errors import TrainingError
from napari_breast_ai.training.known import known_of, trained_on
from napari_breast_ai.training.protocol import Plan, Round

CASES = ("a1", "a2", "b1", "c1", "d1")
PATIENTS = ("ann", "ann", "bea", "cleo", "dora")
CONTENTS = {case: f"hash of {case}" for case in CASES}


@pytest.fixture
def told():
    """Ann and Bea are learnt from, Cleo chooses the epoch, Dora is the test."""
    plan = Plan(
        (Round(1, 1, "validation", (0, 1, 2), (3,)), Round(1, 2, "test", (0, 1, 2), (4,))), (0, 1, 2), (3,)
    )
    return {"trained_on": trained_on(plan, CASES, PATIENTS, CONTENTS, "salt")}


def known(evaluation, cases, patients, contents):
    return known_of(evaluation, cases, patients, dict(zip(cases, contents, strict=True)), "other table")


def test_those_who_only_tested_are_not_told_and_nobody_is_named(told):
    one = told["trained_on"]
    assert (one["version"], one["cases"], len(one["patients"]), len(one["images"])) == (1, 4, 3, 4)
    text = json.dumps(told)
    assert not any(f'"{name}' in text for name in PATIENTS)
    assert "hash of d1" not in text and one["patients"] == sorted(one["patients"])


def test_a_patient_is_found_by_her_id_and_by_her_images(told):
    cases, patients = ("x", "y", "z", "w"), ("bea", "new", "new", "dora")
    found = known(told, cases, patients, ("other", "hash of a2", "unseen", "hash of d1"))
    assert found.patients == ("bea", "new") and found.by_id == ("bea",) and found.by_images == ("y",)
    # All of a patient goes, not the equal image alone.
    assert found.others(patients) == [3]
    (said,) = found.sentences(kept=False)
    assert said == (
        "The model was trained on 2 of the table's 3 patients (found 1 by their id and 1 case by equal images: bea, "
        "new). All their cases are left out of the figures."
    )
    assert "flatter" in found.sentences(kept=True)[0]
    found.refuse_all("t.csv")
    everybody = known(told, ("x",), ("cleo",), ("other",))
    with pytest.raises(TrainingError, match="nobody is left to judge it on"):
        everybody.refuse_all("t.csv")


def test_strangers_are_no_matter(told):
    found = known(told, ("x", "y"), ("eve", "dora"), ("one", "two"))
    assert (
        not found.patients and found.sentences(kept=False) == [] and found.others(("eve", "dora")) == [0, 1]
    )
    assert found.to_json(False) == {
        "compared": "patients and images",
        "patients": 0,
        "cases by images": 0,
        "left out": False,
    }


def test_older_bundles_are_compared_by_their_table():
    def of(evaluation):
        return known_of(evaluation, ("x",), ("eve",), {"x": "one"}, "this table")

    assert of({"made": {"table_sha256": "this table"}}).patients == ("eve",)
    another = of({"made": {"table_sha256": "another"}})
    assert not another.patients and "their table alone" in another.sentences(False)[0]
    nothing = of({})
    assert not nothing.patients and "does not tell on whom" in nothing.sentences(False)[0]
    newer = of({"trained_on": {"version": 2}, "made": {"table_sha256": "another"}})
    assert newer.told == "table", "what a newer version keeps is not read as if it were ours"
