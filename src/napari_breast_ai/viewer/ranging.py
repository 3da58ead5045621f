"""Is the study on the screen like those that its model was trained on? Asked by itself, behind the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from psygnal import Signal

from ..core import Progress
from .table_scoring import slice_model

if TYPE_CHECKING:
    from ..inference.in_range import Finding, RangeReport
    from .session import Session

RANGE = "range"


class RangeWatch:
    """Holds the study against the model when both are there, and its features when the model has run; for one session.

    Attributes:
        report: what was found; None while nothing is known.
        changed: emitted when that changes.
    """

    changed: ClassVar[Signal] = Signal()

    def __init__(self, session: Session) -> None:
        self._session = session
        self.report: RangeReport | None = None
        # What the last check was of: study, model, slices whose features were compared.
        self._asked: tuple[Any, Any, tuple[int, ...]] | None = None
        session.study_changed.connect(self._check)
        session.bundle_changed.connect(self._check)
        session.prediction_changed.connect(self._check)
        # A study that is read behind the screen is complete when a job ends.
        session.workers.changed.connect(self._check)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is not as in the training, the gravest first."""
        return () if self.report is None else self.report.findings

    @property
    def outside(self) -> bool:
        """The model's probabilities are not to be shown as certain."""
        return self.report is not None and self.report.outside

    def _check(self) -> None:
        session = self._session
        volume, bundle, prediction = session.volume, slice_model(session), session.prediction
        if volume is None or bundle is None or not session.complete:
            self._forget()
            return
        slices: tuple[int, ...] = ()
        if prediction is not None and prediction.model.sha256 == bundle.ref.sha256:
            slices = prediction.slices
        asked = (volume, bundle, slices)
        before = self._asked
        if before is not None and before[0] is volume and before[1] is bundle and before[2] == slices:
            return
        if before is None or before[0] is not volume or before[1] is not bundle:
            self._forget()
        self._asked = asked
        kept = session.live.keep() if slices else None

        def work(progress: Progress) -> RangeReport:
            from ..inference.in_range import check_range, slice_vectors

            maps = kept.get(slices) if kept is not None else None
            vectors = None if maps is None else slice_vectors(maps)
            return check_range(volume, bundle.spec.preparation, bundle.ranges, vectors)

        def done(report: RangeReport) -> None:
            self.report = report
            self.changed.emit()

        session.workers.start(
            RANGE, "Compare the study with the training", work, done=done, failed=session.fail
        )

    def _forget(self) -> None:
        # Cancelling is told to whoever listens to the workers, us too: forget first.
        asked, self._asked = self._asked, None
        if asked is not None:
            self._session.workers.cancel(RANGE)
        if self.report is not None:
            self.report = None
            self.changed.emit()
