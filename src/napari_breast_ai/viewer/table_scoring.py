"""Models of a lesion's features and clinical values in a reading: what they ask for, and their run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from psygnal import Signal

from ..core import DceVolume, Prediction, Progress

if TYPE_CHECKING:
    from ..inference.in_range import RangeReport
    from ..models import Bundle, TableBundle
    from ..models.table_spec import Column
    from .session import Session


def table_model(session: Session) -> TableBundle | None:
    """The session's model where it scores a whole case from features and values; else None."""
    from ..models.table_spec import TableSpec

    bundle: Any = session.bundle
    return bundle if bundle is not None and isinstance(bundle.spec, TableSpec) else None


def slice_model(session: Session) -> Bundle | None:
    """The session's model where it looks at slices; else None."""
    bundle: Any = session.bundle
    return None if table_model(session) is not None else bundle


def score_case(session: Session, volume: DceVolume, bundle: TableBundle) -> None:
    """Run the session's model on the case with its reader's boxes, in a thread."""
    from .tasks import RUN

    boxes = session.journal.boxes if session.journal is not None else ()
    values = session.values.known()

    def work(progress: Progress) -> Any:
        from ..inference.table_prediction import score_table
        from ..inference.table_range import case_range

        prediction, case = score_table(volume, bundle, boxes=boxes, values=values, progress=progress)
        return prediction, case_range(volume, bundle, case, progress)

    def done(found: tuple[Prediction, RangeReport]) -> None:
        prediction, report = found
        # Study or model may have been changed for another meanwhile.
        if session.volume is volume and session.bundle is bundle:
            session.values.scored = prediction, (tuple(boxes), values)
            session.range.take(prediction, report)
            session.set_prediction(prediction)

    session.workers.start(RUN, "Run the model", work, done=done, failed=session.fail)


def missing(session: Session) -> str:
    """What the session's model still needs for the case on the screen, in sentences; "" for nothing."""
    bundle = table_model(session)
    if bundle is None or session.volume is None:
        return ""
    from ..inference.aggregation import boxed_slices

    spec = bundle.spec
    found = ["This model scores the whole case, not slices."]
    boxes = session.journal.boxes if session.journal is not None else ()
    if (spec.radiomics is not None or spec.deep is not None) and not boxed_slices(boxes):
        found.append("Draw a box around the lesion: it looks within it.")
    known = session.values.known()
    unknown = [name for name in spec.clinical if not known.get(name)]
    if unknown:
        found.append(f"Tell it {', '.join(unknown)} above, if known.")
    scored = session.values.scored
    if scored is not None and scored[0] is session.prediction and scored[1] != (tuple(boxes), known):
        found.append("Boxes or values have changed since the case was scored: score it again.")
    return " ".join(found)


class ClinicalValues:
    """The values that a model asks for of the case on the screen, for one session.

    A worklist's table may tell them; what a person types counts in its place, as long as the window is open.

    Attributes:
        scored: the last score of a case, and the boxes and values that it was made of.
        changed: emitted when a person has told one.
    """

    changed: ClassVar[Signal] = Signal()

    def __init__(self, session: Session) -> None:
        self._session = session
        self._typed: dict[str, dict[str, str]] = {}
        self.scored: tuple[Prediction, tuple[Any, ...]] | None = None

    @property
    def asked(self) -> tuple[Column, ...]:
        """The columns that the model asks for, in its order; none for a model that looks at slices."""
        bundle = table_model(self._session)
        if bundle is None:
            return ()
        return tuple(column for column in bundle.spec.columns if column.block == "clinical")

    def known(self) -> dict[str, str]:
        """Column to its cell, for what is asked; "" where nobody knows."""
        session = self._session
        if session.volume is None:
            return {}
        told = {name.lower(): cell for name, cell in self._in_the_list().items()}
        typed = self._typed.get(session.volume.identity.study_uid, {})
        return {
            column.name: typed.get(column.name, told.get(column.name.lower(), "")).strip()
            for column in self.asked
        }

    def tell(self, name: str, cell: str) -> None:
        """Keep what a person says of the case on the screen."""
        volume = self._session.volume
        if volume is None or self.known().get(name) == cell.strip():
            return
        self._typed.setdefault(volume.identity.study_uid, {})[name] = cell.strip()
        self.changed.emit()

    def _in_the_list(self) -> Mapping[str, str]:
        reading = self._session.reading
        if reading.worklist is None or reading.turn is None or reading.opening:
            return {}
        return reading.worklist.case(reading.turn.case_id).columns
