"""What can be wrong with a training set or a run, for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..core import BreastAIError

if TYPE_CHECKING:
    from .table import Problem


class TrainingError(BreastAIError):
    """Training or evaluation cannot be done as asked; the text says why and what to do."""


class LeakError(TrainingError):
    """The same patient (or the same image under another patient's name) stands on two sides of a split."""


class LeftOutError(TrainingError):
    """A case is of no use for what is asked, and that is nobody's fault."""


class RefusedError(TrainingError):
    """A cohort cannot be trained on.

    Attributes:
        problems: what must be put right, as `table.Problem`s.
    """

    def __init__(self, text: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(text)
        self.problems = tuple(problems)
