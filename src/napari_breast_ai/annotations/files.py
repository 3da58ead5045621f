"""Boxes from and to files."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..core import Box
from .errors import AnnotationError
from .journal import Journal
from .records import box_from_json, box_to_json


def boxes_to_json(boxes: Iterable[Box]) -> list[dict[str, Any]]:
    """Boxes as a list for JSON: objects with z, y0, x0, y1, x1, label, id, author."""
    return [box_to_json(box) for box in boxes]


def boxes_from_json(records: object, source: str = "The list of boxes") -> tuple[Box, ...]:
    """Boxes from such a list, or from an object that holds it under "boxes".

    Raises:
        AnnotationError: it is neither, or a box is incomplete or has no area; the sentence begins
            with `source`.
    """
    if isinstance(records, dict):
        records = records.get("boxes")
    if not isinstance(records, list):
        raise AnnotationError(
            f"{source} holds no list of boxes. Give a JSON list or a journal of this program."
        )
    boxes = []
    for number, record in enumerate(records, start=1):
        try:
            box = box_from_json(record)
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as problem:
            raise AnnotationError(
                f"{source}: box {number} is incomplete ({problem}). Each needs z, y0, x0, y1, x1 and label."
            ) from problem
        if found := box.problems():
            raise AnnotationError(f"{source}: box {number}: {' '.join(found)}")
        boxes.append(box)
    return tuple(boxes)


def read_boxes(path: str | Path) -> tuple[Box, ...]:
    """The boxes of a journal or of a JSON list.

    Raises:
        AnnotationError: the file cannot be read, or is neither; nothing is ever written.
    """
    path = Path(path)
    try:
        text = path.read_bytes()
    except OSError as error:
        raise AnnotationError(f"The boxes in {path} cannot be read ({error.strerror or error}).") from error
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        # Not one JSON value: a journal, which has one a line.
        return Journal(path, "").boxes
    if isinstance(content, dict) and ("schema" in content or "do" in content) and "boxes" not in content:
        return Journal(path, "").boxes
    return boxes_from_json(content, str(path))
