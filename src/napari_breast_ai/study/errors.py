"""What can be wrong with a study, as a sentence for the person who chose it."""

from __future__ import annotations

from ..core import BreastAIError


class StudyError(BreastAIError):
    """The chosen files cannot be opened as what was asked for; the text says why and what to do."""


class Unusable(Exception):
    """A file that holds no image for this project; the text stands after "unused, because"."""
