import json
from dataclasses import replace

import numpy as np
import pytest

from napari_breast_ai.core import LabelGroup
from napari_breast_ai.models import BundleError, ModelError, PreparationSpec, list_bundles, load_bundle
from napari_breast_ai.models.table import Cases, TableModel, encode, number, unknown_categories
from napari_breast_ai.models.table_bundle import load_any_bundle, save_table_bundle
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
