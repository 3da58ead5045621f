import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from napari_breast_ai.core import LabelGroup
from napari_breast_ai.inference.table_range import _numbers
from napari_breast_ai.models import (
    RECIPES,
    BundleError,
    ModelError,
    PreparationSpec,
    list_bundles,
    load_bundle,
)
from napari_breast_ai.models.table import Cases, TableModel, encode, number, unknown_categories
from napari_breast_ai.models.table_bundle import load_any_bundle, save_table_bundle
from napari_breast_ai.models.table_ranges import CaseRanges, used
from napari_breast_ai.models.table_spec import Column, Member, RadiomicsSpec, TableSpec

PAIR = LabelGroup("kind", ("IGM", "NME"), "softmax")
SPEC = TableSpec(
    name="little",
    recipe="radiomics-clinical",
    preparation=PreparationSpec(),
    radiomics=RadiomicsSpec(),
    deep=None,
    columns=(
        Column("radiomics", "stat_mean"),
        Column("clinical", "age"),
        Column("clinical", "density", "category", ("a", "b", "c")),
    ),
    members=(Member("kind", ("radiomics", "clinical"), "logistic"),),
    groups=(PAIR,),
)
ARRAYS = {
    "0.fill": np.array([5.0, 50.0, 0.0, 1.0, 0.0]),
    "0.mean": np.array([5.0, 50.0, 0.2, 0.5, 0.3]),
    "0.scale": np.array([2.0, 10.0, 1.0, 1.0, 1.0]),
    "0.chosen": np.array([0, 1, 4]),
    "0.weight": np.array([[1.0, -2.0, 0.5]]),
    "0.bias": np.array([0.25]),
}


def cases(mean, age, density):
    return Cases(
        {"radiomics": np.array(mean, float)[:, None]},
        {"radiomics": ("stat_mean",)},
        {"age": age, "density": density},
        len(mean),
    )


def test_cells_become_numbers():
    assert [number(cell) for cell in ("47", " 47,5 ", "-1e3")] == [47.0, 47.5, -1000.0]
    assert all(np.isnan(number(cell)) for cell in ("", "old", "1,2,3", "inf", "nan"))


def test_rows_are_encoded_and_unknown_cells_are_said():
    rows = cases([1, np.nan], ["40", "?"], ["b", "d"])
    made = encode(SPEC.columns, rows)
    np.testing.assert_array_equal(made, [[1, 40, 0, 1, 0], [np.nan, np.nan, 0, 0, 0]])
    age, density = unknown_categories(SPEC.columns, rows)
    assert "“?” is no number" in age and "“d” was not among the training patients" in density
    empty = encode(SPEC.columns, cases([1.0], [""], [""]))
    assert np.isnan(empty[0, 1:]).all()
    with pytest.raises(ModelError, match="needs the column “age”"):
        encode(SPEC.columns, Cases(rows.numbers, rows.names, {"density": ("a", "b")}, 2))


def test_scores_are_those_of_the_formula():
    model = TableModel(SPEC, ARRAYS)
    found = model.probabilities(cases([9.0, np.nan], ["60", ""], ["c", ""]))
    # Both standardised by hand; what is missing is filled in first.
    logits = [2 * 1 + 1 * -2 + 0.7 * 0.5 + 0.25, 0 + 0 - 0.3 * 0.5 + 0.25]
    np.testing.assert_allclose(found["NME"], 1 / (1 + np.exp(-np.array(logits))), rtol=1e-12)
    np.testing.assert_allclose(found["IGM"] + found["NME"], 1, rtol=1e-12)


def test_a_bundle_comes_back_as_it_was_and_says_what_it_needs(tmp_path):
    model = TableModel(SPEC, ARRAYS)
    folder = save_table_bundle(tmp_path / "b", model, None, card="# little", evaluation={"data": "none"})
    assert {file.name for file in folder.iterdir()} == {
        "config.json",
        "model.safetensors",
        "README.md",
        "evaluation.json",
    }
    back = load_any_bundle(folder)
    assert back.spec == SPEC
    for name, values in ARRAYS.items():
        assert back.model.arrays[name].dtype == values.dtype
        np.testing.assert_array_equal(back.model.arrays[name], values)
    with pytest.raises(BundleError, match=r"a lesion's boxes and the values age, density.*evaluate"):
        load_bundle(folder)

    config = json.loads((folder / "config.json").read_text())
    config["model"]["members"][0]["classifier"] = "oracle"
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="unknown kind"):
        load_any_bundle(folder)


