"""What can be wrong with a training set or a run, for people."""

from __future__ import annotations

from ..core import BreastAIError


class TrainingError(BreastAIError):
    """Training or evaluation cannot be done as asked; the text says why and what to do."""


class LeakError(TrainingError):
    """The same patient (or the same image under another patient's name) stands on two sides of a split."""
