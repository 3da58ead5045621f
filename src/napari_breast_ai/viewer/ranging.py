"""Is the study on the screen like those that its model was trained on? Asked by itself, behind the screen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from ..core import DceVolume, ModelRef, Prediction, Progress
from .table_scoring import slice_model

if TYPE_CHECKING:
    from ..inference import KeptFeatures
    from ..inference.in_range import Finding, RangeReport
    from ..models import ModelSpec
    from ..models.ranges import TrainingRanges
    from .session import Session

RANGE = "range"

UNLIKE = "Not certain: the study is unlike the model's training"
COMPARING = "Not certain yet: being compared with what the model was trained on"
NOT_COMPARED = "Not certain: not compared with what the model was trained on"
"""Why an answer is not to be taken as certain, in a line of the canvas."""


@dataclass(frozen=True, eq=False)
class _Trained:
    """What a study is held against: a small part of a bundle, which outlives the choice of another model."""

    ref: ModelRef
    spec: ModelSpec
    ranges: TrainingRanges | None

    @property
    def looks(self) -> bool:
        """Whether it tells how the slices of its training looked to it."""
        return self.ranges is not None and self.ranges.features is not None


class RangeWatch:
    """Holds the study against the model that has answered, before that against the one that is chosen; for one session.

    The features of its slices are compared when the model has run on all that it was asked for.

    Attributes:
        report: what was found; None while nothing is known.
        at_work: it is being compared at this moment.
        broken: comparing failed, or was stopped.
        changed: emitted when what is known, or what is to be doubted, changes.
    """

    changed: ClassVar[Signal] = Signal()

    def __init__(self, session: Session) -> None:
        self._session = session
        self.report: RangeReport | None = None
        self.at_work = False
        self.broken = False
        # Of which study, what was found of it by model and slices whose features were compared, and what is asked now.
        self._volume: DceVolume | None = None
        self._found: dict[tuple[_Trained, tuple[int, ...]], RangeReport] = {}
        self._asked: tuple[_Trained, tuple[int, ...]] | None = None
        self._known: dict[ModelRef, _Trained] = {}
        # Of a model that scores whole cases, whose answer comes with what was found.
        self._case: tuple[Prediction, RangeReport] | None = None
        self._told: tuple[Any, ...] = ()
        session.study_changed.connect(self._check)
        session.bundle_changed.connect(self._check)
        session.prediction_changed.connect(self._check)
        # A study that is read behind the screen is complete when a job ends.
        session.workers.changed.connect(self._check)

    @property
    def about(self) -> ModelRef | None:
        """The model that the study is held against; None for none."""
        if self._case is not None and self.report is self._case[1]:
            return self._case[0].model
        return None if self._asked is None else self._asked[0].ref

    @property
    def looks(self) -> bool:
        """Whether that model tells how the slices of its training looked to it."""
        return self._asked is not None and self._asked[0].looks

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is not as in the training, the gravest first."""
        return () if self.report is None else self.report.findings

    @property
    def outside(self) -> bool:
        """The model's probabilities are not to be shown as certain."""
        return self.report is not None and self.report.outside

    @property
    def like(self) -> bool | None:
        """Whether the study is like those of the training; None where that is not known."""
        if self.report is None or (not self.outside and (self.at_work or self.broken)):
            return None
        return self.report.like

    @property
    def doubt(self) -> str:
        """Why the answer on the screen is not to be taken as certain, in a line; "" where nothing speaks against it."""
        prediction = self._session.prediction
        if prediction is None or self.about is None:
            return ""
        if self.outside:
            return UNLIKE
        if self.at_work or (prediction.pending and self.looks):
            return COMPARING
        return doubt_of(None if self.broken else self.report)

    @property
    def doubts(self) -> tuple[str, ...]:
        """The reasons in sentences, for what is taken away."""
        said = () if self.report is None else self.report.doubts
        return said or ((f"{NOT_COMPARED}.",) if self.doubt == NOT_COMPARED else ())

    def take(self, prediction: Prediction, report: RangeReport) -> None:
        """Keep what was found with the answer of a model that scores the whole case."""
        self._case = prediction, report

    def _check(self) -> None:
        self._look()
        self._tell()

    def _look(self) -> None:
        """Ask for what is not known yet."""
        session, volume = self._session, self._session.volume
        if volume is not self._volume:
            self._forget()
            self._found.clear()
            self._volume, self._case = volume, None
        elif self._case is not None and session.prediction is self._case[0]:
            self._forget()
            self.report = self._case[1]
            return
        trained = None if volume is None else self._trained()
        if volume is None or trained is None or not session.complete:
            self._forget()
            return
        prediction = session.prediction
        # What is still to come would be compared again and again beside the run.
        slices = prediction.slices if prediction is not None and not prediction.pending else ()
        asked = (trained, slices if trained.looks else ())
        if asked == self._asked:
            return
        if self._asked is None or self._asked[0] is not trained:
            self._forget()
        known = self._found.get(asked)
        self._asked, self.broken, self.at_work = asked, False, known is None
        if known is not None:
            self.report = known
            session.workers.cancel(RANGE)
        else:
            # What was found before the run holds on.
            self.report = self.report or self._found.get((trained, ()))
            self._start(volume, trained, asked[1])

    def _start(self, volume: DceVolume, trained: _Trained, slices: tuple[int, ...]) -> None:
        session, asked = self._session, self._asked
        kept = session.live.keep() if slices else None
        if kept is not None and kept.bundle.ref != trained.ref:
            kept = None  # of the model that was chosen since
        base = self._found.get((trained, ()))

        def work(progress: Progress) -> tuple[RangeReport, RangeReport]:
            from ..inference.in_range import check_range, with_features

            found = base or check_range(volume, trained.spec.preparation, trained.ranges, progress=progress)
            vectors = None if kept is None else vectors_of(kept, slices, progress)
            return found, with_features(found, vectors, trained.ranges)

        def done(found: tuple[RangeReport, RangeReport]) -> None:
            if self._asked is not asked:
                return
            first, report = found
            self._found[trained, ()] = first
            # Maps that were not there may be the next time.
            if report.features:
                self._found[trained, slices] = report
            self.report, self.at_work = report, False
            self._tell()

        def stopped() -> None:
            if self._asked is asked:
                self.at_work, self.broken = False, True
                self._tell()

        def failed(error: BaseException) -> None:
            stopped()
            session.fail(error)

        session.workers.start(
            RANGE, "Compare the study with the training", work, done=done, failed=failed, cancelled=stopped
        )

    def _trained(self) -> _Trained | None:
        """What the training of the model was whose answer is on the screen, else of the one that is chosen."""
        session = self._session
        bundle, prediction = slice_model(session), session.prediction
        if bundle is not None:
            known = self._known.get(bundle.ref)
            if known is None or known.spec is not bundle.spec or known.ranges is not bundle.ranges:
                self._known[bundle.ref] = _Trained(bundle.ref, bundle.spec, bundle.ranges)
        if prediction is not None:
            # Scores that boxes have taught bear another name.
            own = session.live.own
            return self._known.get(prediction.model if own is None else own.model)
        return None if bundle is None else self._known[bundle.ref]

    def _forget(self) -> None:
        # Cancelling is told to whoever listens to the workers, us too: forget first.
        asked, self._asked = self._asked, None
        self.report, self.at_work, self.broken = None, False, False
        if asked is not None:
            self._session.workers.cancel(RANGE)

    def _tell(self) -> None:
        state = (self.report, self.at_work, self.doubt, self.about)
        if state != self._told:
            self._told = state
            self.changed.emit()


def doubt_of(report: RangeReport | None) -> str:
    """Why an answer whose check is over is not to be taken as certain, in a line; None: it was not compared."""
    if report is None:
        return NOT_COMPARED
    return UNLIKE if report.outside else ""


def vectors_of(kept: KeptFeatures, slices: tuple[int, ...], progress: Progress) -> NDArray[np.float32] | None:
    """Features averaged over each slice, (n, C); None where one of them is not kept."""
    from ..inference.in_range import slice_vectors

    found = []
    for done, z in enumerate(slices, 1):
        maps = kept.get([z])
        if maps is None:
            return None
        found.append(slice_vectors(maps))
        progress(done, len(slices), "Comparing the slices with the training")
    return np.concatenate(found) if found else None
