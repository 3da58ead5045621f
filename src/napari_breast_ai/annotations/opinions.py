"""What readers think of a case and of what a model says about it, and when they said so."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cases import CaseRecord

AGREE, DISAGREE, UNSURE = "agree", "disagree", "unsure"
AFTER = (AGREE, DISAGREE, UNSURE)
"""Answers to a model's answer."""

NO_LESION = "no lesion"
"""A reader's own answer, beside the protocol's classes and `UNSURE`."""

COLUMNS = (
    "case_id", "study_uid", "reader", "reading", "at", "said", "answer", "note", "model", "model_sha256",
    "model_said",
)  # fmt: skip


@dataclass(frozen=True)
class Opinion:
    """One thing a reader said.

    Attributes:
        answer: a class, “no lesion” or “unsure” before a model's answer was seen; “agree”, “disagree” or “unsure” after.
        seen: whether a model's answer had been shown to this reader on this case.
        note: why, in the reader's words.
        model, sha256: whose answer it is about; "" before.
        said: label to probability of that answer; None where it was not scored.
        at: ISO 8601, UTC; "" until it is written.
    """

    answer: str
    seen: bool
    note: str = ""
    model: str = ""
    sha256: str = ""
    said: Mapping[str, float | None] = field(default_factory=dict)
    at: str = ""

    def problems(self) -> list[str]:
        """What is wrong, in words."""
        if not self.answer.strip():
            return ["An opinion needs an answer."]
        if self.seen and self.answer not in AFTER:
            return [f"To a model's answer one says {', '.join(AFTER)}, not “{self.answer}”."]
        return []

    @property
    def sentence(self) -> str:
        """What was said, and when, for people."""
        note = f" “{self.note}”" if self.note else ""
        if not self.seen:
            return f"Before any model's answer was seen: {self.answer}.{note}"
        verb = {AGREE: "agrees with", DISAGREE: "disagrees with", UNSURE: "is unsure about"}.get(
            self.answer, self.answer
        )
        return f"The reader {verb} {self.model or 'the model'}.{note}"

    def to_json(self) -> dict[str, Any]:
        """The fields of its line; empty extras are left out."""
        more: dict[str, Any] = {
            "note": self.note,
            "model": self.model,
            "sha256": self.sha256,
            "said": dict(self.said),
        }
        return {"answer": self.answer, "seen": self.seen, **{k: v for k, v in more.items() if v}}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Opinion:
        """From its line.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: it is incomplete.
        """
        if not isinstance(record["seen"], bool):
            raise ValueError("it does not say whether the model's answer was seen")
        said = {
            str(label): None if value is None else float(value)
            for label, value in dict(record.get("said") or {}).items()
        }
        return cls(
            str(record["answer"]),
            record["seen"],
            str(record.get("note") or ""),
            str(record.get("model") or ""),
            str(record.get("sha256") or ""),
            said,
            str(record.get("at") or ""),
        )


def last(opinions: Iterable[Opinion], seen: bool) -> Opinion | None:
    """The one that counts: the last that was said before, or after, a model's answer was seen."""
    return next((one for one in reversed(tuple(opinions)) if one.seen == seen), None)


def opinions_table(records: Iterable[CaseRecord]) -> tuple[str, int]:
    """A CSV of what readers think, a row for each last word before and after they saw a model's answer.

    Returns:
        The text, and the number of rows.
    """
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    count = 0
    for record in sorted(records, key=lambda one: (one.case_id, one.reader, one.reading)):
        for one in (last(record.opinions, False), last(record.opinions, True)):
            if one is None:
                continue
            count += 1
            said = "; ".join(
                f"{label} {'not scored' if value is None else f'{value:.4f}'}"
                for label, value in one.said.items()
            )
            writer.writerow(
                {
                    "case_id": record.case_id,
                    "study_uid": record.study_uid,
                    "reader": record.reader,
                    "reading": record.reading,
                    "at": one.at,
                    "said": "after" if one.seen else "before",
                    "answer": one.answer,
                    "note": one.note,
                    "model": one.model,
                    "model_sha256": one.sha256,
                    "model_said": said,
                }
            )
    return out.getvalue(), count
