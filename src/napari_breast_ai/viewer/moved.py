"""Where the images of a worklist's cases lie now: as the list says, or where a person has found them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..annotations.log import Turn
from ..core import Progress
from ..places import FOLDER

if TYPE_CHECKING:
    from .reading import Reading
    from .session import Session

FIND = "find"


def is_there(path: Path) -> bool:
    """Whether there is anything at a path besides what this program itself left there."""
    try:
        return any(one.name != FOLDER for one in path.iterdir()) if path.is_dir() else path.exists()
    except OSError:
        # Opening it says why it cannot be read.
        return True


def path_of(reading: Reading, turn: Turn) -> Path:
    """Where a case's images lie, as far as is known."""
    assert reading.log is not None
    found = reading.log.standing(turn).path
    return found if found is not None and is_there(found) else reading.case(turn).path


def find_moved(session: Session, reading: Reading, folder: str | Path) -> None:
    """Look in a folder, at any depth, for the images of cases that are not where the list says, by their UIDs."""
    log = reading.log
    if log is None:
        return
    lost = {
        standing.study_uid: turn
        for turn in log.turns
        if (standing := log.standing(turn)).study_uid and not is_there(path_of(reading, turn))
    }
    if not lost:
        session.say(
            "No case that was opened before is missing. A case that was never opened can only be found by its path."
        )
        return

    def work(progress: Progress) -> dict[str, Path]:
        from ..study import find_studies

        return find_studies(Path(folder), set(lost), progress)

    def done(found: dict[str, Path]) -> None:
        for uid, path in found.items():
            turns = [turn for turn in log.turns if turn.case_id == lost[uid].case_id]
            for turn in turns:
                log.record(turn, replace(log.standing(turn), study_uid=uid, path=path))
        session.say(f"Found {len(found)} of {len(lost)} missing cases.")
        reading.changed.emit()
        if reading.turn is not None and session.volume is None:
            reading.go(log.place)

    session.workers.start(FIND, "Look for moved cases", work, done=done, failed=session.fail)
