"""The guided tour of the whole way, from a study to its report: what each step asks for, and whether it is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from psygnal import Signal

from ..core import BreastAIError
from . import takeaway, tasks

if TYPE_CHECKING:
    from .session import Session


@dataclass(frozen=True)
class Start:
    """How things stood when a step began.

    Attributes:
        slices, phase: where the sliders were.
        boxes: how many the reader had.
        saved: how many files had been written.
    """

    slices: int
    phase: int
    boxes: int
    saved: int


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        title: a few words.
        text: what to do, and what it shows.
        part: the part of the Review dock that it is about, by its name there.
        met: whether it has been done since it began.
        act: does it for the person; None where only a person can.
    """

    title: str
    text: str
    part: str
    met: Callable[[Tour, Start], bool]
    act: Callable[[Tour], None] | None = None


class Tour:
    """Where a person is in the tour, in one window.

    Attributes:
        index: the step, or None while there is no tour.
        met: whether the present step has been done.
        changed: emitted when either changes.
    """

    changed: ClassVar[Signal] = Signal()

    def __init__(self, session: Session) -> None:
        self.session = session
        self.index: int | None = None
        self.met = False
        self.saved = 0
        self._start = Start(0, 0, 0, 0)
        self._then: Callable[[], None] | None = None
        for signal in (
            session.study_changed,
            session.bundle_changed,
            session.position_changed,
            session.prediction_changed,
            session.boxes_changed,
            session.display_changed,
            session.live.changed,
            session.questions.changed,
            session.workers.changed,
        ):
            signal.connect(self._look)
        session.saved.connect(self._count)

    @property
    def step(self) -> Step | None:
        """The present one."""
        return None if self.index is None else STEPS[self.index]

    def begin(self) -> None:
        """Start at the beginning."""
        self._go(0)

    def end(self) -> None:
        """Leave the tour."""
        self._then = None
        self.index = None
        self.changed.emit()

    def move(self, by: int) -> None:
        """Go on, or back; beyond the last step the tour ends."""
        if self.index is None:
            return
        if self.index + by >= len(STEPS):
            self.end()
        else:
            self._go(max(0, self.index + by))

    def act(self) -> None:
        """Do the present step for the person."""
        step = self.step
        if step is None or step.act is None:
            return
        self._do(lambda: step.act(self) if step.act is not None else None)
        self._look()

    def _do(self, action: Callable[[], None]) -> None:
        """Do something for the person; what cannot be done is said."""
        try:
            action()
        except BreastAIError as error:
            self.session.fail(error)

    def when_ready(self, then: Callable[[], None]) -> None:
        """Call that at the next change of anything; once, and not after the step."""
        self._then = then

    def _go(self, index: int) -> None:
        session = self.session
        self._then = None
        self.index = index
        self._start = Start(session.slice_index, session.phase_index, _boxes(session), self.saved)
        self.met = STEPS[index].met(self, self._start)
        self.changed.emit()

    def _look(self, *_: object) -> None:
        step = self.step
        if step is None:
            return
        if self._then is not None:
            then, self._then = self._then, None
            self._do(then)
        if not self.met and step.met(self, self._start):
            self.met = True
            self.changed.emit()

    def _count(self, *_: object) -> None:
        self.saved += 1
        self._look()


def _boxes(session: Session) -> int:
    return 0 if session.journal is None else len(session.journal.boxes)


def _moved(tour: Tour, start: Start) -> bool:
    """Through the slices, and through the phases, where there are several."""
    session, volume = tour.session, tour.session.volume
    return (
        volume is not None
        and (session.slice_index != start.slices or volume.n_slices == 1)
        and (session.phase_index != start.phase or volume.n_phases == 1)
    )


def _answered(tour: Tour, start: Start) -> bool:
    """The model has seen all slices: until then it shows what it has, and the view still moves at the end."""
    prediction = tour.session.prediction
    return prediction is not None and not prediction.pending


def _look_around(tour: Tour) -> None:
    session = tour.session
    assert session.volume is not None
    session.go_to(session.slice_index + (1 if session.slice_index + 1 < session.volume.n_slices else -1))
    if session.volume.n_phases > 1:
        session.go_to(phase_index=(session.phase_index + 1) % session.volume.n_phases)


def _run(tour: Tour) -> None:
    """Run the model, once one has been loaded."""
    session = tour.session
    if session.bundle is None:
        if not session.workers.running(tasks.MODEL):
            from ..models import list_bundles

            known = [one.name for one in list_bundles() if not one.problem]
            if not known:
                raise BreastAIError("There is no model. Open one from a folder.")
            tasks.use_model(session, known[0])
        tour.when_ready(lambda: _run_loaded(tour))
    elif not session.workers.running(tasks.RUN) and session.prediction is None:
        tasks.run_model(session)


