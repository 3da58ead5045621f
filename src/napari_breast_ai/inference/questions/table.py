"""The questions: what each is called, what it means in plain words, and when an explanation fails it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .course import Course, mean_course

Unit = Literal["%", "probability", "correlation", "ratio"]

FAITHFUL_PATCHES = 6
STEPS = 10
RANDOM_ORDERS = 3
NOISE, NOISES = 0.02, 8
SHIFT = 2
UNSTABLE = 0.5
INDIFFERENT = 0.7
NO_DIFFERENCE = 0.05


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes:
        key: its name in files.
        name: its name for people.
        unit: of the answer.
        meaning: what it asks, and what fails it, in plain words.
    """

    key: str
    name: str
    unit: Unit
    meaning: str


QUESTIONS = (
    Question(
        "mass",
        "Heat inside the boxes",
        "%",
        "How much of the map's heat lies inside your boxes. It fails when it is no more than the boxes' part of the "
        "image: a map that looks everywhere has as much.",
    ),
    Question(
        "peak",
        "Hottest place inside a box",
        "%",
        "Does the hottest place of the map lie in one of your boxes? Over several slices: on how many of them. It "
        "fails when it does so on less than half of the slices.",
    ),
    Question(
        "iou",
        "Overlap with the boxes",
        "%",
        "The map is cut at the height where it fits your boxes best; this is the area that both share, as a part of "
        "the area that either covers (IoU). It fails when that is hardly more than the whole image would have.",
    ),
    Question(
        "deletion",
        "Score as the hottest is taken away",
        "probability",
        "The hottest cells of the image are replaced by the image's mean grey, step by step, and the model is asked "
        "each time. A map that shows what matters makes the score fall at once: the smaller the mean score on the "
        "way (the area under the curve), the better. It fails when cells taken in random order lower the score as "
        "much.",
    ),
    Question(
        "insertion",
        "Score as the hottest is put back",
        "probability",
        "The image is blurred until the lesion is gone; its hottest cells are put back sharp, step by step. A map "
        "that shows what matters makes the score rise at once: the larger the mean score on the way, the better. It "
        "fails when cells put back in random order raise it as much.",
    ),
    Question(
        "faithfulness",
        "Does heat go with weight?",
        "correlation",
        f"The image is covered patch by patch ({FAITHFUL_PATCHES} × {FAITHFUL_PATCHES}), and the model is asked each "
        "time. The score should fall most where the map is hot: 1 is perfect, 0 is chance. It fails when so much "
        "could come by chance.",
    ),
    Question(
        "agreement",
        "Attention and Grad-CAM agree",
        "correlation",
        "Attention says where the model looks, Grad-CAM what speaks for the class. This is how far they rank the "
        "places of the image alike: 1 fully, 0 not at all. It fails below 0.",
    ),
    Question(
        "top",
        "Attention and Grad-CAM share their hottest",
        "%",
        "How much of the hottest tenth of one map is in the hottest tenth of the other. It fails when it is no more "
        "than chance gives.",
    ),
    Question(
        "noise",
        "Change under noise",
        "ratio",
        f"A little noise ({100 * NOISE:g} % of the range of grey) is added {NOISES} times. This is the largest "
        f"change of the map, as a part of the map. It fails above {UNSTABLE:g}: noise that nobody sees changes half "
        "of it.",
    ),
    Question(
        "shift",
        "Change under a small shift",
        "ratio",
        f"The image is moved by {SHIFT} pixels of the model's input, in four directions. This is the largest change "
        f"of the map, as a part of the map. It fails above {UNSTABLE:g}.",
    ),
    Question(
        "random_head",
        "Same map from a model with a random end",
        "correlation",
        "The last part of the model, behind its features, is replaced by random numbers. This is how far the map "
        "stays the same: a map that tells what the model learnt must change, at the latest with all of the model "
        "(next line).",
    ),
    Question(
        "random_model",
        "Same map from a random model",
        "correlation",
        "All of the model is replaced by random numbers. This is how far the map stays the same (1: fully). It fails "
        f"from {INDIFFERENT:g} on: such a map shows the image, and not what the model learnt.",
    ),
)

BY_KEY = {question.key: question for question in QUESTIONS}


@dataclass(frozen=True)
class Answer:
    """The answer to one question, of a slice or the mean over several.

    Attributes:
        key: of the question.
        value: in its unit, parts of 1 for "%"; None where it cannot be answered.
        reference: what it is held against, in the same unit; None where that is a fixed number of the question.
        fails: the explanation fails the question.
        note: why it cannot be answered, in a sentence, or what the reference is.
        course: of deletion and insertion the scores on the way, whose area the value is.
    """

    key: str
    value: float | None
    reference: float | None = None
    fails: bool = False
    note: str = ""
    course: Course | None = None

    @property
    def question(self) -> Question:
        """What was asked."""
        return BY_KEY[self.key]

    @property
    def said(self) -> str:
        """The number for people."""
        if self.key == "peak" and self.value in (0, 1):
            return "yes" if self.value else "no"
        return say(self.value, self.question.unit)

    @property
    def held_against(self) -> str:
        """The reference for people, "" where there is none."""
        return "" if self.reference is None else f"{self.note} {say(self.reference, self.question.unit)}"

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        found = dict(vars(self)) | {"unit": self.question.unit}
        del found["course"]
        return found if self.course is None else found | {"course": self.course.to_json()}


def say(value: float | None, unit: Unit) -> str:
    """A number with its unit; a dash for none."""
    if value is None:
        return "–"
    return f"{100 * value:.0f} %" if unit == "%" else f"{value:.2f}".replace("-", "−")


def judge(key: str, value: float | None, reference: float | None) -> bool:
    """Whether an explanation fails a question."""
    if value is None:
        return False
    if key in ("mass", "insertion", "top"):
        return reference is not None and value <= reference
    if key == "deletion":
        return reference is not None and value >= reference
    if key in ("iou", "faithfulness"):
        return reference is not None and value < reference
    if key == "peak":
        return value < 0.5
    if key == "agreement":
        return value < 0
    if key in ("noise", "shift"):
        return value > UNSTABLE
    return key == "random_model" and value >= INDIFFERENT


def answered(
    key: str,
    value: float | None,
    reference: float | None = None,
    note: str = "",
    course: Course | None = None,
) -> Answer:
    """An answer with its verdict."""
    value, reference = (None if one is None else float(one) for one in (value, reference))
    return Answer(key, value, reference, judge(key, value, reference), note, course)


def mean_answers(of_slices: Sequence[Sequence[Answer]]) -> tuple[Answer, ...]:
    """The means over slices of the questions that could be answered there, judged as such."""
    found = []
    for question in QUESTIONS:
        own = [one for answers in of_slices for one in answers if one.key == question.key]
        told = [one for one in own if one.value is not None]
        if not told:
            found += own[:1]
            continue
        references = [one.reference for one in told if one.reference is not None]
        found.append(
            answered(
                question.key,
                sum(one.value for one in told if one.value is not None) / len(told),
                sum(references) / len(references) if references else None,
                told[0].note,
                mean_course([one.course for one in told if one.course is not None]),
            )
        )
    return tuple(found)
