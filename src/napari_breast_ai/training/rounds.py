"""The rounds of a run: each is fitted and judged, told to whoever watches, and kept where there is a place for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..core import Progress
from .examples import Examples
from .fitting import Fitting, State, nothing
from .ground import Ground, Scores
from .judge import Judged, aucs, averaged, judged_slices, per_patient
from .pace import Pace
from .protocol import Round
from .watching import Control, EpochDone, RoundDone, RoundStarted, RunDone, RunStarted, Shown, Watch


@dataclass(frozen=True, eq=False)
class Result:
    """What a round gave.

    Attributes:
        scores: label to (n,) on the slices that it is judged on.
        attention: (n, h, w) on the same, or None.
        note: how the fit went.
        course: what each epoch gave; empty for a fit without epochs.
        weights: of the final fit, and of the folds of a cross-validation where only pooling and head are fitted;
            empty for the others.
        seconds: that it took.
    """

    scores: Scores
    attention: NDArray[np.float32] | None
    note: dict[str, Any]
    course: list[dict[str, Any]]
    weights: dict[str, Tensor] = field(default_factory=dict)
    seconds: float = 0.0

    def tree(self) -> dict[str, Any]:
        """For `packing.pack`."""
        return {key: getattr(self, key) for key in self.__dataclass_fields__}


class Keeper(Protocol):
    """Where results and the state of a fit outlive the process."""

    def result(self, number: int) -> Result | None:
        """Of the round of that number (from 1), where it is finished."""

    def keep(self, number: int, result: Result) -> None:
        """Keep a finished round."""

    def left(self, number: int) -> State | None:
        """Where the fit of that round was left."""

    def leave(self, number: int, state: State) -> None:
        """Leave the state of a fit that is under way."""

    def due(self) -> bool:
        """Whether it is time to leave a state again."""


Finished = Callable[[int, Result], None]


class Farm(Protocol):
    """Other processes or machines that rounds can run on."""

    def run(
        self,
        ground: Ground,
        rounds: Sequence[tuple[int, Round]],
        finished: Finished,
        control: Control,
    ) -> None:
        """Run the rounds in any order; `finished` is called here, with the number and the result of each."""


def fit_round(ground: Ground, one: Round, fitting: Fitting) -> Result:
    """Fit and judge one round. The same round gives the same result in any process of this machine.

    Raises:
        TrainingError: it cannot be fitted.
        Cancelled: raised by the fitting.
    """
    begin = time.monotonic()
    model, how = ground.fit(one.train, fitting)
    scores: Scores = {}
    attention = None
    if one.judged:
        scores, attention = ground.judge(model, one.judged)
    kept = one.part == "final" or (one.part == "validation" and ground.keeps_folds)
    weights = ground.fitted(model) if kept else {}
    patients = ground.examples.patients
    note = {"training slices": len(one.train), "training patients": len({patients[i] for i in one.train})}
    return Result(scores, attention, note | how, fitting.course, weights, time.monotonic() - begin)


class Rounds:
    """The rounds of one run."""

    def __init__(
        self,
        ground: Ground,
        rounds: Sequence[Round],
        *,
        keeper: Keeper | None = None,
        farm: Farm | None = None,
        watch: Watch,
        control: Control,
        progress: Progress,
    ) -> None:
        """See `train`."""
        self._ground, self._rounds = ground, tuple(rounds)
        self._keeper, self._farm = keeper, farm
        self._watch, self._control, self._progress = watch, control, progress
        self._pace = Pace([len(one.train) for one in rounds], control)
        self._results: dict[int, Result] = {}

    def run(self, what: str, warnings: Sequence[str]) -> list[Result]:
        """Do all that is not done yet; the results in the rounds' order.

        Args:
            what: a sentence on the run.
            warnings: that a person should see.
        """
        found = {}
        for number, _ in enumerate(self._rounds, 1):
            if self._keeper is not None and (result := self._keeper.result(number)) is not None:
                found[number] = result
        total = len(self._rounds)
        self._watch(RunStarted(what, total, self._ground.epochs, len(found), tuple(warnings)))
        self._pace.begin([number for number in range(1, total + 1) if number not in found])
        for number, result in found.items():
            self._finished(number, result, again=True)
        left = [(n, one) for n, one in enumerate(self._rounds, 1) if n not in found]
        if self._farm is not None and left:
            self._farm.run(self._ground.light(), left, self._finished, self._control)
        else:
            for number, one in left:
                self._here(number, one)
        self._watch(RunDone(self._pace.seconds))
        return [self._results[number] for number in range(1, total + 1)]

    def _here(self, number: int, one: Round) -> None:
        """A round in this process."""
        example = _example(self._ground.examples, one)
        left = None if self._keeper is None else self._keeper.left(number)
        sizes = (len(self._rounds), self._ground.epochs)
        steer = (self._watch, self._control, self._pace)
        fitting = Watched(number, sizes, left, example, self._keeper, steer)
        patients = {self._ground.examples.patients[i] for i in one.train}
        self._watch(
            RoundStarted(
                number,
                len(self._rounds),
                one.repeat,
                one.fold,
                one.part,
                len(patients),
                len(one.train),
                None if example is None else shown(self._ground.examples, example),
            )
        )
        fitting.tell_again()
        self._finished(number, fit_round(self._ground, one, fitting))

    def _finished(self, number: int, result: Result, again: bool = False) -> None:
        if self._keeper is not None and not again:
            self._keeper.keep(number, result)
        self._results[number] = result
        if not again:
            self._pace.done(number)
        one = self._rounds[number - 1]
        own, so_far = self._aucs(number, one)
        self._watch(
            RoundDone(
                number,
                len(self._rounds),
                one.repeat,
                one.fold,
                one.part,
                len(self._results),
                own,
                so_far,
                again,
                self._pace.left(),
            )
        )
        self._progress(len(self._results), len(self._rounds), "fitting heads")
        self._control.point()

    def _aucs(self, number: int, one: Round) -> tuple[dict[str, float], dict[str, float]]:
        """AUCs of a round, and of all rounds of its part that are over."""
        if not one.judged:
            return {}, {}
        groups, rule = self._ground.spec.groups, self._ground.spec.aggregation
        found = []
        for numbers in ([number], sorted(self._results)):
            rows = [
                row
                for n in numbers
                if (round_ := self._rounds[n - 1]).part == one.part
                for row in judged(self._ground.examples, round_, self._results[n])
            ]
            found.append(aucs(averaged(rows), averaged(per_patient(rows, groups, rule)), groups))
        return found[0], found[1]


class Watched(Fitting):
    """A fit that is watched, kept and steered."""

    def __init__(
        self,
        number: int,
        sizes: tuple[int, int],
        left: State | None,
        shown: int | None,
        keeper: Keeper | None,
        steer: tuple[Watch, Control, Pace],
    ) -> None:
        """Go on where `left` says; `sizes` are the numbers of rounds and of epochs at most."""
        super().__init__(left, shown)
        self._number, (self._rounds, self._epochs), self._keeper = number, sizes, keeper
        self._watch, self._control, self._pace = steer

    def step(self) -> None:
        """See `Fitting`."""
        self._control.point()

    def tell_again(self) -> None:
        """Tell the epochs from before an interruption."""
        for one in self.course:
            self._tell(one, None)

    def epoch(
        self,
        epoch: int,
        epochs: int,
        *,
        loss: float,
        auc: float | None,
        kept: bool,
        tasks: Mapping[str, float] | None = None,
        state: Callable[[], State],
        look: Callable[[], NDArray[np.float32] | None] = nothing,
    ) -> None:
        """See `Fitting`."""
        super().epoch(epoch, epochs, loss=loss, auc=auc, kept=kept, tasks=tasks, state=state)
        self._pace.within(self._number, epoch / epochs)
        self._tell(self.course[-1], None if self.shown is None else look())
        # Whoever pauses may close the window next, and whoever cancels may come back.
        halting = self._control.paused or self._control.cancelled
        if self._keeper is not None and epoch < epochs and (halting or self._keeper.due()):
            self._keeper.leave(self._number, self.kept(state))
        self._control.point()

    def _tell(self, one: dict[str, Any], attention: NDArray[np.float32] | None) -> None:
        self._watch(
            EpochDone(
                self._number,
                self._rounds,
                one["epoch"],
                self._epochs,
                one["loss"],
                one["auc"],
                one["kept"],
                attention,
                self._pace.left(),
            )
        )


def judged(examples: Examples, one: Round, result: Result) -> list[Judged]:
    """The slices that a round judged."""
    part = examples.subset(one.judged)
    return judged_slices(part, result.scores, one.repeat, one.fold, one.part)


def course(rounds: Sequence[Round], results: Sequence[Result]) -> list[dict[str, Any]]:
    """What evaluation.json holds of the epochs of each round; rounds without epochs are not there.

    The epoch that was kept is one number, or one for each task where tasks have copies of their own.
    """
    return [
        {
            "repeat": one.repeat,
            "fold": one.fold,
            "part": one.part,
            "epochs": [{k: v for k, v in e.items() if k != "kept"} for e in result.course],
            "kept epoch": result.note.get("kept epoch"),
        }
        for one, result in zip(rounds, results, strict=True)
        if result.course
    ]


def _example(examples: Examples, one: Round) -> int | None:
    """The slice to show: the one with the largest lesion of those that are judged."""
    boxes = examples.lesion_boxes
    sizes = {i: max(box.area for box in boxes[i]) for i in one.judged if boxes[i]}
    return max(sizes, key=lambda i: sizes[i]) if sizes else next(iter(one.judged), None)


def shown(examples: Examples, i: int) -> Shown:
    """An example for people."""
    picture = examples.images[i].mean(axis=0).astype(np.uint8)
    return Shown(examples.cases[i], examples.slices[i], picture, examples.lesion_boxes[i])
