"""Chains of scikit-learn parts on a table's rows: fill in, scale, choose inputs, classify; all of it learned inside.

`fit_chain` chooses by cross-validation by patient inside the rows it is given (the inner loop of a nested one), fits
the best chain on all of them, and gives it as plain arrays, see `models.table.TableModel`.

Needs scikit-learn (`pip install "napari-breast-ai[radiomics]"`).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_selection import f_classif
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from ..models.table_spec import Column
from .errors import TrainingError
from .metrics import auc
from .splits import Split, grouped_folds
from .table_recipe import TableFit

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class FillIn(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Missing values become the training rows' median, a missing category their commonest one.

    Attributes:
        widths: numbers that each column became; more than none of a `category`.
        category: whether each column is one of categories.
        fill_: after fitting: what stands in for each missing number, 0 where all are missing.
    """

    def __init__(self, widths: tuple[int, ...] = (), category: tuple[bool, ...] = ()) -> None:
        self.widths = widths
        self.category = category

    def fit(self, inputs: FloatArray, classes: object = None) -> FillIn:
        """Learn what to fill in."""
        self.fill_ = np.zeros(inputs.shape[1])
        start = 0
        for width, category in zip(self.widths, self.category, strict=True):
            part = inputs[:, start : start + width]
            known = part[~np.isnan(part).any(axis=1)]
            if len(known):
                if category:
                    self.fill_[start + int(np.argmax(known.sum(axis=0)))] = 1.0
                else:
                    self.fill_[start] = np.median(known[:, 0])
            start += width
        return self

    def transform(self, inputs: FloatArray) -> FloatArray:
        """Fill in."""
        filled: FloatArray = np.where(np.isnan(inputs), self.fill_, inputs)
        return filled


