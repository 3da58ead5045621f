"""“Save as bundle” of what was taught live: by way of a training that is judged, or said not to be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core import BreastAIError, Progress
from ..core.words import counted
from .table_scoring import slice_model

if TYPE_CHECKING:
    from ..training.live import LiveFit
    from ..training.live_cohort import BoxedCohort
    from ..training.order import Order
    from .session import Session

SAVING = "live saving"


def prepare(session: Session, offered: Callable[[], None], refused: Callable[[str], None]) -> None:
    """Make a table of the boxed cases and put the training that it allows into the Train dock; nothing is started.

    Args:
        session: whose worklist.
        offered: called when the choices stand in the Train dock.
        refused: told why there can be no training that is judged.

    Raises:
        BreastAIError: no model is chosen, no worklist is open, or a training runs.
    """
    bundle, log = slice_model(session), session.reading.log
    if bundle is None:
        raise BreastAIError("Choose a model with an attention first.")
    if session.training.busy:
        raise BreastAIError("A training runs. Wait for it, or cancel it in the Train dock, and press again.")
    if log is None:
        refused(
            "Without a worklist there is this case only, and a training is judged on other patients. Open a worklist in "
            "the Cases dock to train on all boxed cases."
        )
        return
    reader, folder = session.reader, log.worklist.folder

    def work(progress: Progress) -> tuple[BoxedCohort, Order | None]:
        from ..annotations.boxed import boxed_cases
        from ..training.live_cohort import boxed_cohort, order_for

        cohort = boxed_cohort(boxed_cases(log, reader), bundle, progress)
        return cohort, None if cohort.why_not else order_for(cohort, bundle, folder, reader)

    def done(found: tuple[BoxedCohort, Order | None]) -> None:
        cohort, order = found
        if order is None:
            refused(" ".join((cohort.why_not, *cohort.notes)))
            return
        if session.training.state == "done":
            session.training.choose_again()
        session.training.open_table(order.table, order)
        offered()
        patients = len({row.patient_id for row in cohort.rows})
        more = " ".join(cohort.notes)
        session.say(
            f"The Train dock is filled in for {counted(cohort.boxes, 'box', 'boxes')} of "
            f"{counted(patients, 'patient', 'patients')}: look it through and press Start. The bundle that comes of "
            f"it is judged by patient, with a report. {more}".strip()
        )

    session.workers.start(SAVING, "Gather the boxed cases", work, done=done, failed=session.fail)


def save_unjudged(session: Session, folder: str, fit: LiveFit) -> None:
    """Write the model with its taught attention, in a thread; it says everywhere that nobody has judged it.

    Raises:
        BreastAIError: no model is chosen.
    """
    bundle = slice_model(session)
    if bundle is None:
        raise BreastAIError("Choose a model with an attention first.")

    def work(progress: Progress) -> Any:
        from ..training.live_bundle import save_taught

        return save_taught(folder, bundle, fit)

    def done(path: Path) -> None:
        session.say(f"Saved in {path}. Nobody has judged this model, and it says so wherever it is used.")

    session.workers.start(SAVING, "Save the bundle", work, done=done, failed=session.fail)
