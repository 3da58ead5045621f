"""How a score goes while the hottest of an image is taken away or put back: curves whose areas answer two questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.colors import OKABE_ITO

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .table import Answer


@dataclass(frozen=True)
class Course:
    """A score over the part of an image that is changed, of a slice or the mean over several.

    Attributes:
        parts: of the image's pixels, 0 to 1, rising.
        scores: as the hottest come first; one for each part.
        by_chance: as cells come in random order, the mean of some orders.
    """

    parts: tuple[float, ...]
    scores: tuple[float, ...]
    by_chance: tuple[float, ...]

    @property
    def area(self) -> float:
        """Under the scores by trapezia."""
        return float(np.trapezoid(self.scores, self.parts))

    @property
    def chance_area(self) -> float:
        """The same of the random orders."""
        return float(np.trapezoid(self.by_chance, self.parts))

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {name: list(values) for name, values in vars(self).items()}


@dataclass(frozen=True)
class Line:
    """How a course is drawn and what its legend says.

    Attributes:
        course: the numbers.
        name: what is done to the image.
        color: on a dark ground, told apart by all readers. ink: on white.
        marker: "o" or "s", which says the same.
    """

    course: Course
    name: str
    color: str
    ink: str
    marker: str

    @property
    def legend(self) -> str:
        """Such as "hottest taken away: area 0.31 (random order 0.52)"."""
        return f"{self.name}: area {self.course.area:.2f} (random order {self.course.chance_area:.2f})"


MEANING = (
    "The model is asked while the map's hottest cells are replaced by the image's mean grey (taken away), and while "
    "they are put back sharp into a blurred image. A map that shows what matters makes the score fall at once, so that "
    "the area under the first line is small, and rise at once, so that the area under the second is large. Dotted: the "
    "same in random order."
)
_DRAWN = {
    "deletion": ("hottest taken away", OKABE_ITO["vermilion"], OKABE_ITO["vermilion"], "o"),
    "insertion": ("hottest put back", OKABE_ITO["sky blue"], OKABE_ITO["blue"], "s"),
}


def lines_of(answers: Sequence[Answer]) -> tuple[Line, ...]:
    """The courses of some answers, deletion before insertion; those that could not be asked are left out."""
    found = {one.key: one.course for one in answers}
    return tuple(
        Line(course, *look) for key, look in _DRAWN.items() if (course := found.get(key)) is not None
    )


def mean_course(courses: Sequence[Course]) -> Course | None:
    """The mean of courses with the same parts, which those of one model's maps have; None of none."""
    if not courses:
        return None

    def mean(name: str) -> tuple[float, ...]:
        return tuple(float(one) for one in np.mean([getattr(course, name) for course in courses], axis=0))

    return Course(mean("parts"), mean("scores"), mean("by_chance"))


def draw(axes: Axes, lines: Sequence[Line], label: str, size: float) -> None:
    """Draw courses with their areas in the legend, on white.

    Args:
        axes: matplotlib's.
        lines: from `lines_of`.
        label: whose score it is.
        size: of the letters in points.
    """
    for one in lines:
        percent = [100 * part for part in one.course.parts]
        axes.plot(
            percent,
            one.course.scores,
            color=one.ink,
            marker=one.marker,
            markersize=0.45 * size,
            linewidth=1.2,
            label=one.legend,
        )
        axes.plot(percent, one.course.by_chance, color=one.ink, linewidth=1.0, linestyle=":")
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("% of the image taken away, or put back", fontsize=size)
    axes.set_ylabel(f"score of {label}", fontsize=size)
    axes.tick_params(labelsize=size)
    axes.grid(color="#e6e6e6")
    axes.set_axisbelow(True)
    # Above the picture, where it hides no line.
    axes.legend(fontsize=size, frameon=False, loc="lower left", bbox_to_anchor=(0.0, 1.0), borderaxespad=0.1)
