"""Boxes of a case, kept in an append-only journal beside it."""

from .anchors import Anchor, Placing
from .errors import AnnotationError
from .files import boxes_from_json, boxes_to_json, read_boxes
from .journal import Journal
from .places import data_folder, default_reader, journal_path, remember, rescue_path

__all__ = [
    "Anchor",
    "AnnotationError",
    "Journal",
    "Placing",
    "boxes_from_json",
    "boxes_to_json",
    "data_folder",
    "default_reader",
    "journal_path",
    "read_boxes",
    "remember",
    "rescue_path",
]
