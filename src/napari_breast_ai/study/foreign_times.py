"""Times of phases for formats that do not carry them: given, from a JSON beside the images, or unknown and said."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from ..core import PhaseTimes
from .errors import StudyError

LIST_KEYS = ("phase_times_s", "FrameTimesStart", "VolumeTiming", "AcquisitionTime")
"""Lists of one time per phase: ours, BIDS PET's, BIDS' (seconds), and seconds or HH:MM:SS."""
_LARGEST_JSON = 2**24
_DAY_S = 86400.0


@dataclass(frozen=True)
class FoundTimes:
    """What stands beside the images."""

    times: PhaseTimes
    pre_contrast: int = 0
    description: str = ""
    synthetic: bool = False
    warnings: tuple[str, ...] = ()


def find_times(
    folder: Path,
    stems: Sequence[str],
    case: str,
    phases: int,
    given: Sequence[float] | None = None,
    step_s: float | None = None,
) -> FoundTimes:
    """Find the time of each phase.

    In this order: `given`; `CASE.json` or the first file's JSON with a list; a JSON per file with one
    AcquisitionTime each (as dcm2niix writes); the step in the image's header; else they are unknown.

    Args:
        folder: where the images lie.
        stems: names of the files without ending.
        case: what the names have in common.
        phases: how many there are.
        given: seconds, by a person.
        step_s: seconds between phases, by the image's header.

    Raises:
        StudyError: the times given or found do not fit the phases.
    """
    beside = _json(folder / f"{case}.json") or _json(folder / f"{stems[0]}.json")
    pre = beside.get("pre_contrast", 0)
    more: dict[str, Any] = {
        "pre_contrast": pre if isinstance(pre, int) and not isinstance(pre, bool) else 0,
        "description": _line(beside.get("description", "")),
        "synthetic": beside.get("synthetic") is True,
    }
    if given is not None:
        return FoundTimes(_checked(list(given), phases, "given", "The times given"), **more)
    for key in LIST_KEYS:
        if isinstance(beside.get(key), list):
            values = [_seconds(value) for value in beside[key]]
            return FoundTimes(_checked(values, phases, key, f"“{key}” in the JSON beside the images"), **more)
    if len(stems) == phases > 1:
        moments = [_seconds(_json(folder / f"{stem}.json").get("AcquisitionTime")) for stem in stems]
        known = [moment for moment in moments if moment is not None]
        if len(known) == phases:
            for i in range(1, phases):  # over midnight
                if known[i] < known[i - 1] - _DAY_S / 2:
                    known[i:] = [moment + _DAY_S for moment in known[i:]]
            if all(b > a for a, b in pairwise(known)):
                return FoundTimes(_checked(known, phases, "AcquisitionTime", "The acquisition times"), **more)
    warnings: tuple[str, ...] = ()
    if step_s is not None and step_s >= 1.0:
        return FoundTimes(_checked([step_s * i for i in range(phases)], phases, "pixdim[4]", ""), **more)
    if phases > 1:
        odd = f" (its header says {step_s:g} s between phases, which cannot be)" if step_s else ""
        warnings = (
            f"When the phases were taken is unknown{odd}. Type their times in the Review dock; or write a file "
            f'“{case}.json” beside the images with {{"phase_times_s": [0, 90, ...]}}, {phases} times in seconds; or '
            "open it on the command line with --times.",
        )
    return FoundTimes(PhaseTimes((0.0,) * phases, ("unknown",) * phases), warnings=warnings, **more)


def _checked(values: Sequence[float | None], phases: int, source: str, what: str) -> PhaseTimes:
    if len(values) != phases:
        raise StudyError(
            f"{what} are {len(values)}, and the study has {phases} phases; give one time per phase, in seconds."
        )
    known = [value for value in values if value is not None and math.isfinite(value)]
    if len(known) < len(values) or any(b < a for a, b in pairwise(known)):
        raise StudyError(f"{what} must be numbers of seconds that do not fall.")
    return PhaseTimes(tuple(value - known[0] for value in known), (source,) * phases)


def _json(path: Path) -> dict[str, Any]:
    """The content of a JSON file; {} where there is none."""
    try:
        if not path.is_file():
            return {}
        if path.stat().st_size > _LARGEST_JSON:
            raise ValueError("it is too large")
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise StudyError(
            f"“{path.name}” beside the images cannot be read as JSON ({str(error)[:80]}). Correct or remove it."
        ) from error
    return found if isinstance(found, dict) else {}


def _seconds(value: Any) -> float | None:
    """A number of seconds, or a time of day such as 10:15:00.5."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str):
        try:
            parts = [float(part) for part in value.split(":")]
        except ValueError:
            return None
        if len(parts) == 3:
            return parts[0] * 3600 + parts[1] * 60 + parts[2]
    return None


def _line(value: Any) -> str:
    text = value if isinstance(value, str) else ""
    return "".join(c if c.isprintable() else " " for c in text)[:200].strip()