def test_models_that_are_listed_say_what_they_ask(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_breast_ai.models.registry.user_folder", lambda: tmp_path)
    save_table_bundle(tmp_path / "little", TableModel(SPEC, ARRAYS), None, card="#", evaluation={})
    (info,) = (one for one in list_bundles() if one.name == "little")
    assert info.summary == (
        "radiomics-clinical for IGM, NME, from a lesion's boxes and the values age, density (user)"
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"0.weight": np.array([[1.0, -2.0]])}, "weight of member 0 has the shape"),
        ({"0.scale": np.array([2.0, 0.0, 1.0, 1.0, 1.0])}, "scale of member 0 is not positive"),
        ({"0.chosen": np.array([0, 1, 5])}, "points to what is not there"),
        ({"0.bias": np.array([np.inf])}, "not finite"),
        ({"0.fill": np.zeros(4)}, "fill of member 0"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(change, said):
    with pytest.raises(ModelError, match=said):
        TableModel(SPEC, ARRAYS | change)


def test_a_tree_that_runs_in_a_circle_is_refused():
    spec = replace(SPEC, members=(replace(SPEC.members[0], classifier="forest"),))
    arrays = {name: values for name, values in ARRAYS.items() if name.split(".")[1] not in ("weight", "bias")}
    tree = {
        "0.roots": np.array([0]),
        "0.feature": np.array([0, -1, -1]),
        "0.threshold": np.array([0.5, 0.0, 0.0]),
        "0.left": np.array([1, 0, 0]),
        "0.right": np.array([2, 0, 0]),
        "0.share": np.array([[0.5, 0.5], [1.0, 0.0], [0.0, 1.0]]),
    }
    model = TableModel(spec, arrays | tree)
    assert model.probabilities(cases([9.0], ["50"], ["b"]))["NME"][0] == 1.0
    with pytest.raises(ModelError, match="circle"):
        TableModel(spec, arrays | tree | {"0.right": np.array([0, 0, 0])})


def test_specs_that_mean_nothing_are_said():
    assert SPEC.problems() == []
    assert TableSpec.from_json(json.loads(json.dumps(SPEC.to_json()))) == SPEC
    for change, said in (
        ({"radiomics": None}, "do not go together"),
        ({"members": ()}, "needs a member"),
        ({"groups": (replace(PAIR, labels=("IGM",)),)}, "at least 2"),
        ({"columns": (Column("clinical", "age", "category"),)}, "must have categories"),
    ):
        assert any(said in text for text in replace(SPEC, **change).problems()), said


def test_ranges_are_of_what_the_model_uses_and_come_back_as_they_were():
    rng = np.random.default_rng(4)
    mean, age = rng.normal(5, 2, 40), [f"{a:.1f}" for a in rng.normal(50, 10, 40)]
    age[3] = age[7] = ""
    rows = cases([*mean[:-1], np.nan], age, ["abc"[i % 3] for i in range(40)])
    patients = [f"p{i}" for i in range(40)]
    model = TableModel(SPEC, ARRAYS)
    ranges = CaseRanges.of(model, rows, patients)
    assert (
        ranges.cases == 40
        and ranges.deep is None
        and set(ranges.spans) == {"radiomics/stat_mean", "clinical/age"}
    )
    wanted = np.percentile(mean[:-1], (1, 99))
    assert (
        ranges.spans["radiomics/stat_mean"].low,
        ranges.spans["radiomics/stat_mean"].high,
    ) == pytest.approx(wanted)
    # An input that the classifier does not see has no range, and one that few cases tell has none either.
    narrow = ARRAYS | {"0.chosen": np.array([0, 4]), "0.weight": np.array([[1.0, 0.5]])}
    assert [one.name for one in used(TableModel(SPEC, narrow))] == ["stat_mean", "density"]
    few = cases(mean[:9], ["", *age[:8]], ["a"] * 9)
    assert CaseRanges.of(model, few, patients[:9]).spans == {}

    told = json.loads(json.dumps(ranges.to_json()))
    assert CaseRanges.from_json(told).spans == ranges.spans
    assert CaseRanges.from_json(None) is None and CaseRanges.from_json({"version": 99}) is None
    for damage in (
        {"numbers": {"clinical/age": [1.0]}},
        {"numbers": {"clinical/age": [0, 1, 0, float("nan")]}},
        {"version": "x"},
        {"cases": None},
    ):
        with pytest.raises(ModelError, match="not readable"):
            CaseRanges.from_json(told | damage)


def test_a_rare_value_that_the_training_had_is_like_it():
    """A number of 0 or 1 that is 1 in one of 200 cases: both its percentiles are 0."""
    age = ["0"] * 199 + ["1"]
    rows = cases([5.0] * 200, age, ["a"] * 200)
    model = TableModel(SPEC, ARRAYS)
    bundle = SimpleNamespace(model=model, ranges=CaseRanges.of(model, rows, [str(i) for i in range(200)]))
    assert (bundle.ranges.spans["clinical/age"].low, bundle.ranges.spans["clinical/age"].high) == (0, 0)
    for value, out in (("0", False), ("1", False), ("2", True)):
        found = _numbers(bundle, bundle.ranges, cases([5.0], [value], ["a"]))
        assert bool(found) is out and (not out or "“age” is 2" in found[0].text)


def test_deep_features_are_compared_by_their_distance():
    spec = replace(
        SPEC,
        radiomics=None,
        deep=RECIPES["squeezenet-narrow"],
        columns=tuple(Column("deep", f"feature {i}") for i in range(8)),
        members=(Member("kind", ("deep",), "logistic"),),
    )
    arrays = {name: np.ones(8) for name in ("0.fill", "0.mean", "0.scale")}
    arrays |= {"0.chosen": np.arange(8), "0.weight": np.ones((1, 8)), "0.bias": np.zeros(1)}
    names = {"deep": tuple(f"feature {i}" for i in range(8))}
    values = np.random.default_rng(5).normal(0, 1, (60, 8))
    ranges = CaseRanges.of(
        TableModel(spec, arrays), Cases({"deep": values}, names, {}, 60), [f"p{i}" for i in range(60)]
    )
    assert ranges.spans == {} and ranges.deep is not None
    back = CaseRanges.from_json(json.loads(json.dumps(ranges.to_json())))
    near, far = back.deep.distance(np.stack([np.zeros(8), np.full(8, 9.0)]))
    assert near < back.deep.distances[0] < back.deep.distances[2] < far
