"""Whom a model was trained on, kept with it so that nobody judges it on them; and who of a table they are."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from .errors import TrainingError
from .protocol import Plan

VERSION = 1


def trained_on(
    plan: Plan,
    cases: Sequence[str],
    patients: Sequence[str],
    contents: Mapping[str, str],
    salt: str,
) -> dict[str, Any]:
    """What evaluation.json tells of the cases that a model learnt from, or that decided something about it.

    A bundle goes to others: patients are told as slow hashes of their ids, in no order, and images as hashes of
    their pixels. Who has a patient's id, or her images, can see whether she was among them, and nothing else.

    Args:
        plan: of the examples; only a test part is not told.
        cases, patients: of each example.
        contents: case to the hash of its images.
        salt: of this table.
    """
    learnt = {*plan.final, *plan.choice}
    for one in plan.rounds:
        learnt |= {*one.train, *(one.judged if one.part != "test" else ())}
    chosen = {cases[i] for i in learnt}
    return {
        "version": VERSION,
        "salt": salt,
        "cases": len(chosen),
        "patients": sorted({hidden(patients[i], salt) for i in learnt}),
        "images": sorted({contents[case] for case in chosen if case in contents}),
    }


@lru_cache(maxsize=65536)
def hidden(patient: str, salt: str) -> str:
    """A patient's id as a bundle tells it, hexadecimal; scrypt (RFC 7914), so that trying out ids takes its time."""
    return hashlib.scrypt(patient.encode(), salt=salt.encode(), n=2**12, r=8, p=1, dklen=16).hex()


@dataclass(frozen=True)
class Known:
    """Those of a cohort that a model was trained on.

    Attributes:
        patients: their ids, in the order of the table.
        by_id: those that have the id of a patient of the training.
        by_images: cases that have images of the training.
        of: patients in all.
        told: how the bundle told it: "cases", only its "table", or "" where nothing could be compared.
    """

    patients: tuple[str, ...]
    by_id: tuple[str, ...]
    by_images: tuple[str, ...]
    of: int
    told: str

    def others(self, patients: Sequence[str]) -> list[int]:
        """The places of examples of other patients."""
        return [i for i, patient in enumerate(patients) if patient not in self.patients]

    def refuse_all(self, table: str) -> None:
        """Say it where nobody is left.

        Raises:
            TrainingError: the model was trained on all of them.
        """
        if len(self.patients) == self.of:
            raise TrainingError(
                f"The model was trained on every patient of {table}: nobody is left to judge it on. Give a table of "
                "other patients. With --known these are judged all the same, and the figures flatter the model."
            )

    def sentences(self, kept: bool) -> list[str]:
        """What a reader of the figures must know."""
        if not self.told:
            return [
                "The bundle does not tell on whom it was trained: whether these are other patients is for you to know."
            ]
        if not self.patients:
            if self.told == "cases":
                return []
            return [
                "Of those it was trained on the bundle tells their table alone, and this is another one: whether these "
                "are other patients is for you to know."
            ]
        how = [
            *([f"{len(self.by_id)} by their id"] if self.by_id else []),
            *(
                [f"{len(self.by_images)} case{'s' * (len(self.by_images) > 1)} by equal images"]
                if self.by_images
                else []
            ),
        ]
        names = ", ".join(self.patients[:5]) + (", …" if len(self.patients) > 5 else "")
        found = f" (found {' and '.join(how)}: {names})" if how else ""
        what = (
            "They are judged all the same: the figures flatter the model, and say nothing about new patients."
            if kept
            else "All their cases are left out of the figures."
        )
        return [
            f"The model was trained on {len(self.patients)} of the table's {self.of} patients{found}. {what}"
        ]

    def to_json(self, kept: bool) -> dict[str, Any]:
        """JSON values."""
        return {
            "compared": {"cases": "patients and images", "table": "the table"}.get(self.told, "nothing"),
            "patients": len(self.patients),
            "cases by images": len(self.by_images),
            "left out": bool(self.patients) and not kept,
        }


def known_of(
    evaluation: Mapping[str, Any],
    cases: Sequence[str],
    patients: Sequence[str],
    contents: Mapping[str, str],
    table_sha256: str,
) -> Known:
    """Those of a cohort that a bundle was trained on.

    Args:
        evaluation: of the bundle.
        cases, patients: of each example.
        contents: case to the hash of its images.
        table_sha256: of the cohort's table, by which bundles of before are compared.
    """
    everybody = tuple(dict.fromkeys(patients))
    told = evaluation.get("trained_on")
    if not isinstance(told, dict) or told.get("version") != VERSION:
        made = evaluation.get("made")
        table = made.get("table_sha256") if isinstance(made, dict) else None
        same = everybody if table == table_sha256 else ()
        return Known(same, (), (), len(everybody), "table" if table else "")
    salt, ids, images = str(told.get("salt", "")), set(told.get("patients", ())), set(told.get("images", ()))
    by_id = {patient for patient in everybody if hidden(patient, salt) in ids}
    owner = dict(zip(cases, patients, strict=True))
    by_images = tuple(case for case in owner if contents.get(case) in images)
    found = by_id | {owner[case] for case in by_images}
    return Known(
        tuple(patient for patient in everybody if patient in found),
        tuple(patient for patient in everybody if patient in by_id),
        by_images,
        len(everybody),
        "cases",
    )