class Strongest(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """The inputs that tell the classes apart best by the F test, without what a stronger one tells already.

    Attributes:
        keep: how many at most; 0 is all.
        correlation: an input is left out that correlates with a stronger one by more than this; 1 leaves none out.
        chosen_: after fitting: which inputs, rising.
    """

    def __init__(self, keep: int = 0, correlation: float = 1.0) -> None:
        self.keep = keep
        self.correlation = correlation

    def fit(self, inputs: FloatArray, classes: IntArray) -> Strongest:
        """Choose."""
        varied = np.flatnonzero(inputs.std(axis=0) > 1e-9)
        if not varied.size:
            self.chosen_ = np.arange(min(1, inputs.shape[1]))
            return self
        with np.errstate(divide="ignore", invalid="ignore"):
            strength, _ = f_classif(inputs[:, varied], classes)
        # Equal classes throughout give 0 / 0, and a perfect input infinity.
        strength = np.nan_to_num(strength, nan=0.0, posinf=np.finfo(float).max)
        order = varied[np.argsort(-strength, kind="stable")]
        most = self.keep or len(order)
        if self.correlation >= 1:
            self.chosen_ = np.sort(order[:most])
            return self
        chosen: list[int] = []
        unit = inputs - inputs.mean(axis=0)
        lengths = np.linalg.norm(unit, axis=0)
        unit = unit / np.where(lengths > 0, lengths, 1)
        kept = np.zeros((len(inputs), 0))
        for i in order:
            if len(chosen) == most:
                break
            if kept.shape[1] == 0 or np.abs(unit[:, i] @ kept).max() <= self.correlation:
                chosen.append(int(i))
                kept = np.column_stack([kept, unit[:, i]])
        self.chosen_ = np.sort(np.array(chosen, np.int64))
        return self

    def transform(self, inputs: FloatArray) -> FloatArray:
        """Leave out the others."""
        return inputs[:, self.chosen_]


@dataclass(frozen=True, eq=False)
class Fitted:
    """A fitted chain.

    Attributes:
        arrays: its numbers, as `TableModel` names them, without the member's number.
        note: how it was chosen, for the record.
        pipeline: scikit-learn's own.
    """

    arrays: dict[str, NDArray[Any]]
    note: dict[str, Any]
    pipeline: Pipeline


def fit_chain(
    inputs: FloatArray,
    classes: Sequence[int],
    patients: Sequence[str],
    columns: Sequence[Column],
    fit: TableFit,
    seed: int,
) -> Fitted:
    """Choose, and fit on all rows.

    Args:
        inputs: float64 (n, width), encoded, NaN where unknown.
        classes: of each row, from 0.
        patients: of each row; no patient is on both sides of an inner fold.
        columns: what the inputs are.
        fit: how.
        seed: of the inner folds, and of a forest.

    Raises:
        TrainingError: a class has too few patients to choose anything on.
    """
    truth = np.asarray(classes, np.int64)
    count = int(truth.max()) + 1 if len(truth) else 0
    if count < 2 or len(set(truth.tolist())) < count:
        raise TrainingError(
            "A part of the training patients has only one class. Use fewer folds or add patients."
        )
    folds = [
        fold
        for fold in grouped_folds(patients, min(fit.folds, len(set(patients))), seed, list(classes))
        if len(set(truth[list(fold.train)].tolist())) == count
    ]
    told = sorted({i for fold in folds for i in fold.validation})
    if len(set(truth[told].tolist())) < count:
        raise TrainingError(
            "A class has too few training patients to choose the penalty on some of them. Add patients or use fewer "
            "folds."
        )
    best: tuple[float, dict[str, Any], FloatArray] | None = None
    offered = []
    with warnings.catch_warnings():
        # A fit that was stopped at its last iteration is judged like the others.
        warnings.simplefilter("ignore", ConvergenceWarning)
        start = _pipeline(columns, fit, seed, count)
        for choice in _choices(fit, inputs.shape[1]):
            said = _held_out(start, choice, inputs, truth, folds, count)
            value = _mean_auc(said[told], truth[told])
            offered.append({**choice, "auc": round(value, 6)})
            # The first of equals: choices go from simple to rich.
            if best is None or value > best[0]:
                best = value, choice, said
        assert best is not None
        value, choice, said = best
        pipeline = clone(start).set_params(**_parameters(choice, start)).fit(inputs, truth)
    arrays = _arrays(pipeline, fit, said[told], truth[told], count)
    note = {
        "chosen": choice,
        "auc inside": round(value, 6),
        "offered": len(offered),
        "inner folds": len(folds),
        "rows": len(truth),
    }
    return Fitted(arrays, note, pipeline)


def _pipeline(columns: Sequence[Column], fit: TableFit, seed: int, count: int) -> Pipeline:
    model: Any
    if fit.classifier == "logistic":
        more = {"l1_ratio": fit.l1, "solver": "saga"} if fit.l1 else {}
        model = LogisticRegression(max_iter=5000, random_state=seed, **more)
    elif fit.classifier == "svm":
        # gamma 1 / width, set with the number of inputs; "auto" is that.
        model = SVC(kernel="rbf", gamma="auto")
        model = model if count == 2 else OneVsRestClassifier(model)
    else:
        model = RandomForestClassifier(fit.trees, random_state=seed, n_jobs=1)
    return Pipeline(
        [
            ("fill", FillIn(tuple(c.width for c in columns), tuple(c.kind == "category" for c in columns))),
            ("scale", StandardScaler()),
            ("choose", Strongest(correlation=fit.correlation)),
            ("model", model),
        ]
    )


def _choices(fit: TableFit, width: int) -> Iterator[dict[str, Any]]:
    """From simple to rich: few inputs first, strong penalties first; each only once."""
    keeps = dict.fromkeys(
        keep if 0 < keep < width else 0 for keep in sorted(fit.keep, key=lambda k: k or width + 1)
    )
    for keep in keeps:
        if fit.classifier == "forest":
            for leaf in sorted(fit.leaves, reverse=True):
                yield {"keep": keep, "leaf": leaf}
        else:
            for penalty in sorted(fit.penalties, reverse=True):
                yield {"keep": keep, "penalty": penalty}


def _parameters(choice: dict[str, Any], start: Pipeline) -> dict[str, Any]:
    found = {"choose__keep": choice["keep"]}
    if "leaf" in choice:
        return found | {"model__min_samples_leaf": choice["leaf"]}
    several = isinstance(start["model"], OneVsRestClassifier)
    return found | {"model__estimator__C" if several else "model__C": 1 / choice["penalty"]}


def _held_out(
    start: Pipeline,
    choice: dict[str, Any],
    inputs: FloatArray,
    truth: IntArray,
    folds: Sequence[Split],
    count: int,
) -> FloatArray:
    """Scores (n, classes) of the rows by chains that were fitted without their patients."""
    said = np.full((len(truth), count), np.nan)
    for fold in folds:
        train, other = list(fold.train), list(fold.validation)
        pipeline = clone(start).set_params(**_parameters(choice, start)).fit(inputs[train], truth[train])
        said[other] = _scores(pipeline, inputs[other])
    return said


def _scores(pipeline: Pipeline, inputs: FloatArray) -> FloatArray:
    """A machine's distances, else probabilities, (n, classes)."""
    if hasattr(pipeline, "predict_proba"):
        return np.asarray(pipeline.predict_proba(inputs), np.float64)
    distance = np.asarray(pipeline.decision_function(inputs), np.float64)
    return np.stack([-distance, distance], axis=1) if distance.ndim == 1 else distance


def _mean_auc(said: FloatArray, truth: IntArray) -> float:
    which = range(1, 2) if said.shape[1] == 2 else range(said.shape[1])
    return float(np.mean([auc(said[:, c], truth == c) for c in which]))


def _arrays(
    pipeline: Pipeline, fit: TableFit, said: FloatArray, truth: IntArray, count: int
) -> dict[str, NDArray[Any]]:
    """A fitted chain as numbers."""
    model, scaler = pipeline["model"], pipeline["scale"]
    found: dict[str, NDArray[Any]] = {
        "fill": pipeline["fill"].fill_,
        "mean": scaler.mean_,
        "scale": scaler.scale_,
        "chosen": pipeline["choose"].chosen_.astype(np.int64),
    }
    if fit.classifier == "logistic":
        return found | {"weight": model.coef_.copy(), "bias": model.intercept_.copy()}
    if fit.classifier == "svm":
        machines = {1: model} if count == 2 else dict(enumerate(model.estimators_))
        for which, machine in machines.items():
            slope, offset = _curve(said[:, which], truth == which)
            found |= {
                f"{which}.support": machine.support_vectors_.copy(),
                f"{which}.dual": machine.dual_coef_[0].copy(),
                f"{which}.line": np.array(
                    [float(machine.intercept_[0]), 1 / len(found["chosen"]), slope, offset], np.float64
                ),
            }
        return found
    return found | _trees(model)


def _curve(distance: FloatArray, positive: NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and offset of the probability over a machine's distance, from rows that it was not fitted on.

    Source: Platt, Advances in Large Margin Classifiers 1999, 61-74, with the smoothed targets given there.
    """
    yes, no = int(positive.sum()), int((~positive).sum())
    high, low = (yes + 1) / (yes + 2), 1 / (no + 2)
    rows = np.concatenate([distance, distance])[:, None]
    labels = np.repeat([1, 0], len(distance))
    share = np.where(positive, high, low)
    line = LogisticRegression(C=1e6, max_iter=1000).fit(
        rows, labels, sample_weight=np.concatenate([share, 1 - share])
    )
    return float(line.coef_[0, 0]), float(line.intercept_[0])


def _trees(model: Any) -> dict[str, NDArray[Any]]:
    """All trees one after the other; a child's number is that of the whole row of nodes."""
    parts: dict[str, list[NDArray[Any]]] = {
        name: [] for name in ("feature", "threshold", "left", "right", "share")
    }
    roots, start = [], 0
    for one in model.estimators_:
        tree = one.tree_
        inner = tree.children_left >= 0
        value = tree.value[:, 0, :]
        parts["feature"].append(np.where(inner, tree.feature, -1).astype(np.int64))
        parts["threshold"].append(np.where(inner, tree.threshold, 0.0))
        parts["left"].append(np.where(inner, tree.children_left + start, 0).astype(np.int64))
        parts["right"].append(np.where(inner, tree.children_right + start, 0).astype(np.int64))
        parts["share"].append(value / value.sum(axis=1, keepdims=True))
        roots.append(start)
        start += int(tree.node_count)
    return {name: np.concatenate(values) for name, values in parts.items()} | {
        "roots": np.array(roots, np.int64)
    }
