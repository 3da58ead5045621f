"""Two runs on the same cases: the difference of their AUCs, and how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from .appraisal import LEVELS, Answers, Level, answers, questions
from .figures import Figure, PatientDraws, drawn_aucs
from .metrics import Comparison, delong_test
from .records import Run


@dataclass(frozen=True)
class Compared:
    """One question asked of two runs.

    Attributes:
        question, part, level: what was compared.
        first, second: names of the runs.
        n: how many patients or slices both have judged.
        left_out: how many only one has judged, or on whose truth they do not agree.
        test: DeLong's; None where undefined. It takes slices as independent: of these, `difference` is to be read.
        difference: first minus second AUC, with an interval from drawing patients.
        p_holm: DeLong's p, adjusted by Holm for all comparisons of this level.
        reason: why there is no test, or "".
    """

    question: str
    part: str
    level: Level
    first: str
    second: str
    n: int
    left_out: int
    test: Comparison | None
    difference: Figure
    p_holm: float | None = None
    reason: str = ""


def compare(runs: Sequence[Run]) -> tuple[Compared, ...]:
    """Compare all pairs of runs on each question and part that both have."""
    found: list[Compared] = []
    for level in LEVELS:
        here: list[Compared] = []
        for one, two in combinations(runs, 2):
            theirs = {question.name: question for question in questions(two.groups)}
            for question in questions(one.groups):
                if question.name not in theirs:
                    continue
                for part in (part for part in one.parts if part in two.parts):
                    a, b = (
                        answers(run, which, [r for r in run.records if r.part == part], level)
                        for run, which in ((one, question), (two, theirs[question.name]))
                    )
                    if len(a.scores) and len(b.scores):
                        here.append(_compare(question.name, part, level, one.name, two.name, a, b))
        found += _holm(here)
    return tuple(found)


def _compare(question: str, part: str, level: Level, one: str, two: str, a: Answers, b: Answers) -> Compared:
    keys_a, keys_b = _keys(a, level), _keys(b, level)
    both = [k for k in keys_a if k in keys_b and a.positive[keys_a[k]] == b.positive[keys_b[k]]]
    left_out = len(keys_a.keys() | keys_b.keys()) - len(both)
    rows_a, rows_b = [keys_a[k] for k in both], [keys_b[k] for k in both]
    truth, patients = a.positive[rows_a], [a.patients[i] for i in rows_a]
    if not both or truth.all() or not truth.any():
        reason = (
            "The cases that both have judged are not of both classes, so that there is no AUC to compare."
        )
        if not both:
            reason = "The two runs have judged no case in common."
        return Compared(
            question,
            part,
            level,
            one,
            two,
            len(both),
            left_out,
            None,
            Figure(None, reason=reason),
            reason=reason,
        )
    test = delong_test(a.scores[rows_a], b.scores[rows_b], truth)
    draws = PatientDraws(patients)
    drawn = drawn_aucs(a.scores[rows_a], truth, draws) - drawn_aucs(b.scores[rows_b], truth, draws)
    difference = draws.figure(test.first - test.second, drawn, "")
    return Compared(question, part, level, one, two, len(both), left_out, test, difference)


def _keys(said: Answers, level: Level) -> dict[tuple[str, int | None], int]:
    """Patients by name, slices by case and number, to their rows."""
    names = said.patients if level == "patient" else said.cases
    return {key: i for i, key in enumerate(zip(names, said.slices, strict=True))}


def _holm(found: Sequence[Compared]) -> list[Compared]:
    """With p values adjusted for the number of comparisons.

    Source: Holm, Scand J Stat 1979;6:65-70.
    """
    tested = [i for i, one in enumerate(found) if one.test is not None]
    p = np.array([test.p for i in tested if (test := found[i].test) is not None])
    order = np.argsort(p, kind="stable")
    raised = np.minimum(1, np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))) if len(p) else p
    adjusted = {tested[int(i)]: float(value) for i, value in zip(order, raised, strict=True)}
    return [Compared(**{**one.__dict__, "p_holm": adjusted.get(i)}) for i, one in enumerate(found)]
