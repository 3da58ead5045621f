"""What the command line prints: progress, the audit, a case's scores, and how long each step took."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from ..core.progress import in_words

if TYPE_CHECKING:
    from ..core import DceVolume, Prediction
    from ..study import Group, StudyIndex

RESEARCH_USE = "Research use only: not a medical device, not for decisions about patients."


class ProgressLine:
    """Progress as one line of a terminal that is written over, with the time left where that is more than seconds."""

    def __init__(self) -> None:
        self._last = 0.0
        self._what, self._begin, self._first = "", 0.0, 0

    def __call__(self, done: int, total: int, what: str) -> None:
        """Write the line anew, at most ten times a second."""
        now = time.monotonic()
        if what != self._what:
            self._what, self._begin, self._first = what, now, done
        if done < total and now - self._last < 0.1:
            return
        self._last = now
        left = ""
        if self._first < done < total and now - self._begin > 3:
            left = f", {in_words((now - self._begin) * (total - done) / (done - self._first))} left"
        end = "\n" if done >= total else ""
        # Blanks over what stood there: older Windows consoles print the code that erases a line.
        print(f"\r{f'{what}: {done}/{total}{left}':<60}", end=end, file=sys.stderr, flush=True)


def say_index(index: StudyIndex) -> None:
    """The audit for people: patients, their studies, groups and phases, and what was not used."""
    from ..study import outline

    for patient in outline(index):
        print(patient.title)
        for study in patient.studies:
            print(f"  Study {study.title}")
            for group in study.groups:
                _say_group(group)
    for case in index.cases:
        size = " × ".join(map(str, case.shape))
        print(f"{case.format}: {case.name}: {case.n_phases} phase(s) of {size} in {len(case.paths)} file(s)")
    for warning in index.warnings:
        print(f"Note: {warning}")
    shown = 20
    for unused in index.unused[:shown]:
        print(f"unused: {unused.file}: {unused.reason}")
    if len(index.unused) > shown:
        print(f"unused: {len(index.unused) - shown} more; --json lists them all")
    others = sum(len(case.paths) for case in index.cases)
    grouped = index.files - others - len(index.unused)
    also = f"{others} of other formats, " if others else ""
    print(f"{index.files} files: {grouped} in groups, {also}{len(index.unused)} unused.")


def _say_group(group: Group) -> None:
    from ..study.outline import phase_time, phase_title

    role = " ".join(filter(None, (group.role, group.judged.detail)))
    print(f"    {role}: {group.description or '(no description)'}  [{group.key[:12]}]")
    print(f"      Why: {group.judged.reason} (confidence {group.judged.confidence:.2f})")
    print(f"      {group.n_phases} phase(s) × {group.n_slices} slice(s) in {len(group.paths)} file(s)")
    if group.n_phases > 1:
        for number, phase in enumerate(group.phases):
            print(
                f"      {phase_title(group, number)}: {phase_time(phase)}, {len(phase.frames)} image(s)  "
                f"[{phase.key[:12]}]"
            )
    for decision in group.overruled:
        print(f"      Overruled: {decision}")
    for warning in group.warnings:
        print(f"      Note: {warning}")


def say_prediction(prediction: Prediction, volume: DceVolume) -> None:
    """The case's scores in a few lines."""
    shape = volume.data.shape
    print(f"{shape[0]} phases × {shape[1]} slices of {shape[2]} × {shape[3]}; {prediction.input}")
    for label, value in prediction.case.probabilities.items():
        ends = prediction.case.intervals.get(label)
        interval = "" if ends is None else f" ({ends[0]:.3f} to {ends[1]:.3f})"
        print(f"  {label}: {'not scored' if value is None else f'{value:.3f}{interval}'}")
    print(f"  {prediction.case.rule}")
    for warning in prediction.warnings:
        print(f"  Note: {warning}")
    print(RESEARCH_USE)


def say_evaluation(evaluation: dict[str, Any]) -> None:
    """The figures, and what a person must know beside them."""
    print(evaluation["data"])
    for part, found in evaluation["figures"].items():
        for name, one in found.items():
            print(
                f"  {part}, {name}: {one['value']:.3f} ({one['low']:.3f}-{one['high']:.3f}), n = {one['n']}"
            )
    for name, one in evaluation.get("across_runs", {}).items():
        print(f"  {name}, mean (SD) of {one['n']} fits: {one['mean']:.3f} ({one['sd']:.3f})")
    for warning in evaluation["warnings"]:
        print(f"  {warning}", file=sys.stderr)
    print(RESEARCH_USE)


class Clock:
    """Seconds of each step, in order."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """End the step that `name` names and begin the next."""
        now = time.perf_counter()
        self.laps[name] = round(now - self._last, 3)
        self._last = now
