"""All cases opened before a training starts: what is wrong with each, and how long the training would take."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ..core import Box, DceVolume, Progress, silent
from ..models import build
from .features import BATCH, extract
from .gather import asked_rows, go_through, slices_of
from .heads import fit_head
from .order import Order, resolve, rounds_of
from .recipe import Recipe
from .table import Question, Row
from .wire import Checked, Found

_TRIED = 3 * BATCH
"""Slices whose features are timed."""


def check(order: Order, tell: Callable[[Found], None], progress: Progress = silent) -> Checked:
    """Open every case that would be learnt from; each thing that is wrong with one is told as it is found. What is
    wrong with the table itself is for `prospect`.

    Args:
        order: see there.
        tell: told of every problem.
        progress: told after every case; may cancel.

    Raises:
        TrainingError: table, labels or recipe cannot be used at all.
    """
    cohort, questions, recipe = resolve(order)
    wanted = asked_rows(cohort, questions)
    slices, begin = 0, time.monotonic()

    def look(row: Row, volume: DceVolume, boxes: tuple[Box, ...], _: str) -> None:
        nonlocal slices
        slices += len(slices_of(row, volume, boxes, questions))

    go_through(
        wanted,
        look,
        lambda problem: tell(Found(problem)),
        questions,
        order.reader or None,
        progress,
        "looking at the cases",
    )
    reading = time.monotonic() - begin
    splits = {row.columns.get("split", "").lower() for row in wanted}
    rounds = rounds_of(recipe.protocol, splits) + 1
    fitting = _fitting(recipe, questions, slices, rounds) if isinstance(recipe, Recipe) else None
    return Checked(slices, None if fitting is None else reading + fitting)


def _fitting(recipe: Recipe, questions: Sequence[Question], slices: int, rounds: int) -> float | None:
    """Seconds for features and heads, roughly: from a few slices of noise and one head on these."""
    groups = tuple(question.group for question in questions)
    if recipe.fit.method not in ("narrow", "ridge", "sgd"):
        return None
    if slices < 2 * BATCH or any(len(g.labels) < 2 and g.activation == "softmax" for g in groups):
        return None
    model = build(recipe.spec(groups), "random")
    rng = np.random.default_rng(0)
    channels = 3 if model.spec.preparation.channels else 1
    noise = rng.integers(0, 255, (_TRIED, channels, *model.spec.preparation.size), np.uint8)
    by_maps = recipe.fit.method == "sgd"
    extract(model, noise[:BATCH])
    begin = time.monotonic()
    found = extract(model, noise, keep="maps" if by_maps else "vectors")
    seconds = (time.monotonic() - begin) / _TRIED * slices * (2 if recipe.flips else 1)
    chosen = rng.integers(0, _TRIED, slices)
    features = found[chosen.tolist()]
    features = (
        features
        + 0.1 * features.std() * features.new_tensor(rng.normal(size=features.shape[:2]))[..., None, None]
    )
    words = {g.name: ("1", "0") if g.activation == "sigmoid" else g.labels for g in groups}
    labels = {name: [told[i % len(told)] for i in range(slices)] for name, told in words.items()}
    height, width = model.spec.preparation.size
    boxes = [(Box(0, 0.2 * height, 0.2 * width, 0.5 * height, 0.5 * width, "lesion"),)] * slices
    took = []
    for epochs in (1, 3) if by_maps else (recipe.fit.epochs,):
        short = replace(recipe, fit=replace(recipe.fit, epochs=epochs))
        begin = time.monotonic()
        fit_head(model, features, labels, [str(i) for i in range(slices)], boxes, short, 0)
        took.append(time.monotonic() - begin)
    # What comes before the first epoch counts once.
    one = took[0] + (recipe.fit.epochs - 1) * max(0.0, took[-1] - took[0]) / 2 if by_maps else took[0]
    return seconds + one * rounds
