import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from napari_breast_ai.core import LabelGroup
from napari_breast_ai.models import PreparationSpec
from napari_breast_ai.models.table import TableModel, member_scores
from napari_breast_ai.models.table_spec import Column, Member, RadiomicsSpec, TableSpec
from napari_breast_ai.training.chains import Strongest, fit_chain
from napari_breast_ai.training.errors import TrainingError
from napari_breast_ai.training.table_recipe import TableFit

COLUMNS = (
    *(Column("radiomics", f"f{i}") for i in range(12)),
    Column("clinical", "density", "category", ("a", "b", "c")),
)


def rows(n=90, classes=2, seed=0):
    """Noise, of which f0 (and its copy f1) and the category tell the class a little; some cells are missing."""
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % classes
    inputs = rng.normal(0, 1, (n, 15)) * 10.0 ** np.arange(15)
    inputs[:, 0] += truth * 1.5
    inputs[:, 2] = 7.0
    which = np.where(rng.random(n) < 0.7, truth % 3, rng.integers(0, 3, n))
    inputs[:, 12:] = np.eye(3)[which]
    inputs[rng.random((n, 15)) < 0.05] = np.nan
    inputs[:, 1] = inputs[:, 0] * 3 + 1
    inputs[np.isnan(inputs[:, 12:]).any(axis=1), 12:] = np.nan
    return inputs, truth.tolist(), [f"p{i // 2}" for i in range(n)]


def as_model(fitted, classifier, classes):
    group = LabelGroup("kind", tuple(f"class {c}" for c in range(classes)), "softmax")
    spec = TableSpec(
        "m", "m", PreparationSpec(), RadiomicsSpec(), None, COLUMNS,
        (Member("kind", ("radiomics", "clinical"), classifier),), (group,),
    )  # fmt: skip
    return TableModel(spec, {f"0.{name}": values for name, values in fitted.arrays.items()})


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(
    "fit", [TableFit(), TableFit(l1=0.5, penalties=(3.0, 1.0)), TableFit("forest", trees=10)]
)
def test_plain_arrays_say_what_scikit_learn_says(fit, classes):
    inputs, truth, patients = rows(classes=classes)
    fitted = fit_chain(inputs, truth, patients, COLUMNS, fit, 0)
    ours = member_scores(as_model(fitted, fit.classifier, classes), 0, inputs)
    np.testing.assert_allclose(ours, fitted.pipeline.predict_proba(inputs), atol=1e-12)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_machines_arrays_give_its_distances(classes):
    inputs, truth, patients = rows(classes=classes)
    fitted = fit_chain(inputs, truth, patients, COLUMNS, TableFit("svm"), 0)
    ours = member_scores(as_model(fitted, "svm", classes), 0, inputs)
    distance = fitted.pipeline.decision_function(inputs).reshape(len(inputs), -1)
    which = [1] if classes == 2 else range(classes)
    curves = []
    for column, name in enumerate(which):
        *_, slope, offset = fitted.arrays[f"{name}.line"]
        assert slope > 0, "a larger distance means a higher probability"
        curves.append(1 / (1 + np.exp(-(slope * distance[:, column] + offset))))
    wanted = np.stack(curves, axis=1)
    wanted = np.column_stack([1 - wanted, wanted]) if classes == 2 else wanted / wanted.sum(1, keepdims=True)
    np.testing.assert_allclose(ours, wanted, atol=1e-10)


def test_what_is_chosen_is_strong_and_said_once():
    inputs, truth, patients = rows(n=400)
    fitted = fit_chain(inputs, truth, patients, COLUMNS, TableFit(keep=(5,)), 0)
    chosen = fitted.arrays["chosen"].tolist()
    assert len(chosen) == 5 and len({0, 1} & set(chosen)) == 1, "a copy of the strongest tells nothing new"
    assert 2 not in fit_chain(inputs, truth, patients, COLUMNS, TableFit(keep=(0,)), 0).arrays["chosen"]
    constant = Strongest().fit(np.ones((6, 3)), np.array([0, 1] * 3))
    assert constant.transform(np.ones((2, 3))).shape == (2, 1)


def test_choices_are_made_inside_and_by_patient():
    """One patient's rows are alike: only a choice on other patients sees that many inputs learn them by heart."""
    rng = np.random.default_rng(3)
    truth = np.repeat(np.arange(30) % 2, 6)
    patients = [f"p{i // 6}" for i in range(180)]
    own = np.repeat(rng.normal(0, 1, (30, 15)), 6, axis=0)
    inputs = own + rng.normal(0, 0.05, (180, 15))
    inputs[:, 0] += truth
    inputs[:, 12:] = np.eye(3)[0]
    fit = TableFit("svm", penalties=(10.0, 0.01), keep=(0,), correlation=1.0)
    inside = fit_chain(inputs, truth.tolist(), patients, COLUMNS, fit, 0).note["auc inside"]
    leaky = fit_chain(inputs, truth.tolist(), [str(i) for i in range(180)], COLUMNS, fit, 0).note[
        "auc inside"
    ]
    assert leaky > 0.97 > 0.9 > inside
    note = fit_chain(*rows(), COLUMNS, TableFit(), 0).note
    assert note["offered"] == 18 and set(note["chosen"]) == {"keep", "penalty"}


def test_the_same_seed_gives_the_same_numbers():
    small = {"keep": (5,), "penalties": (3.0, 1.0)}
    for fit in (TableFit(**small), TableFit("forest", trees=5, **small), TableFit("svm", **small)):
        one, two = (fit_chain(*rows(), COLUMNS, fit, 5).arrays for _ in range(2))
        assert all(np.array_equal(one[name], two[name]) for name in one)


def test_too_few_of_a_class_is_said():
    inputs, _, patients = rows(n=12)
    with pytest.raises(TrainingError, match="only one class"):
        fit_chain(inputs, [0] * 12, patients, COLUMNS, TableFit(), 0)
    with pytest.raises(TrainingError, match="too few training patients"):
        fit_chain(inputs, [1] + [0] * 11, [str(i) for i in range(12)], COLUMNS, TableFit(), 0)
