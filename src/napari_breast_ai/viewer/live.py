"""Live attention: after every box the heat map of all slices is fitted anew, behind the screen; where a person wants it,
from all boxed cases of the worklist, and the scores with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from psygnal import Signal

from ..core import Box, BreastAIError, Prediction, Progress
from . import tasks
from .live_cases import LiveCases
from .table_scoring import slice_model

if TYPE_CHECKING:
    from ..inference import KeptFeatures
    from ..training.live import LiveAttention, LiveFit
    from ..training.live_scores import LiveScores, TaughtScores
    from .session import Session

LIVE = "live"


class Live:
    """The switch, and what it does; for one session.

    Scores stay those of the model unless the person has them taught too, and then say so; the Grad-CAM always stays.

    Attributes:
        on: whether boxes teach the attention on the screen.
        all_cases: whether the boxes of all cases of the worklist do, and not only those of the study on the screen.
        with_scores: whether the classes of boxes teach the scores too.
        fit: what the boxes have made of the attention; None while it is the model's own.
        scores: what they have made of the scores, where that was wanted; its `groups` are empty where they could not.
        others: the other cases.
        changed: emitted when any of these changes.
    """

    changed: ClassVar[Signal] = Signal()

    def __init__(self, session: Session) -> None:
        self._session = session
        self.on = self.all_cases = self.with_scores = False
        self.fit: LiveFit | None = None
        self.scores: TaughtScores | None = None
        self.others = LiveCases(session)
        self._kept: KeptFeatures | None = None
        self._learner: LiveAttention | None = None
        self._marker: LiveScores | None = None
        # What the model itself said, and whether a change of the prediction is ours.
        self._own: Prediction | None = None
        self._showing = False
        # Boxes and slices without a lesion of the study that `_kept` belongs to.
        self._said: tuple[tuple[Box, ...], tuple[int, ...]] = ((), ())
        # Those at which a run was stopped or failed: it is not begun again for them.
        self._stopped_at: tuple[tuple[Box, ...], tuple[int, ...]] | None = None
        # Of another study under the same model: solving goes on from there.
        self._last: LiveFit | None = None
        self._log: object = None
        session.study_changed.connect(self._forget)
        session.bundle_changed.connect(self._forget)
        session.reading.changed.connect(self._on_list)
        session.prediction_changed.connect(self._on_prediction)
        session.boxes_changed.connect(self._teach)
        self.others.changed.connect(self._on_others)

    @property
    def scores_taught(self) -> bool:
        """Whether the scores on the screen are not the model's own."""
        return self.scores is not None and bool(self.scores.groups)

    @property
    def own(self) -> Prediction | None:
        """What the model itself said, whatever boxes have made of its attention."""
        return self._own

    @property
    def kept(self) -> KeptFeatures | None:
        """The feature maps that are kept of the study on the screen; None while nothing was run or looked for."""
        return self._kept

    def keep(self) -> KeptFeatures | None:
        """Where a run of the session's model on its study leaves its feature maps."""
        session = self._session
        bundle = slice_model(session)
        if session.volume is None or bundle is None:
            return None
        precision = "int8" if session.fast else "float32"
        if (
            self._kept is None
            or not self._kept.belongs_to(session.volume, bundle)
            or self._kept.precision != precision
        ):
            from ..inference import FeatureCache, KeptFeatures

            self._kept = KeptFeatures(session.volume, bundle, disk=FeatureCache(), precision=precision)
            self._learner = self._marker = None
        return self._kept

    def forget_disk(self) -> None:
        """Whether anything is kept on the disk has changed."""
        if self._kept is not None:
            from ..inference import FeatureCache

            self._kept.disk = FeatureCache()

    def switch(self, on: bool) -> None:
        """Let boxes teach the attention, or show the model's own again."""
        if on == self.on:
            return
        self.on = on
        self.begun()
        if on:
            self._session.set_display(attention=True)
            self._look()
            self._teach()
        else:
            self._session.workers.cancel(LIVE)
            self.others.stop()
            self._show_own()
        self.changed.emit()

    def teach_from(self, all_cases: bool) -> None:
        """Learn from the boxes of all cases of the worklist, or from those of the study on the screen."""
        if all_cases == self.all_cases and not self.others.stopped:
            return
        self.all_cases = all_cases
        self.begun()
        self._look()
        self._teach()
        self.changed.emit()

    def teach_scores(self, on: bool) -> None:
        """Let the classes of boxes teach the scores too, or show the model's own."""
        if on == self.with_scores:
            return
        self.with_scores = on
        self.begun()
        self._teach()
        self.changed.emit()

    def reset(self) -> None:
        """Begin again at the model's own attention; the boxes that are there teach it from there."""
        self._learner = self._marker = self._last = None
        self.begun()
        self._show_own()
        self._look()
        self._teach()

    def begun(self) -> None:
        """Somebody asks for a run of the model, or for what needs one."""
        self._stopped_at = None

    def stopped(self) -> None:
        """A run was stopped or has failed: it is not begun again by itself until there is another box."""
        self._stopped_at = self._boxed()

    def _boxed(self) -> tuple[tuple[Box, ...], tuple[int, ...]]:
        """Boxes, and slices said to show no lesion, of the study on the screen."""
        volume, journal = self._session.volume, self._session.journal
        if volume is None or journal is None:
            return (), ()
        empty = tuple(range(volume.n_slices)) if journal.empty_case else tuple(journal.empty_slices)
        return tuple(journal.boxes), empty

    def _look(self) -> None:
        """At the other cases, where they are to teach."""
        bundle = slice_model(self._session)
        if self.on and self.all_cases and bundle is not None:
            self.others.look(bundle)
        else:
            self.others.stop()

    def _teach(self) -> None:
        """Fit the attention to the boxes of now, if there is what it takes; else run the model first."""
        session = self._session
        volume, bundle, journal = session.volume, slice_model(session), session.journal
        if not self.on or volume is None or bundle is None or journal is None:
            return
        if session.opinions.held is not None:
            return  # what the model looks at is part of its answer, and that waits
        boxes, empty = said = self._boxed()
        kept = self.keep()
        assert kept is not None
        self._said = said
        others = self.others.others() if self.all_cases else ()
        own = self._own
        # What another model said before this one was chosen has nothing to do with this one's feature maps.
        mine = own is not None and own.model == bundle.ref
        if own is None or not mine or not kept.complete or len(own.slices) < volume.n_slices:
            if kept.too_large:
                self._session.say(
                    "The feature maps of this study are too large to be kept in memory, and boxes cannot teach the "
                    "attention. Choose a model with a smaller backbone.",
                    once=True,
                )
            elif (boxes or empty) and said != self._stopped_at and not session.workers.running(tasks.RUN):
                try:
                    tasks.run_model(session, stay=True, with_maps=True)
                except BreastAIError as error:
                    session.fail(error)
            return
        if not boxes and not empty and not others:
            session.workers.cancel(LIVE)
            if self._learner is not None:
                self._learner.reset()
            self._show_own()
            return
        learner, marker, last = self._learner, self._marker, self._last
        with_scores = self.with_scores

        def work(progress: Progress) -> Any:
            from ..training.live import LiveAttention
            from ..training.live_scores import LiveScores, as_taught

            made = learner or LiveAttention(kept.maps, bundle.model.pooling, own.covered, last=last)
            fit = made.fit(boxes, empty, others, progress)
            scores, marks = None, marker
            if with_scores:
                marks = marks or LiveScores(kept.maps, own.groups, own.probabilities)
                scores = marks.fit(fit, boxes, empty, others, progress)
            return made, marks, fit, scores, as_taught(own, fit, scores, bundle.spec, boxes)

        def done(found: Any) -> None:
            if self.on and self._own is own:
                self._learner, self._marker, self.fit, self.scores, shown = found
                self._last = self.fit
                self._show(shown)
                self.changed.emit()

        session.workers.start(
            LIVE, "Teach the attention", work, done=done, failed=session.fail, cancelled=lambda: None
        )

    def _show_own(self) -> None:
        if self.fit is not None:
            self.fit = self.scores = self._last = None
            if self._own is not None:
                self._show(self._own)
            self.changed.emit()

    def _show(self, prediction: Prediction) -> None:
        self._showing = True
        try:
            self._session.set_prediction(prediction)
        finally:
            self._showing = False

    def _on_prediction(self) -> None:
        if self._showing:
            return
        if self._session.prediction is None and self.all_cases:
            self._remember()
        self._own, self.fit, self.scores = self._session.prediction, None, None
        self.changed.emit()
        self._teach()

    def _forget(self) -> None:
        session = self._session
        bundle = slice_model(session)
        self.begun()
        if self._kept is not None and not (
            session.volume is not None
            and bundle is not None
            and self._kept.belongs_to(session.volume, bundle)
        ):
            session.workers.cancel(LIVE)
            if bundle is None or bundle.ref != self._kept.bundle.ref:
                self._last = None
            self._kept = self._learner = self._marker = None
            self.fit = self.scores = None
            if session.prediction is None:
                self._own = None
            self._said = ((), ())
        self._look()
        self.changed.emit()

    def _remember(self) -> None:
        """What the study that leaves the screen teaches, from the maps that are there."""
        kept, own = self._kept, self._own
        boxes, empty = self._said
        if kept is None or own is None or own.model != kept.bundle.ref or not kept.complete:
            return
        from ..training.lessons import lesson_from, some_of

        n_slices = kept.volume.n_slices
        if len(own.slices) == n_slices and (boxes or empty):
            # All slices of a case without a lesion are too many to keep.
            empty = empty if len(empty) < n_slices else some_of(n_slices)
            self.others.put(lesson_from(kept.volume, kept.maps, own, boxes, empty), kept.bundle)

    def _on_others(self) -> None:
        if self.all_cases:
            self._teach()
        self.changed.emit()

    def _on_list(self) -> None:
        """Another worklist has other cases."""
        if self._session.reading.log is not self._log:
            self._log = self._session.reading.log
            self._look()
