"""Labelled cases that look alike to the model, found behind the screen when it has run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from psygnal import Signal

from ..core import BreastAIError, Progress
from . import tasks
from .table_scoring import slice_model

if TYPE_CHECKING:
    from ..inference.similar import Neighbour, SimilarIndex
    from .session import Session

SIMILAR, INDEX = "similar", "index"


class Similar:
    """An index of labelled cases, and those of them that are like the study on the screen; for one session.

    Attributes:
        index: the index; None while none was chosen.
        neighbours: the nearest cases, the nearest first; () while nothing is known.
        told: how it stands, in a sentence.
        changed: emitted when any of that changes.
    """

    changed: ClassVar[Signal] = Signal()

    def __init__(self, session: Session) -> None:
        self._session = session
        self.index: SimilarIndex | None = None
        self.neighbours: tuple[Neighbour, ...] = ()
        self.told = ""
        session.prediction_changed.connect(self._on_prediction)
        session.study_changed.connect(self._on_study)
        session.bundle_changed.connect(self._clear)

    def open_index(self, folder: str | Path) -> None:
        """Use an index, and find at once if the model has run."""

        def work(progress: Progress) -> SimilarIndex:
            from ..inference.similar import read_index

            return read_index(folder)

        self._session.workers.start(INDEX, "Read the index", work, done=self._use, failed=self._session.fail)

    def make_index(self, table: str | Path, column: str, folder: str | Path) -> None:
        """Make an index of a table of cases with the session's model, and use it.

        Raises:
            BreastAIError: there is no model.
        """
        session, bundle = self._session, slice_model(self._session)
        if bundle is None:
            raise BreastAIError("There is no model whose features could be compared. Choose one first.")

        def work(progress: Progress) -> SimilarIndex:
            from ..inference.similar import read_index
            from ..training.similar_cohort import index_cohort
            from ..training.table import read_cohort

            index_cohort(read_cohort(table), column, bundle, Path(folder), progress=progress)
            return read_index(folder)

        session.workers.start(INDEX, "Index the cases", work, done=self._use, failed=session.fail)

    def open_case(self, number: int) -> None:
        """Show a neighbour's study in place of the present one."""
        tasks.open_path(self._session, self.neighbours[number].entry.path)

    def _use(self, index: SimilarIndex) -> None:
        self.index = index
        self._clear()  # neighbours in the last one
        self._find()

    def _on_prediction(self) -> None:
        # A taught attention changes the map, not the features.
        if self._session.live.fit is None:
            self._find()

    def _on_study(self) -> None:
        """Another study, or another reader, whose boxes are others."""
        self._clear()
        self._find()

    def _clear(self) -> None:
        self._session.workers.cancel(SIMILAR)
        self.neighbours, self.told = (), ""
        self.changed.emit()

    def _find(self) -> None:
        session, index = self._session, self.index
        volume, bundle, prediction = session.volume, slice_model(session), session.prediction
        kept = session.live.keep()
        if index is None or volume is None or bundle is None or prediction is None or kept is None:
            self._clear()
            return
        if len(prediction.slices) < volume.n_slices:
            self.neighbours, self.told = (), "Run the model on the whole volume to find similar cases."
            self.changed.emit()
            return
        boxes = tuple(session.journal.boxes) if session.journal is not None else ()
        source = session.source

        def work(progress: Progress) -> tuple[Neighbour, ...]:
            from ..inference.similar import nearest_to
            from ..study.patient import patient_id_of

            patient = patient_id_of(source) if source else ""
            return nearest_to(index, bundle, volume, prediction, kept, boxes, patient)

        def done(found: tuple[Neighbour, ...]) -> None:
            if session.volume is volume:
                self.neighbours = found
                self.told = "" if found else "The index holds no case of another patient."
                self.changed.emit()

        session.workers.start(SIMILAR, "Look for similar cases", work, done=done, failed=session.fail)
