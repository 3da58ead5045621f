"""The long things a person asks for, done in threads: open, make a sample, load a model, run it.

Each function takes the session, starts a job and returns; the session changes when the job is done. A job
that fails or is cancelled changes nothing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..core import BreastAIError, DceVolume, Prediction, Progress, silent
from .table_scoring import score_case, slice_model, table_model

Kind = Literal["igm", "nme", "normal"]

if TYPE_CHECKING:
    from ..models import BundleInfo
    from ..study import Group, Loader
    from .session import Session
    from .workers import Tell

SAMPLE_SEED = 6
"""Which woman the samples show: no model that comes with the package was trained on her."""

STUDY, PIXELS, MODEL, LIST, RUN = "study", "pixels", "model", "list", "run"


def open_path(session: Session, path: str | Path | Sequence[str | Path]) -> None:
    """Show the study in a folder or in files in place of the present one: its first slice, then the rest.

    What is on the screen until all slices have been read is told by `session.loader`.
    """
    first = path if isinstance(path, str | Path) else path[0]

    def find(progress: Progress) -> DceVolume | Loader:
        from ..study import open_study

        return open_study(path, progress)

    _open(session, find, str(first))


def open_group(session: Session, group: Group, source: str | None) -> None:
    """Show one group of an index in place of the present study, as `open_path` does."""

    def find(progress: Progress) -> Loader:
        from ..study import Loader, recall_times

        loader = Loader(group)
        loader.volume = recall_times(loader.volume, source)
        return loader

    _open(session, find, source)


def _open(session: Session, find: Callable[[Progress], DceVolume | Loader], source: str | None) -> None:
    def work(progress: Progress) -> DceVolume | Loader:
        found = find(progress)
        if not isinstance(found, DceVolume):
            load_first(found, progress)
        return found

    def show(found: DceVolume | Loader) -> None:
        if isinstance(found, DceVolume):
            session.show_study(found, source)
        else:
            session.show_study(found.volume, source, loader=found)

    session.workers.start(STUDY, "Open the study", work, done=show, failed=session.fail)


def load_first(loader: Loader, progress: Progress = silent) -> None:
    """Read what is shown first, and the same slice before contrast, which the subtraction needs.

    Both give the contrast limits. Raises StudyError where they cannot be read.
    """
    from .layers import first_look

    phase, z = first_look(loader.volume)
    loader.load(progress, (phase, z), only={(phase, z), (loader.volume.pre_contrast, z)})


def fill(session: Session) -> None:
    """Read the slices that are still missing, from the one on the screen outwards.

    Stopped by the person, the study stays as far as it has come; the dock says so, and a model does not run on it.
    When all is there, the next case of a worklist is read ahead.
    """
    loader = session.loader
    if loader is None or loader.complete:
        session.reading.read_ahead()
        session.recall.look()
        return
    place = (session.phase_index, session.slice_index)
    known = loader.loaded.copy()

    def arrived(*_: object) -> None:
        nonlocal known
        before, known = known, loader.loaded.copy()
        if session.loader is loader:
            session.show_arrived(known & ~before)

    def done(*_: object) -> None:
        arrived()
        if session.loader is loader:
            session.reading.read_ahead()
            session.recall.look()

    def stopped() -> None:
        arrived()
        if session.loader is loader:
            session.say(f"Reading was stopped: {unread(loader)} Open the study again to read the rest.")

    def failed(error: BaseException) -> None:
        arrived()
        session.fail(error)

    session.workers.start(
        PIXELS,
        "Read the slices",
        lambda progress: loader.load(progress, place),
        done=done,
        failed=failed,
        cancelled=stopped,
        progressed=arrived,
    )


def unread(loader: Loader) -> str:
    """How much is missing, in a sentence."""
    missing = int((~loader.loaded).sum())
    return f"{missing} of {loader.loaded.size} slices are empty."


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
        from ..models import load_any_bundle

        return load_any_bundle(name_or_folder)

    session.workers.start(MODEL, "Load the model", work, done=session.set_bundle, failed=session.fail)


def run_model(
    session: Session, slices: Sequence[int] | None = None, stay: bool = False, with_maps: bool = False
) -> None:
    """Run the session's model on some slices, or on all, and show what it says as it comes: first the slice on the
    screen, then outwards from it. Stopped or failed, it leaves what was there before. Where the model has answered all
    that is asked, its answer stays until the new one is complete.

    With `stay` the slice on the screen stays; else the most telling one comes, unless the person has moved meanwhile.
    `with_maps`: the feature maps are wanted in memory too, as live attention needs them. A model of a lesion's features
    scores the whole case, whatever slices are asked for.

    Raises:
        BreastAIError: there is no study or no model.
    """
    volume, bundle, table = session.volume, slice_model(session), table_model(session)
    if volume is None:
        raise BreastAIError("There is no study to run on. Open one first.")
    if bundle is None and table is None:
        raise BreastAIError("There is no model to run. Choose one first.")
    if session.loader is not None and not session.complete:
        if session.workers.running(PIXELS):
            raise BreastAIError("The study is still being read. Run the model when all its slices are there.")
        raise BreastAIError(
            f"The study has not been read completely: {unread(session.loader)} A model would take them for dark "
            "tissue. Open the study again."
        )
    if table is not None:
        score_case(session, volume, table)
        return
    assert bundle is not None, "it is one or the other"

    boxes = (session.journal.boxes if session.journal is not None else ()) or None
    kept = session.live.keep()
    assert kept is not None
    # An answer that waits for the reader's own is on no screen.
    before, start = session.opinions.held or session.live.own, session.slice_index
    if before is not None and before.pending:
        before = None  # of a run that this one replaces
    wanted = set(range(volume.n_slices) if slices is None else slices)
    answered = before is not None and before.model == bundle.ref and wanted <= set(before.slices)
    session.live.begun()
    news = News()

    def work(progress: Progress, tell: Tell) -> Any:
        from ..inference import predict

        return predict(
            volume,
            bundle,
            slices=slices,
            boxes=boxes,
            kept=kept,
            engine="fast" if kept.precision == "int8" else "auto",
            start=start,
            partial=None if answered else lambda make: news.offer(make, tell),
            with_maps=with_maps,
            progress=progress,
        )

    def told(partial: Prediction) -> None:
        if session.volume is volume:
            session.set_prediction(partial)
        news.taken()

    def done(prediction: Any) -> None:
        # The study may have been changed for another while the model ran.
        if session.volume is volume:
            session.set_prediction(prediction)
            # Who has gone elsewhere meanwhile is looking at something.
            if not stay and session.slice_index == start:
                session.go_to(session.top_slice() if slices is None else None, prediction.phase)
            session.recall.write()

    def as_before() -> None:
        """What was there before the run, in place of what it had shown or kept back."""
        if session.volume is not volume:
            return
        session.live.stopped()
        if (session.opinions.held or session.live.own) is not before:
            session.set_prediction(before)

    def failed(error: BaseException) -> None:
        as_before()
        session.fail(error)

    session.workers.start(
        RUN, "Run the model", work, done=done, failed=failed, cancelled=as_before, told=told
    )


class News:
    """Hands on what a run has found so far, not faster than a window can draw it.

    Drawing takes a part of the processor that the run needs: at once for the first, which a person waits for, then
    every `EVERY_S` and never before the last one has been drawn.
    """

    EVERY_S = 0.5

    def __init__(self) -> None:
        self._waiting = False
        self._last = -math.inf

    def offer(self, make: Callable[[], Prediction], tell: Tell) -> None:
        """From the run's thread: send it if it is time."""
        now = time.monotonic()
        if not self._waiting and now - self._last >= self.EVERY_S:
            self._waiting, self._last = True, now
            tell(make())

    def taken(self) -> None:
        """From the window's thread: it has been drawn."""
        self._waiting, self._last = False, time.monotonic()
