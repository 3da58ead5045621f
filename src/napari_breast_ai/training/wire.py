"""What a training in a process of its own tells, as lines of JSON, and back again."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np

from ..core import Box
from .table import Problem
from .watching import EpochDone, Event, RoundDone, RoundStarted, RunDone, RunStarted, Shown


@dataclass(frozen=True)
class Progressed:
    """Work that is no fitting: `done` of `total` steps of `what`."""

    done: int
    total: int
    what: str


@dataclass(frozen=True)
class Found:
    """Something wrong with the table or a case was found."""

    problem: Problem


@dataclass(frozen=True)
class Checked:
    """All cases were opened.

    Attributes:
        slices: that a model would learn from, of all cases together.
        seconds: that the training would take on this machine, roughly; None where nothing tells it.
    """

    slices: int
    seconds: float | None


@dataclass(frozen=True)
class Paused:
    """The run waits, or goes on again."""

    paused: bool


@dataclass(frozen=True)
class Written:
    """The result is on the disk.

    Attributes:
        evaluation, report, bundle: where.
        before: it was there already, and nothing was trained.
    """

    evaluation: str
    report: str
    bundle: str
    before: bool = False


@dataclass(frozen=True)
class Stopped:
    """It was cancelled; what was finished is kept in the run's folder."""


@dataclass(frozen=True)
class Failed:
    """It could not be done.

    Attributes:
        text: a sentence.
        defect: it is no fault of the input.
        problems: of table and cases, where these are the reason.
    """

    text: str
    defect: bool = False
    problems: tuple[Problem, ...] = ()


Told: TypeAlias = Event | Progressed | Found | Checked | Paused | Written | Stopped | Failed

_EVENTS: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        RunStarted,
        RoundStarted,
        EpochDone,
        RoundDone,
        RunDone,
        Progressed,
        Found,
        Checked,
        Paused,
        Written,
        Stopped,
        Failed,
    )
}
_INSIDE: dict[str, type[Any]] = {kind.__name__: kind for kind in (Shown, Box, Problem)}
_KIND, _ARRAY = "kind", "array"


def to_line(event: Told) -> str:
    """One line of JSON, without its end."""
    return json.dumps(_plain(event), allow_nan=True)


def from_line(line: str | bytes) -> Told | None:
    """The event in a line; None where there is none: a child may print other things."""
    try:
        told = json.loads(line)
    except ValueError:
        return None
    if not isinstance(told, dict) or told.get(_KIND) not in _EVENTS:
        return None
    event: Told = _whole(told)
    return event


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        data = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()
        return {_KIND: _ARRAY, "dtype": value.dtype.str, "shape": list(value.shape), "data": data}
    name = type(value).__name__
    if name in _EVENTS or name in _INSIDE:
        return {_KIND: name} | {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return value.item() if isinstance(value, np.generic) else value


def _whole(told: Any) -> Any:
    if isinstance(told, list):
        return tuple(_whole(one) for one in told)
    if not isinstance(told, dict):
        return told
    name = told.get(_KIND)
    if name == _ARRAY:
        raw = base64.b64decode(told["data"])
        return np.frombuffer(raw, np.dtype(told["dtype"])).reshape(told["shape"])
    kind = _EVENTS.get(str(name)) or _INSIDE.get(str(name))
    if kind is None:
        return {key: _whole(one) for key, one in told.items()}
    known = {one.name for one in fields(kind)}
    return kind(**{key: _whole(one) for key, one in told.items() if key in known})
