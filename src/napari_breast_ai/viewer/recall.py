"""What a model has said of a case before: shown when the case is opened again, and written down after a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from psygnal import Signal

from ..core import BreastAIError, Progress
from ..places import cache_folder
from . import tasks
from .table_scoring import slice_model

if TYPE_CHECKING:
    from .session import Session

READY, KEEP = "ready", "keep"


class Recall:
    """Looks behind the screen, when study and model are there, for what a run will need and for what is known already.

    Nobody sees a model's answer unasked who goes through a worklist, or for whom the protocol wants no suggestions.

    Attributes:
        size: bytes that are kept on this computer; None until somebody has looked.
        changed: emitted when it has changed, or whether anything is kept.
    """

    changed: ClassVar[Signal] = Signal()

    def __init__(self, session: Session) -> None:
        self._session = session
        self.size: int | None = None
        session.bundle_changed.connect(self.look)

    def look(self) -> None:
        """Get ready for a run of the session's model on its study, and show what it has said of it before."""
        session = self._session
        volume = session.volume
        if volume is None or not session.complete or session.workers.running(tasks.RUN):
            return
        bundle = slice_model(session)
        if bundle is None:
            return
        kept = session.live.keep()
        assert kept is not None
        boxes = (session.journal.boxes if session.journal is not None else ()) or None
        asked = self._shows

        def work(progress: Progress) -> Any:
            from ..inference import FeatureCache, conclude, engine_ready, make_images, probe

            told = kept.recall() if asked else None
            found = (
                None
                if told is None
                else conclude(volume, bundle, tuple(range(volume.n_slices)), *told, boxes)
            )
            progress(0, 1, "Getting ready")
            self.size = FeatureCache().size()
            if found is None:
                kept.look()
                if kept.precision == "int8":
                    return None  # made in a moment
                shown = probe(range(volume.n_slices))

                def images() -> Any:
                    return make_images(volume, kept.plan, shown)

                engine_ready(bundle.model, images, volume.n_slices, progress)
            return found

        def done(found: Any) -> None:
            self.changed.emit()
            seen = session.prediction
            if (
                found is not None
                # Another reader may have sat down, or taken up a worklist.
                and self._shows
                and session.volume is volume
                and session.bundle is bundle
                and not session.workers.running(tasks.RUN)
                and (seen is None or seen.model != bundle.ref)
            ):
                session.set_prediction(found)

        def failed(error: BaseException) -> None:
            # What a model lacks in a study is said when it is to run on it.
            if not isinstance(error, BreastAIError):
                session.fail(error)

        session.workers.start(READY, "Get the model ready", work, done=done, failed=failed)

    @property
    def _shows(self) -> bool:
        """Whether the reader is shown an answer that they have not asked for."""
        session = self._session
        return session.reading.worklist is None and session.protocol.suggests_to(session.reader)

    def write(self) -> None:
        """Write down what a run has found, so that it is there when the case is opened again."""
        kept = self._session.live.keep()
        if kept is None or kept.disk is None or kept.disk.off:
            return

        def work(progress: Progress) -> int:
            assert kept.disk is not None
            kept.write(progress)
            return kept.disk.size()

        self._start(work)

    @property
    def may_keep(self) -> bool:
        """Whether there is a folder for it at all."""
        return cache_folder() is not None

    @property
    def off(self) -> bool:
        """Whether nothing is kept."""
        from ..inference.cache import is_off

        return is_off()

    @property
    def where(self) -> str:
        """The folder."""
        folder = cache_folder()
        return "" if folder is None else str(folder)

    @property
    def words(self) -> str:
        """How much is kept, in a sentence."""
        from ..inference.cache import LIMIT, in_words

        if not self.may_keep:
            return "Nothing is kept: NAPARI_BREAST_AI_CACHE says off."
        size = "" if self.size is None else f"{in_words(self.size)} of at most {in_words(LIMIT)} are taken. "
        if self.size == 0:
            size = f"Nothing yet, {in_words(LIMIT)} at most. "
        return size + ("Nothing more is kept." if self.off else "The oldest go first.")

    @property
    def bounds(self) -> str:
        """What the feature maps of the study take and may take, in memory and on the disk; "" while there are none."""
        kept = self._session.live.kept
        if kept is None or self._session.volume is None:
            return ""
        from ..inference.cache import LIMIT, in_words

        most = in_words(kept.limit)
        if kept.too_large:
            memory = (
                f"Feature maps of this study would take {in_words(kept.needs)} of memory, more than the {most} that "
                "they may: they are not kept there."
            )
        else:
            memory = f"Feature maps take {in_words(kept.taken)} of at most {most} of memory."
        if kept.disk is None or kept.disk.off:
            disk = "None are kept on the disk."
        elif self.size is None:
            disk = f"On the disk those of all cases may take {in_words(LIMIT)}."
        else:
            disk = f"On the disk those of all cases take {in_words(self.size)} of at most {in_words(LIMIT)}."
        return f"{memory} {disk}"

    def switch(self, on: bool) -> None:
        """Keep what models compute from now on, or not; what is there stays."""
        from ..inference.cache import switch

        try:
            switch(on)
        except OSError as error:
            self._session.say(f"The choice cannot be written to {self.where} ({error}).")
        self._session.live.forget_disk()
        self.changed.emit()

    def empty(self) -> None:
        """Delete what is kept on the disk; what is on the screen stays."""
        folder = cache_folder()
        if folder is None:
            return

        def work(progress: Progress) -> int:
            from ..inference import FeatureCache

            disk = FeatureCache(folder / "features")
            disk.empty()
            return disk.size()

        self._start(work)

    def _start(self, work: Callable[[Progress], int]) -> None:
        def done(size: int) -> None:
            self.size = size
            self.changed.emit()

        self._session.workers.start(KEEP, "Keep the feature maps", work, done=done, failed=self._session.fail)
