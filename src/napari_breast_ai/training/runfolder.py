"""The folder in which a run keeps what it has done, so that it can be taken up again after a crash or a closed window.

    DIR/run/started.json      what was asked, and with what it began
    DIR/run/round-001.safetensors, ...   finished rounds, the final fit the last one
    DIR/run/under-way.safetensors        the fit that was going on: its weights, optimiser and random numbers
    DIR/run/finished.json     appears when everything is written

Every file appears whole or not at all, with a hash of its content; one that is damaged counts as not there.
"""

from __future__ import annotations

import contextlib
import json
import platform
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from .. import __version__
from ..annotations.locks import locked
from ..files import write_whole
from .errors import TrainingError
from .fitting import State
from .packing import read_packed, write_packed
from .rounds import Result

SCHEMA, VERSION = "napari-breast-ai/run", 1
EVERY_S = 2.0
"""Between two states of a fit that is under way; a state that is lost costs as much work again, and no more."""

OTHERWISE = "Put it back as it was, choose another folder with --out, or begin anew with --anew, which removes the run."


def circumstances() -> dict[str, Any]:
    """With what a run computes; the last digits of a result may depend on each of these."""
    return {
        "napari-breast-ai": __version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
        "processor": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
    }


class RunFolder:
    """The run of an output folder."""

    def __init__(self, out: Path) -> None:
        """Take the training's output folder. Nothing is made yet."""
        self.out, self.folder = out, out / "run"
        self.notes: list[str] = []
        """Sentences on what is not as it was when the run began, though it can go on."""
        self._started: dict[str, Any] = {"found": {}}
        self._last, self._took = time.monotonic(), 0.0

    @property
    def state(self) -> Literal["none", "unfinished", "finished"]:
        """How far the run is."""
        if self.started is None:
            return "none"
        whole = all((self.out / name).exists() for name in ("evaluation.json", "bundle"))
        return "finished" if whole and (self.folder / "finished.json").is_file() else "unfinished"

    @property
    def started(self) -> dict[str, Any] | None:
        """What was asked when the run began; None where none did.

        Raises:
            TrainingError: it is of a newer version.
        """
        try:
            found = json.loads((self.folder / "started.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if not isinstance(found, dict) or found.get("schema") != SCHEMA:
            return None
        if found.get("version") != VERSION:
            raise TrainingError(
                f"The run in {self.out} is of a newer version of this program. Install that to go on with it."
            )
        return found

    @contextlib.contextmanager
    def open(self, asked: Mapping[str, Any], arguments: Mapping[str, Any]) -> Iterator[None]:
        """Begin, or go on with, the run of what is asked; others are kept out meanwhile.

        Args:
            asked: all that decides the result; JSON values.
            arguments: with which the run can be taken up by its folder alone; JSON values.

        Raises:
            TrainingError: another process runs it, or it is the run of something else.
        """
        with self._writing():
            self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder / "lock", make=True) as lock:
            if lock == "busy":
                raise TrainingError(
                    f"Another training is under way in {self.out}. Wait for it, stop it, or choose another folder."
                )
            before = self.started
            changed = differences(before["asked"], json.loads(json.dumps(asked))) if before else []
            # Most runs that end before they have done anything end by a sentence about what is then put right.
            if before is None or (changed and not self._something_done):
                self._forget()
                self._started = {
                    "schema": SCHEMA,
                    "version": VERSION,
                    "asked": dict(asked),
                    "circumstances": circumstances(),
                    "found": {},
                    "arguments": dict(arguments),
                }
                self._write_started()
            else:
                self._started = before
                if changed:
                    raise TrainingError(
                        f"{self.out} holds the run of something else. {' '.join(changed)} {OTHERWISE}"
                    )
                was, now = before["circumstances"], circumstances()
                self.notes += [
                    f"The run began with {name} {was.get(name)} and went on with {now[name]}: last digits may differ "
                    "from those of an undisturbed run."
                    for name in now
                    if was.get(name) != now[name]
                ]
            yield

    def same(self, what: str, digest: str) -> bool:
        """Whether what was found on the way is what it was when the run began; noted as long as nothing is done."""
        found = self._started["found"]
        if what not in found or not self._something_done:
            found[what] = digest
            self._write_started()
        return bool(found[what] == digest)

    def result(self, number: int) -> Result | None:
        """Of the round of that number (from 1), where it is finished."""
        tree = read_packed(self._round(number))
        return None if tree is None else Result(**tree)

    def keep(self, number: int, result: Result) -> None:
        """Keep a finished round.

        Raises:
            TrainingError: there is no room.
        """
        with self._writing():
            write_packed(self._round(number), result.tree())
            self._under_way.unlink(missing_ok=True)

    def left(self, number: int) -> State | None:
        """Where the fit of that round was left."""
        tree = read_packed(self._under_way)
        return tree["state"] if tree is not None and tree["round"] == number else None

    def leave(self, number: int, state: State) -> None:
        """Leave the state of a fit that is under way.

        Raises:
            TrainingError: there is no room.
        """
        begin = time.monotonic()
        with self._writing():
            write_packed(self._under_way, {"round": number, "state": state})
        self._last = time.monotonic()
        self._took = self._last - begin

    def due(self) -> bool:
        """Whether it is time to leave a state again."""
        # A whole network's state takes its time to write: a twentieth of it all at most.
        wait = max(EVERY_S, 20 * self._took) if EVERY_S else 0.0
        return time.monotonic() - self._last >= wait

    def finish(self) -> None:
        """Everything is written."""
        with self._writing():
            write_whole(self.folder / "finished.json", b'{"finished": true}\n')

    def forget(self) -> None:
        """Remove the run, so that another one can begin here.

        Raises:
            TrainingError: another process runs it, or it cannot be removed.
        """
        if not self.folder.is_dir():
            return
        with locked(self.folder / "lock", make=True) as lock:
            if lock == "busy":
                raise TrainingError(f"Another training is under way in {self.out}. Stop it first.")
            self._forget()
            # It would pass for the result of the run that begins now, should that be broken off.
            with self._writing():
                (self.out / "evaluation.json").unlink(missing_ok=True)

    def _forget(self) -> None:
        with self._writing():
            # What says that there is a run goes first: the rest means nothing without it.
            for pattern in ("started.json", "finished.json", "*.safetensors", ".*.part"):
                for path in self.folder.glob(pattern):
                    path.unlink(missing_ok=True)

    def _write_started(self) -> None:
        with self._writing():
            write_whole(self.folder / "started.json", json.dumps(self._started, indent=1).encode() + b"\n")

    @property
    def _something_done(self) -> bool:
        return any(self.folder.glob("*.safetensors"))

    def _round(self, number: int) -> Path:
        return self.folder / f"round-{number:03d}.safetensors"

    @property
    def _under_way(self) -> Path:
        return self.folder / "under-way.safetensors"

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise TrainingError(
                f"The run cannot be kept in {self.folder} ({error.strerror}). Make room or give leave to write there, "
                "and give the same command again: it goes on where it stopped."
            ) from error


def differences(was: Any, now: Any, path: str = "") -> list[str]:
    """What was asked otherwise before, a sentence each."""
    if isinstance(was, dict) and isinstance(now, dict):
        names = [*was, *(name for name in now if name not in was)]
        return [
            one
            for name in names
            for one in differences(was.get(name), now.get(name), f"{path}.{name}" if path else name)
        ]
    if was == now:
        return []
    if path.endswith("sha256"):
        return [f"The {path.removesuffix(' sha256')} has changed since the run began."]
    return [f"The {path} was {_short(was)} and is now {_short(now)}."]


def _short(value: Any) -> str:
    if value is None or value == "":
        return "not given"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
