"""The lines of a journal: what they look like.

A journal is UTF-8 text, one JSON object a line. The first line is the header, `{"schema":
"napari-breast-ai/journal", "version": 2, "study_uid": ..., "reader": ..., "reading": ..., "at": ...}`. Every other
line has a time `at` (UTC), a `key` of its own, and its kind `do`. What a person did to boxes, each undone as one:

- `add`: `box` (all fields of `core.Box`) and, where known, `image` (`sop_instance_uid`, `frame`) and `patient`
  (`frame_of_reference`, `corners`: top left, top right, bottom left in millimetres);
- `move`: `id` and `z, y0, x0, y1, x1`, `image` and `patient` where known;
- `relabel`: `id` and `label`; `group`: `id` and `lesion`; `delete`: `id`;
- `none`: “there is no lesion”, or with `said` false no longer so: of a slice (`box` around the whole slice, `image`,
  `patient`) or of the whole case (`case` true);
- `accept`: `id` of a suggestion, `author`, and `label` where the person gave it another class; `reject`: `id`;
- `many`: `actions`, a list of the above that belong together;
- `undo`, `redo`: of the last of these.

And what is not undone:

- `offer`: `by` and `items`, a list of objects with `box`, `image`, `patient`: suggestions, in place of those that `by`
  made before and that still wait;
- `status`: `status` ("open", "done", "skipped") and `reason`;
- `volume`: `shape`, `spacing`, `affine`, `frame_of_reference`: the stack whose slices the next lines count;
- `open`, `close`: when the case came on the screen and left it;
- `note`: `text` about the case;
- `torn`: the line before this one was cut off by a crash and has been reported.

Version 1 had no `key`, `patient`, `group`, `none`, `accept`, `reject`, `many`, `offer`, `status`, `volume`, `open`,
`close`, `note`; its files are read as they are, and go on with a header of version 2.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ..core import Box

SCHEMA = "napari-breast-ai/journal"
VERSION = 2
EDGES = ("y0", "x0", "y1", "x1")
STATUSES = ("open", "done", "skipped")

UNDONE = ("add", "move", "relabel", "group", "delete", "none", "accept", "reject", "many")
"""Actions that `undo` takes back."""

BESIDE = ("offer", "status", "volume", "open", "close", "note", "torn")
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
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
