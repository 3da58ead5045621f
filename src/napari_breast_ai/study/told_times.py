"""Times of phases that a person told, because no file did: kept beside the case, and recalled when it is opened."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from ..core import DceVolume, PhaseTimes
from ..files import write_whole
from ..places import place, study_name
from .errors import StudyError
from .foreign_times import _checked

SCHEMA, VERSION = "napari-breast-ai/times", 1
TOLD = "told by a person"
"""`PhaseTimes.source` of such times."""

_OVERTAKEN = (
    "When the phases were taken is unknown",
    "The files do not tell when the phases were acquired",
    "The order that a person gave contradicts",
)
"""How the remarks begin that told times answer."""
_MOST_BYTES = 2**20


def times_unknown(volume: DceVolume) -> bool:
    """Whether a person would have to say when the phases were taken."""
    return volume.n_phases > 1 and "unknown" in volume.times.source


def is_about_times(sentence: str) -> bool:
    """Whether a remark says that the times are missing, so that telling them answers it."""
    return sentence.startswith(_OVERTAKEN)


def tell_times(
    volume: DceVolume, seconds: Sequence[float], source: str | Path | None, by: str = ""
) -> DceVolume:
    """Say when the phases began, and keep it for the next opening.

    Args:
        volume: the study; its pixels are shared with the one returned.
        seconds: of each phase, rising; only their differences count.
        source: the folder or file that the study was read from.
        by: who says so.

    Returns:
        The study with these times.

    Raises:
        StudyError: there are too few, too many, or they do not rise, or they cannot be kept.
    """
    times = _told(seconds, volume.n_phases)
    path = _path(volume, source)
    told = {
        "schema": SCHEMA,
        "version": VERSION,
        "phase_times_s": list(times.start_s),
        "by": by,
        "at": datetime.now().astimezone().isoformat(timespec="seconds"),
    }
    try:
        write_whole(path, json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        raise StudyError(
            f"The times cannot be kept in “{path}” ({error.strerror or error}). Make room or give leave to write "
            "there, and try again."
        ) from error
    return _with(volume, times)


def recall_times(volume: DceVolume, source: str | Path | None) -> DceVolume:
    """The study with the times that were told before, where its files tell none.

    A file of told times that cannot be read changes nothing and is said in the study's `warnings`.
    """
    if not times_unknown(volume):
        return volume
    path = _path(volume, source)
    if not path.is_file():
        return volume
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError("it is too large")
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["schema"] != SCHEMA or kept["version"] != VERSION:
            raise ValueError("of another kind or version")
        times = _told(_numbers(kept["phase_times_s"]), volume.n_phases)
    except (OSError, ValueError, TypeError, KeyError, RecursionError, StudyError) as error:
        said = str(error).rstrip(".") if isinstance(error, StudyError) else f"{type(error).__name__}: {error}"
        note = (
            f"The times that were told before, in “{path}”, cannot be read ({said[:200]}). Tell them again, or mend "
            "the file."
        )
        return replace(volume, warnings=(*volume.warnings, note))
    return _with(volume, times)


def _numbers(values: Any) -> list[float]:
    if not isinstance(values, list) or not all(
        isinstance(one, int | float) and not isinstance(one, bool) for one in values
    ):
        raise ValueError("“phase_times_s” must be a list of numbers")
    return [float(one) for one in values]


def _told(seconds: Sequence[float], phases: int) -> PhaseTimes:
    times = _checked(list(seconds), phases, TOLD, "The times told")
    if any(b <= a for a, b in pairwise(times.start_s)):
        raise StudyError("Each phase begins after the one before it: give times that rise.")
    return times


def _with(volume: DceVolume, times: PhaseTimes) -> DceVolume:
    kept = tuple(one for one in volume.warnings if not is_about_times(one))
    return replace(volume, times=times, warnings=kept)


def _path(volume: DceVolume, source: str | Path | None) -> Path:
    """The file of these phases in this order: other phases, or another order, have other times."""
    key = volume.identity.study_uid
    if volume.frames:
        key = " ".join(f"{refs[0].sop_instance_uid}/{refs[0].frame}" for refs in volume.frames if refs)
    folder = None
    if source is not None:
        path = Path(source)
        folder = path if path.is_dir() else path.parent
    return place(folder, f"times-{study_name(key)}.json")
