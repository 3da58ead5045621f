"""The lines of a journal: what they look like.

A journal is UTF-8 text, one JSON object a line. The first line is the header, `{"schema":
"napari-breast-ai/journal", "version": 3, "study_uid": ..., "reader": ..., "reading": ..., "at": ...}`. Every other
line has a time `at` (UTC), a `key` of its own, and its kind `do`. What a person did to boxes, each undone as one:

- `add`: `box` (all fields of `core.Box`) and, where known, `image` (`sop_instance_uid`, `frame`) and `patient`
  (`frame_of_reference`, `corners`: top left, top right, bottom left in millimetres);
- `move`: `id` and `z, y0, x0, y1, x1`, `image` and `patient` where known;
- `relabel`: `id` and `label`; `group`: `id` and `lesion`; `delete`: `id`;
- `none`: “there is no lesion”, or with `said` false no longer so: of a slice (`box` around the whole slice, `image`,
  `patient`) or of the whole case (`case` true);
- `accept`: `id` of a suggestion, `author`, and `label` where the person gave it another class; `reject`: `id`;
- `many`: `actions`, a list of the above that belong together;
- `undo`, `redo`: of the last of these, whose key is `of`; left out where that is not the last one.

And what is not undone:

- `offer`: `by` and `items`, a list of objects with `box`, `image`, `patient`: suggestions, in place of those that `by`
  made before and that still wait;
- `status`: `status` ("open", "done", "skipped") and `reason`;
- `volume`: `shape`, `spacing`, `affine`, `frame_of_reference`: the stack whose slices the next lines count;
- `open`, `close`: when the case came on the screen and left it;
- `note`: `text` about the case;
- `shown`: `model` and `sha256`: from then on the reader knew what that model says of the case;
- `opinion`: `answer`, `seen` (whether a model's answer had been shown), `note`, and of a model's answer that was seen
  `model`, `sha256` and `said` (label to probability). Before: the reader's own class, “no lesion” or “unsure”; after:
  “agree”, “disagree” or “unsure”. The last one of each counts;
- `torn`: the line before this one was cut off by a crash and has been reported.

Version 1 had no `key`, `patient`, `group`, `none`, `accept`, `reject`, `many`, `offer`, `status`, `volume`, `open`,
`close`, `note`; version 2 had no `shown` and `opinion`. Their files are read as they are, and go on with a header of
version 3.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ..core import Box

SCHEMA = "napari-breast-ai/journal"
VERSION = 3
_START = f'{{"schema":"{SCHEMA}",'.encode()
EDGES = ("y0", "x0", "y1", "x1")
STATUSES = ("open", "done", "skipped")

UNDONE = ("add", "move", "relabel", "group", "delete", "none", "accept", "reject", "many")
"""Actions that `undo` takes back."""

BESIDE = ("offer", "status", "volume", "open", "close", "note", "shown", "opinion", "torn")
"""Lines that `undo` passes over."""


def box_from_json(record: Mapping[str, Any]) -> Box:
    """A box from its JSON form.

    Raises:
        KeyError, TypeError, ValueError, OverflowError: an edge is missing or not a finite number.
    """
    y0, x0, y1, x1 = (float(record[key]) for key in EDGES)
    if not all(math.isfinite(edge) for edge in (y0, x0, y1, x1)):
        raise ValueError("an edge is not a number")
    if isinstance(record["z"], bool) or int(record["z"]) != float(record["z"]):
        raise ValueError("the slice is not a whole number")
    return Box(
        int(record["z"]),
        y0,
        x0,
        y1,
        x1,
        label=str(record["label"]),
        id=str(record.get("id") or ""),
        author=str(record.get("author") or ""),
        lesion=str(record.get("lesion") or ""),
        origin=str(record.get("origin") or ""),
        edited=record.get("edited") is True,
    )


def box_to_json(box: Box) -> dict[str, Any]:
    """The JSON form of a box: its fields by name, edges rounded to 1/1000 pixel; empty extras are left out."""
    record = asdict(box)
    for name in ("lesion", "origin", "edited"):
        if not record[name]:
            del record[name]
    return {**record, **{key: round(float(record[key]), 3) for key in EDGES}}


def line(record: Mapping[str, Any]) -> bytes:
    """One journal line."""
    try:
        return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    except UnicodeEncodeError:
        # Names that the system could not decode hold half letters, which UTF-8 has no place for.
        return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def parse(text: bytes) -> dict[str, Any] | None:
    """One line as an object, or None where it is not one."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def is_journal(raw: bytes, records: Sequence[Mapping[str, Any] | None]) -> bool:
    """Whether a file is ours, from its bytes and its parsed lines; an empty one is.

    A damaged first line must not hide the good rest, and another program's file must not count as ours. A crash
    during the very first action leaves a piece of the header, or zeros.
    """
    if any(
        record is not None and (record.get("schema") == SCHEMA or ("schema" not in record and "do" in record))
        for record in records
    ):
        return True
    piece = raw.rstrip(b"\0")
    return b"\n" not in piece and (piece.startswith(_START) or _START.startswith(piece))
