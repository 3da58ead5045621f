"""The long things a person asks for, done in threads: open, make a sample, load a model, run it.

Each function takes the session, starts a job and returns; the session changes when the job is done. A job
that fails or is cancelled changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..core import BreastAIError, Progress

Kind = Literal["igm", "nme", "normal"]

if TYPE_CHECKING:
    from ..models import BundleInfo
    from .session import Session

SAMPLE_SEED = 6
"""Which woman the samples show: no model that comes with the package was trained on her."""

STUDY, MODEL, LIST, RUN = "study", "model", "list", "run"


def open_path(session: Session, path: str | Path | Sequence[str | Path]) -> None:
    """Read the study in a folder or in files, and show it in place of the present one."""
    first = path if isinstance(path, str | Path) else path[0]

    def work(progress: Progress) -> Any:
        from ..study import read_study

        return read_study(path, progress)

    session.workers.start(
        STUDY,
        "Open the study",
        work,
        done=lambda volume: session.show_study(volume, str(first)),
        failed=session.fail,
    )


def open_sample(session: Session, kind: Kind, seed: int = SAMPLE_SEED) -> None:
    """Make a phantom of that kind ("igm", "nme", "normal") and show it with its true boxes."""

    def work(progress: Progress) -> Any:
        from ..phantom import PhantomSpec, make_phantom

        return make_phantom(PhantomSpec(kind=kind, seed=seed), progress)

    session.workers.start(
        STUDY,
        "Make the phantom",
        work,
        done=lambda phantom: session.show_study(phantom.volume, None, phantom.truth.boxes),
        failed=session.fail,
    )


def list_models(session: Session, done: Callable[[tuple[BundleInfo, ...]], None]) -> None:
    """Find the models that come with the package and those in the user's folder."""

    def work(progress: Progress) -> Any:
        from ..models import list_bundles

        return tuple(list_bundles())

    session.workers.start(LIST, "Look for models", work, done=done, failed=session.fail)


def use_model(session: Session, name_or_folder: str) -> None:
    """Load a bundle by name or folder and make it the session's."""

    def work(progress: Progress) -> Any:
        from ..models import load_bundle

        return load_bundle(name_or_folder)

    session.workers.start(MODEL, "Load the model", work, done=session.set_bundle, failed=session.fail)


def run_model(session: Session, slices: Sequence[int] | None = None) -> None:
    """Run the session's model on some slices, or on all, and show what it says.

    Raises:
        BreastAIError: there is no study or no model.
    """
    volume, bundle = session.volume, session.bundle
    if volume is None:
        raise BreastAIError("There is no study to run on. Open one first.")
    if bundle is None:
        raise BreastAIError("There is no model to run. Choose one first.")

    boxes = (session.journal.boxes if session.journal is not None else ()) or None

    def work(progress: Progress) -> Any:
        from ..inference import predict

        return predict(volume, bundle, slices=slices, boxes=boxes, progress=progress)

    def done(prediction: Any) -> None:
        # The study may have been changed for another while the model ran.
        if session.volume is volume:
            session.set_prediction(prediction)
            session.go_to(session.top_slice() if slices is None else None, prediction.phase)

    session.workers.start(RUN, "Run the model", work, done=done, failed=session.fail)
