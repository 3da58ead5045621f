"""A model of a table's rows: plain arrays, worked out with numpy alone.

Each member is the fitted state of a chain of scikit-learn parts: missing values filled in, scaled, the chosen inputs,
a classifier. It is kept as numbers, so that a bundle holds no code, and needs scikit-learn for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core import LabelGroup
from .errors import ModelError
from .table_spec import Block, Column, Member, TableSpec

FloatArray = NDArray[np.float64]
Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Cases:
    """What is known of n cases.

    Attributes:
        numbers: block to float64 (n, features), NaN where unknown.
        names: block to the names of its features.
        texts: clinical column to its n cells as they stand in the table, "" where unknown.
        count: n.
    """

    numbers: Mapping[Block, FloatArray]
    names: Mapping[Block, tuple[str, ...]]
    texts: Mapping[str, Sequence[str]]
    count: int

    def subset(self, rows: Sequence[int]) -> Cases:
        """The cases at these places, in that order."""
        chosen = list(rows)
        return Cases(
            {block: values[chosen] for block, values in self.numbers.items()},
            self.names,
            {name: tuple(cells[i] for i in chosen) for name, cells in self.texts.items()},
            len(chosen),
        )


def number(text: str) -> float:
    """A cell as a number, with a point or a comma for the decimals; NaN where it is none."""
    try:
        value = float(text.strip().replace(",", ".") if text.count(",") == 1 else text)
    except ValueError:
        return float("nan")
    return value if np.isfinite(value) else float("nan")


def is_number(text: str) -> bool:
    """Whether a cell is read as a number."""
    return not np.isnan(number(text))


def encode(columns: Sequence[Column], cases: Cases) -> FloatArray:
    """Inputs as numbers, float64 (n, sum of the columns' widths), NaN where unknown.

    A category becomes as many numbers as there are, 1 at its own; one that the model does not know is 0 everywhere.

    Raises:
        ModelError: a column is not among what is known of the cases.
    """
    parts: list[FloatArray] = []
    at = {block: {name: i for i, name in enumerate(names)} for block, names in cases.names.items()}
    start = 0
    while start < len(columns):
        column = columns[start]
        stop = start + 1
        if column.block == "clinical":
            if column.name not in cases.texts:
                raise ModelError(f"The model needs the column “{column.name}”, which is not in the table.")
            cells = cases.texts[column.name]
            if column.kind == "number":
                parts.append(np.array([[number(cell)] for cell in cells], np.float64).reshape(-1, 1))
            else:
                one = np.array(
                    [
                        [float(cell == known) if cell else np.nan for known in column.categories]
                        for cell in cells
                    ],
                    np.float64,
                )
                parts.append(one.reshape(len(cells), len(column.categories)))
        else:
            while stop < len(columns) and columns[stop].block == column.block:
                stop += 1
            known = at.get(column.block, {})
            names = [one.name for one in columns[start:stop]]
            if lacking := [name for name in names if name not in known]:
                raise ModelError(f"The model needs the feature {lacking[0]!r}, which was not computed.")
            parts.append(cases.numbers[column.block][:, [known[name] for name in names]])
        start = stop
    return np.concatenate(parts, axis=1) if parts else np.zeros((cases.count, 0))


def unknown_categories(columns: Sequence[Column], cases: Cases) -> tuple[str, ...]:
    """Sentences about cells that the model cannot use, one a column."""
    found = []
    for column in columns:
        if column.block != "clinical":
            continue
        cells = [cell for cell in cases.texts.get(column.name, ()) if cell]
        if column.kind == "number":
            odd = [cell for cell in cells if np.isnan(number(cell))]
            what = "is no number and was taken as missing"
        else:
            odd = [cell for cell in cells if cell not in column.categories]
            what = "was not among the training patients and counts as none of the known ones"
        if odd:
            found.append(f"In the column {column.name}, “{odd[0]}” {what} ({len(odd)} cases in all).")
    return tuple(found)


@dataclass(frozen=True, eq=False)
class TableModel:
    """Spec and numbers of a model of table rows.

    Attributes:
        spec: what it is.
        arrays: "MEMBER.NAME" to array. Of each member `fill`, `mean`, `scale` (one per number of its inputs) and
            `chosen` (which of them the classifier sees), and then
            logistic: `weight` (classes or 1, chosen), `bias`;
            svm: for each class but, of a pair, the first, `CLASS.support` (vectors, chosen), `CLASS.dual`,
            `CLASS.line` (bias, gamma, and slope and offset of the logistic curve over the distance);
            forest: `roots`, and per node `feature` (-1 at a leaf), `threshold`, `left`, `right`, `share` (classes).
    """

    spec: TableSpec
    arrays: Arrays

    def __post_init__(self) -> None:
        for index, member in enumerate(self.spec.members):
            _check(self, index, member)

    @property
    def groups(self) -> tuple[LabelGroup, ...]:
        """The label groups, in order."""
        return self.spec.groups

    def probabilities(self, cases: Cases) -> dict[str, FloatArray]:
        """Label to probabilities (n,): of a group's members the mean.

        Raises:
            ModelError: something that the model needs is not known of the cases.
        """
        found: dict[str, FloatArray] = {}
        for group in self.groups:
            scores = [
                member_scores(self, index, encode(self.columns_of(member), cases))
                for index, member in enumerate(self.spec.members)
                if member.group == group.name
            ]
            mean = np.mean(scores, axis=0)
            kept = mean[:, 1:] if group.activation == "sigmoid" else mean
            found.update(zip(group.labels, kept.T, strict=True))
        return found

    def columns_of(self, member: Member) -> tuple[Column, ...]:
        """The inputs that a member sees."""
        return tuple(column for column in self.spec.columns if column.block in member.blocks)

    def influence(self) -> list[dict[str, object]]:
        """Chosen inputs of each member with their weights, the strongest first; weights of a logistic member only."""
        found: list[dict[str, object]] = []
        for index, member in enumerate(self.spec.members):
            names = [
                f"{column.name}={known}" if known else column.name
                for column in self.columns_of(member)
                for known in (column.categories or ("",))
            ]
            chosen = [names[i] for i in self.arrays[f"{index}.chosen"].tolist()]
            told: dict[str, object] = {"group": member.group, "blocks": list(member.blocks)}
            if member.classifier == "logistic":
                weight = np.asarray(self.arrays[f"{index}.weight"], np.float64)
                order = np.argsort(-np.abs(weight).max(axis=0), kind="stable")
                told["weights per standard deviation"] = {
                    chosen[i]: [round(float(w), 4) for w in weight[:, i]] for i in order[:40]
                }
            else:
                told["inputs"] = chosen[:40]
            found.append(told | {"inputs chosen": len(chosen), "inputs offered": len(names)})
        return found


def classes_of(group: LabelGroup) -> tuple[str, ...]:
    """A group's classes as its members know them: the labels, or "0" and "1" of a yes-or-no question."""
    return ("0", "1") if group.activation == "sigmoid" else group.labels


def member_scores(model: TableModel, index: int, inputs: FloatArray) -> FloatArray:
    """Probabilities (n, classes) of one member for encoded inputs (n, width)."""
    array = {
        name.partition(".")[2]: value for name, value in model.arrays.items() if name.startswith(f"{index}.")
    }
    filled = np.where(np.isnan(inputs), array["fill"], inputs)
    scaled = ((filled - array["mean"]) / array["scale"])[:, array["chosen"].astype(np.int64)]
    kind = model.spec.members[index].classifier
    if kind == "logistic":
        return _logistic(array, scaled)
    return _machines(array, scaled) if kind == "svm" else _forest(array, scaled)


def _logistic(array: Arrays, inputs: FloatArray) -> FloatArray:
    logits = inputs @ np.asarray(array["weight"], np.float64).T + array["bias"]
    if logits.shape[1] == 1:
        yes = _sigmoid(logits[:, 0])
        return np.stack([1 - yes, yes], axis=1)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: FloatArray = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _sigmoid(values: FloatArray) -> FloatArray:
    # exp of what is never positive: no overflow.
    small = np.exp(-np.abs(values))
    found: FloatArray = np.where(values >= 0, 1 / (1 + small), small / (1 + small))
    return found


def _machines(array: Arrays, inputs: FloatArray) -> FloatArray:
    """Support vector machines with a Gaussian kernel; of several classes each against the rest."""
    scores = []
    for name in sorted(
        (key for key in array if key.endswith(".line")), key=lambda key: int(key.split(".")[0])
    ):
        which = name.split(".")[0]
        bias, gamma, slope, offset = (float(value) for value in np.asarray(array[name], np.float64))
        support = np.asarray(array[f"{which}.support"], np.float64)
        squares = (inputs**2).sum(1)[:, None] + (support**2).sum(1)[None] - 2 * inputs @ support.T
        distance = (
            np.exp(-gamma * np.maximum(squares, 0)) @ np.asarray(array[f"{which}.dual"], np.float64) + bias
        )
        scores.append(_sigmoid(slope * distance + offset))
    if len(scores) == 1:
        return np.stack([1 - scores[0], scores[0]], axis=1)
    stacked = np.stack(scores, axis=1)
    total = stacked.sum(axis=1, keepdims=True)
    shares: FloatArray = np.where(total > 0, stacked / np.where(total > 0, total, 1), 1 / len(scores))
    return shares


def _forest(array: Arrays, inputs: FloatArray) -> FloatArray:
    # Trees were grown on single precision, and a threshold lies between two such values.
    rows = inputs.astype(np.float32)
    feature, threshold = np.asarray(array["feature"], np.int64), np.asarray(array["threshold"], np.float64)
    left, right = np.asarray(array["left"], np.int64), np.asarray(array["right"], np.int64)
    share = np.asarray(array["share"], np.float64)
    total = np.zeros((len(rows), share.shape[1]))
    roots = np.asarray(array["roots"], np.int64)
    for root in roots:
        node = np.full(len(rows), root)
        while (inner := np.flatnonzero(feature[node] >= 0)).size:
            at = node[inner]
            goes_left = rows[inner, feature[at]] <= threshold[at]
            node[inner] = np.where(goes_left, left[at], right[at])
        total += share[node]
    return total / len(roots)


def _check(model: TableModel, index: int, member: Member) -> None:
    """Refuse arrays that do not fit the spec, or that would lead astray."""

    def wrong(what: str) -> ModelError:
        return ModelError(f"The model's numbers are not usable: {what}.")

    group = next(group for group in model.groups if group.name == member.group)
    classes = len(classes_of(group))
    array = {
        name.partition(".")[2]: value for name, value in model.arrays.items() if name.startswith(f"{index}.")
    }
    for name, values in array.items():
        if values.dtype.kind not in "if" or not np.isfinite(values).all():
            raise wrong(f"{name} of member {index} is not finite")

    def shaped(name: str, *shape: int | None) -> NDArray[Any]:
        values = array.get(name)
        if values is None or values.ndim != len(shape):
            raise wrong(f"{name} of member {index} is missing or of another shape")
        if any(want is not None and want != have for want, have in zip(shape, values.shape, strict=True)):
            raise wrong(f"{name} of member {index} has the shape {values.shape}")
        return values

    def within(name: str, values: NDArray[Any], least: int, end: int) -> None:
        if values.dtype.kind != "i" or (values.size and (values.min() < least or values.max() >= end)):
            raise wrong(f"{name} of member {index} points to what is not there")

    width = sum(column.width for column in model.columns_of(member))
    for name in ("fill", "mean", "scale"):
        shaped(name, width)
    if (array["scale"] <= 0).any():
        raise wrong(f"a scale of member {index} is not positive")
    chosen = shaped("chosen", None)
    within("chosen", chosen, 0, width)
    inputs = len(chosen)
    if member.classifier == "logistic":
        rows = 1 if classes == 2 else classes
        shaped("weight", rows, inputs)
        shaped("bias", rows)
    elif member.classifier == "svm":
        for which in range(classes) if classes > 2 else (1,):
            support = shaped(f"{which}.support", None, inputs)
            shaped(f"{which}.dual", len(support))
            shaped(f"{which}.line", 4)
    else:
        nodes = len(shaped("feature", None))
        for name in ("threshold", "left", "right"):
            shaped(name, nodes)
        shaped("share", nodes, classes)
        roots = shaped("roots", None)
        within("roots", roots, 0, nodes)
        within("feature", array["feature"], -1, inputs)
        inner = array["feature"] >= 0
        for name in ("left", "right"):
            within(name, array[name][inner], 0, nodes)
            # A child behind its parent: no way leads back, and every walk ends.
            if (array[name][inner] <= np.flatnonzero(inner)).any():
                raise wrong(f"a tree of member {index} runs in a circle")
        if not len(roots):
            raise wrong(f"member {index} has no trees")
