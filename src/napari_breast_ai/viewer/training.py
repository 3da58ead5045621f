"""The training of a window: what is chosen, what is wrong with it, the run in its own process, and what came of it."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from psygnal import Signal
from qtpy.QtCore import QTimer

from ..core import BreastAIError, Progress
from ..files import write_whole
from ..places import data_folder
from ..training.order import Order, Prospect, begun, free_folder, prospect
from ..training.table import left_out
from ..training.wire import Checked, Failed, Found, Paused, Stopped, Told, Written
from .child import Child
from .training_run import Run

if TYPE_CHECKING:
    from ..training.columns import Columns
    from ..training.table import Problem
    from .session import Session

State = Literal["choosing", "checking", "running", "pausing", "paused", "stopping", "done"]

TABLE, PROSPECT, OUTCOME = "training table", "training prospect", "training outcome"
CLOSE_AGAIN_S = 15.0
"""So long a second closing is taken as an answer to the warning."""

TELL_EVERY_MS = 100
"""Reports that come quicker are shown together: an epoch of a small cohort takes less than painting it."""

BUSY = ("checking", "running", "pausing", "paused", "stopping")


class Training:
    """What the Train dock shows. It changes by its methods; the signals tell of it.

    Attributes:
        changed: emitted when what is chosen, its problems or the state change.
        told: emitted after the reports of a check or a run, at most every `TELL_EVERY_MS`.
        columns: what the table offers, or None.
        order: what is chosen.
        wanted: what was asked for with the table, where it was not a person who opened it; else None.
        prospect: what is wrong with it, what is missing, the plan.
        found: what looking at the images found wrong.
        checked: that look's result; None where there was none since the choice changed.
        run: the last run, or None.
        state: what goes on.
        message: how the last run or look ended, where it did not end well, or "".
        unfinished: the run that the result folder, or at first that of the last window, holds and that is not done:
            what was asked, and how many rounds are over.
    """

    changed: ClassVar[Signal] = Signal()
    told: ClassVar[Signal] = Signal()

    def __init__(self, session: Session) -> None:
        self._session = session
        self.columns: Columns | None = None
        self.order = Order("")
        self.wanted: Order | None = None
        self.prospect: Prospect = prospect(self.order)
        self.found: tuple[Problem, ...] = ()
        self.checked: Checked | None = None
        self.run: Run | None = None
        self.state: State = "choosing"
        self.message = ""
        self.unfinished: tuple[Order, int] | None = None
        self._child: Child | None = None
        self._leaving: list[Child] = []
        self._warned_at = -CLOSE_AGAIN_S
        self._tell = QTimer()
        self._tell.setSingleShot(True)
        self._tell.timeout.connect(self.told.emit)

    # ------------------------------------------------------------------ choose

    @property
    def busy(self) -> bool:
        """Whether a process is at work for this window."""
        return self.state in BUSY

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All that is known to be wrong, what must be put right first."""
        both = dict.fromkeys((*self.prospect.problems, *left_out(self.found, self.order.leave_out)))
        return tuple(sorted(both, key=lambda one: (not one.fatal, one.line)))

    @property
    def ready(self) -> bool:
        """Whether a start would be of use."""
        known = not self._session.workers.running(PROSPECT)
        return (
            known
            and not self.busy
            and not self.prospect.missing
            and not any(one.fatal for one in self.problems)
        )

    def open_table(self, table: str | Path, wanted: Order | None = None) -> None:
        """Read another table in a thread, and offer what it has, or what is wanted of it."""

        def work(progress: Progress) -> Any:
            from ..training.columns import columns_of

            return columns_of(Path(table), progress)

        self._session.workers.start(
            TABLE,
            "Read the table",
            work,
            done=lambda columns: self._set_columns(columns, wanted),
            failed=self._table_failed,
        )
        self.changed.emit()

    def _set_columns(self, columns: Columns, wanted: Order | None = None) -> None:
        from ..training.columns import label_argument

        self.columns, self.wanted = columns, wanted
        if wanted is not None:
            weights = wanted.weights or self.order.weights or str(self._remembered("weights") or "")
            self.choose(**wanted.to_json() | {"weights": weights, "threads": self.order.threads})
            return
        table = columns.cohort.source
        labels: tuple[str, ...] = ()
        if len(columns.labels) == 1:
            only = columns.labels[0]
            labels = (label_argument(only, tuple(word for word, _ in only.classes)),)
        # A run that was not finished is gone on with where it lies.
        waiting = self.unfinished is not None and self.unfinished[0].table == str(table.resolve())
        out = self.unfinished[0].out if waiting and self.unfinished is not None else free_folder(table)
        self.choose(
            table=str(table),
            labels=labels,
            out=str(out),
            weights=self.order.weights or str(self._remembered("weights") or ""),
            reader=columns.readers[0] if len(columns.readers) == 1 else "",
        )

    def _table_failed(self, error: BaseException) -> None:
        if not isinstance(error, BreastAIError):
            self._session.fail(error)
            return
        self.columns = None
        self.order = replace(self.order, table="", labels=())
        self.prospect = prospect(self.order)
        self.found, self.checked = (), None
        self.message = str(error)
        self.changed.emit()

    def choose(self, **changes: Any) -> None:
        """Change the order by `Order`'s names, and look in a thread at what it would do."""
        order = replace(self.order, **changes)
        if changes.keys() - {"out", "threads", "leave_out"}:
            self.found, self.checked = (), None
        self.order, self.message = order, ""

        def done(found: tuple[Prospect, tuple[Order, int] | None]) -> None:
            self.prospect, self.unfinished = found
            self.changed.emit()

        def work(progress: Progress) -> Any:
            return prospect(order), _unfinished(order.out)

        self._session.workers.start(PROSPECT, "Look at the plan", work, done=done, failed=self._session.fail)
        self.changed.emit()

    def look_back(self) -> None:
        """Offer the run of the last window, where that was not finished."""
        last = str(self._remembered("out") or "")
        if self.busy or self.order.table or not last:
            return

        def done(found: tuple[Order, int] | None) -> None:
            if not self.order.table:
                self.unfinished = found
                self.changed.emit()

        self._session.workers.start(
            PROSPECT,
            "Look for an unfinished run",
            lambda progress: _unfinished(last),
            done=done,
            failed=self._session.fail,
        )

    # --------------------------------------------------------------------- run

    def check(self) -> None:
        """Open every case in a process of its own, and say what is wrong with each."""
        if self.busy:
            return
        self.found, self.checked = (), None
        self.run = Run(self.order)
        self._begin("checking", {"do": "check", "order": self.order.to_json()})

    def start(self) -> None:
        """Train in a process of its own, anew: what an unfinished run has left in the result folder is removed."""
        if self.ready:
            self._train(self.order, anew=True)

    def resume(self) -> None:
        """Go on with the unfinished run, as it was asked for."""
        if self.unfinished is not None and not self.busy:
            self._train(self.unfinished[0], anew=False)

    def _train(self, order: Order, anew: bool) -> None:
        self.run = Run(order)
        self.unfinished = None
        self._remember(weights=order.weights, out=order.out)
        self._begin("running", {"do": "train", "order": order.to_json(), "anew": anew})

    def pause(self) -> None:
        """Let the run wait at its next step."""
        if self.state == "running" and self._child is not None:
            self._child.say({"say": "pause"})
            self._set_state("pausing")

    def go_on(self) -> None:
        """Let a paused run go on."""
        if self.state in ("paused", "pausing") and self._child is not None:
            self._child.say({"say": "resume"})
            self._set_state("running")

    def cancel(self) -> None:
        """End the run, or the look at the images, at its next step."""
        if self.busy and self._child is not None:
            self._child.say({"say": "cancel"})
            self._set_state("stopping")

    def choose_again(self) -> None:
        """Back to the choices."""
        if self.busy:
            return
        self.state = "choosing"
        if self.columns is not None:
            self.choose(out=str(free_folder(self.columns.cohort.source)))
        else:
            self.changed.emit()

    def _begin(self, state: State, message: dict[str, Any]) -> None:
        self.message = ""
        self._child = Child(self._hear, self._ended)
        self._child.start(message)
        self._set_state(state)

    def _set_state(self, state: State) -> None:
        self.state = state
        self.changed.emit()

    def _hear(self, event: Told) -> None:
        """Take up what the child tells, in the window's thread."""
        self._run.take(event)
        actions: dict[type, Callable[[Any], None]] = {
            Paused: self._on_paused,
            Found: self._on_found,
            Checked: self._on_checked,
            Written: self._on_written,
            Stopped: lambda _: self._over(""),
            Failed: self._on_failed,
        }
        if (action := actions.get(type(event))) is not None:
            action(event)
        if not self._tell.isActive():
            self._tell.start(TELL_EVERY_MS)

    def _on_paused(self, event: Paused) -> None:
        if event.paused and self.state == "pausing":
            self._set_state("paused")
        elif not event.paused and self.state in ("paused", "pausing"):
            self._set_state("running")

    def _on_found(self, event: Found) -> None:
        self.found += (event.problem,)

    def _on_checked(self, event: Checked) -> None:
        self.checked = event
        self._over("")

    def _on_written(self, event: Written) -> None:
        self._forget_child()
        self._set_state("done")

    def _on_failed(self, event: Failed) -> None:
        self.found += tuple(one for one in event.problems if one not in self.found)
        # Here there are buttons for what the command line has options for.
        text = re.sub(r" with --[a-z-]+", "", event.text)
        if fatal := sum(one.fatal for one in event.problems):
            text = f"Nothing was trained: {fatal} problem{'s' if fatal > 1 else ''} must be put right first, see below."
        if event.defect:
            text = f"Unexpected {text}. This is a defect of napari-breast-ai; please report it."
        self._over(text)

    def _over(self, message: str) -> None:
        """Back to the choices, with what is to be said."""
        self._forget_child()
        trained = self.state != "checking"
        self.state = "choosing"
        if trained and self.run is not None:
            # What was finished lies in the folder, to be gone on with.
            self.choose(out=self.run.order.out)
        self.message = message
        self.changed.emit()

    def _ended(self, text: str) -> None:
        """The process is gone. Where it said nothing before, it was ended by somebody or something else."""
        if not self.busy:
            return
        last = text.splitlines()[-1] if text else ""
        self._over(
            f"The training's process ended before it was done ({last or 'without a word'}). Where the machine was short "
            "of memory, close other programs or use smaller images; then take the run up again."
        )

    @property
    def _run(self) -> Run:
        assert self.run is not None
        return self.run

    def _forget_child(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.release()
            self._leaving = [one for one in (*self._leaving, child) if not one.over]

    # ------------------------------------------------------------------- close

    def may_close(self) -> bool:
        """False, once, where a run would be stopped by closing the window; then it is the person's will."""
        now = time.monotonic()
        if self.state not in ("running", "pausing", "paused") or now - self._warned_at < CLOSE_AGAIN_S:
            return True
        self._warned_at = now
        self._session.say(
            "The window stays open: a training runs. Close it again to stop the training; it can be taken up again "
            "from where it is."
        )
        return False

    def shut_down(self) -> None:
        """Stop the process, if there is one, and wait until it is gone."""
        self._tell.stop()
        for child in (*self._leaving, *(() if self._child is None else (self._child,))):
            child.stop()
        self._child, self._leaving = None, []
        self.state = "choosing"

    # ---------------------------------------------------------------- remember

    def _remembered(self, name: str) -> object:
        with contextlib.suppress(OSError, ValueError):
            told = json.loads(_memory().read_text(encoding="utf-8"))
            return told.get(name) if isinstance(told, dict) else None
        return None

    def _remember(self, **values: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            known = {name: self._remembered(name) for name in ("weights", "out")}
            write_whole(_memory(), json.dumps(known | values))


def _unfinished(out: str) -> tuple[Order, int] | None:
    return begun(out) if out else None


def _memory() -> Path:
    """Where the weights and the result folder of the last run are remembered."""
    return data_folder() / "training.json"
