"""What a person takes away from a case: the picture of the view, the report, the table of scores."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core import BreastAIError, Progress

if TYPE_CHECKING:
    from .session import Session

KIND = "takeaway"
COMPARING = "The study is being compared with what the model was trained on."


def save_picture(session: Session, path: Path) -> Path:
    """Write the canvas as it is seen, with its maps, boxes and readout, as PNG.

    Raises:
        BreastAIError: there is no study, or the file cannot be written.
    """
    import io

    from PIL import Image

    _need_study(session)
    viewer: Any = session.viewer
    stream = io.BytesIO()
    Image.fromarray(viewer.screenshot(canvas_only=True, flash=False)).convert("RGB").save(stream, "PNG")
    path = path if path.suffix.lower() == ".png" else path.with_name(f"{path.name}.png")
    return _written("picture", path, stream.getvalue())


def save_table(session: Session, path: Path) -> Path:
    """Write the scores of the case and of every slice as CSV.

    Raises:
        BreastAIError: no model has run, something of it is still at work, or the file cannot be written.
    """
    from ..inference.write import prediction_csv

    prediction, watch = session.prediction, session.range
    if prediction is None:
        raise BreastAIError("There are no scores yet. Run a model first.")
    if prediction.pending:
        raise BreastAIError("The model is still at work. Write the scores when all slices are there.")
    if watch.at_work:
        raise BreastAIError(f"{COMPARING} Write the scores when that is known.")
    path = path if path.suffix else path.with_name(f"{path.name}.csv")
    text = prediction_csv(prediction, taught=session.live.scores_taught, like=watch.like, doubts=watch.doubts)
    return _written("table", path, text)


def save_report(session: Session, path: Path, subject: str = "") -> None:
    """Write the case's report in the background: PDF where the name ends so, else HTML. It says when it is there.

    Args:
        session: whose study, boxes and prediction.
        path: written over.
        subject: what the report calls the case; nothing else in it names anybody.

    Raises:
        BreastAIError: there is no study, it is still being read, or something of it is still at work.
    """
    volume = _need_study(session)
    if not session.complete:
        raise BreastAIError("The study is still being read. Make the report when all its slices are there.")
    boxes = session.journal.boxes if session.journal is not None else ()
    prediction = session.prediction
    if prediction is not None and prediction.pending:
        raise BreastAIError("The model is still at work. Make the report when all slices are there.")
    # A model that was chosen after the run is not the one that spoke.
    bundle = session.bundle
    if bundle is not None and (prediction is None or bundle.ref != prediction.model):
        bundle = None
    asked, removal = session.questions.in_words(), session.questions.removal()
    if prediction is not None and session.range.at_work:
        raise BreastAIError(f"{COMPARING} Make the report when that is known.")
    doubts = () if prediction is None else session.range.doubts
    opinions = [one.sentence for one in session.journal.opinions] if session.journal is not None else []
    if session.kinetics.breasts.pending:
        raise BreastAIError("The breasts are being measured. Make the report when their figures are there.")
    breasts = session.kinetics.breasts.measured
    path = path if path.suffix.lower() in (".pdf", ".html") else path.with_name(f"{path.name}.html")

    def work(progress: Progress) -> Path:
        from ..inference.case_page import write_case_page
        from ..inference.case_report import Answer, case_report
        from ..inference.case_sheet import write_case_sheet
        from ..kinetics.density import breast_facts

        progress(0, 2, "Gathering")
        made = case_report(
            volume,
            boxes,
            prediction,
            bundle,
            doubts=doubts,
            answers=[Answer(*one) for one in asked],
            removal=removal,
            opinions=opinions,
            measured=() if breasts is None else breast_facts(breasts.masks, breasts.rows),
            subject=subject,
            made=date.today().strftime("%d %B %Y"),
        )
        progress(1, 2, "Laying out")
        write = write_case_sheet if path.suffix.lower() == ".pdf" else write_case_page
        return write(made, path)

    session.workers.start(
        KIND,
        "Write the report",
        work,
        done=lambda written: session.saved.emit(str(written)),
        failed=session.fail,
    )


def _written(what: str, path: Path, content: bytes | str) -> Path:
    """Write a file whole, or say why it could not be."""
    from ..files import write_whole

    try:
        write_whole(path, content)
    except OSError as error:
        raise BreastAIError(
            f"The {what} could not be written to {path} ({error.strerror or error}). Choose another place."
        ) from error
    return path


def _need_study(session: Session) -> Any:
    if session.volume is None:
        raise BreastAIError("There is no study on the screen. Open one first.")
    return session.volume