def _run_loaded(tour: Tour) -> None:
    """Run the model that was asked for when it is there; one that cannot be loaded is not asked for again."""
    if tour.session.bundle is not None:
        _run(tour)
    elif tour.session.workers.running(tasks.MODEL):
        tour.when_ready(lambda: _run_loaded(tour))


def _ask(tour: Tour) -> None:
    """Put the questions to the attention, or where there is none to the Grad-CAM."""
    session = tour.session
    prediction = session.prediction
    if prediction is None:
        raise BreastAIError("There is no heat map to question yet. Run the model first.")
    which: Literal["attention", "gradcam"] = "gradcam" if prediction.attention is None else "attention"
    session.questions.ask([session.slice_index], which, session.display.label or prediction.labels[0])


def _box(tour: Tour) -> None:
    """Take the first region that the attention proposes: it keeps saying where it came from."""
    session = tour.session
    session.go_to(session.top_slice())
    session.editing.suggest()

    def accept() -> None:
        if session.offers.shown:
            session.editing.accept()
        elif session.workers.busy is not None:
            tour.when_ready(accept)

    tour.when_ready(accept)


def _report(tour: Tour) -> None:
    """A report in the temporary folder, which nobody has to tidy up."""
    import tempfile
    from pathlib import Path

    takeaway.save_report(tour.session, Path(tempfile.mkdtemp(prefix="breast-ai-")) / "case-report.html")


STEPS: tuple[Step, ...] = (
    Step(
        "Open a study",
        "A study is a folder of DICOM, in any order. Press Open study…, or take a sample: a synthetic breast with a "
        "lesion in it.",
        "study",
        lambda tour, start: tour.session.volume is not None,
        lambda tour: tasks.open_sample(tour.session, "igm"),
    ),
    Step(
        "Look at it",
        "Turn the wheel over the picture to go through the slices. The keys . and , change the phase: tissue lights up "
        "as the contrast agent comes. S shows the subtraction, in which only what took it up is left.",
        "study",
        _moved,
        _look_around,
    ),
    Step(
        "Ask the model",
        "Press Run on whole volume. The model looks at every slice, behind the picture.",
        "model",
        _answered,
        _run,
    ),
    Step(
        "Read the answer",
        "The bars are the case's probabilities, and the sentence below says how they came about. The strip shows every "
        "slice: click where it is high to go there.",
        "result",
        lambda tour, start: tour.session.slice_index != start.slices,
        lambda tour: tour.session.go_to(_elsewhere(tour)),
    ),
    Step(
        "See where it looked",
        "The colours lie where the model's attention was. A hides and shows them; G shows the Grad-CAM: what the score "
        "of one class depended on. Try one of them.",
        "overlay",
        lambda tour, start: tour.session.display.gradcam or not tour.session.display.attention,
        lambda tour: tour.session.set_display(gradcam=True),
    ),
    Step(
        "Question it",
        "A heat map is not to be trusted on sight. Ask about this slice puts a dozen questions to it: does the score "
        "fall without the hottest part, would a random model give the same map? What it fails stands there in red.",
        "questions",
        lambda tour, start: bool(tour.session.questions.answers),
        _ask,
    ),
    Step(
        "Draw a box",
        "Press B and drag a box over the lesion. It is saved in the moment you let go; Ctrl+Z takes it back.",
        "boxes",
        lambda tour, start: _boxes(tour.session) > start.boxes,
        _box,
    ),
    Step(
        "Teach it",
        "Switch on My boxes teach the heat map (W): the attention on all slices follows your box. Draw another one, and "
        "it moves again. The scores stay the model's own.",
        "live",
        lambda tour, start: tour.session.live.fit is not None,
        lambda tour: tour.session.live.switch(True),
    ),
    Step(
        "Take it away",
        "Report… writes one page on the case, with the pictures, the probabilities, the curves and what the model was "
        "judged on. Nobody is named in it.",
        "takeaway",
        lambda tour, start: tour.saved > start.saved,
        _report,
    ),
)


def _elsewhere(tour: Tour) -> int | None:
    """The most telling slice, or its neighbour where that is on the screen."""
    session = tour.session
    top = session.top_slice()
    if top is None or session.volume is None or top != session.slice_index:
        return top
    return top + 1 if top + 1 < session.volume.n_slices else top - 1
