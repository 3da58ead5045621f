"""The index as people look at it: patient, study, group."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .index import Group, Phase, StudyIndex


@dataclass(frozen=True, eq=False)
class StudyEntry:
    """One study of a patient.

    Attributes:
        uid: StudyInstanceUID.
        date: as 2024-01-31, or as stored where it is no date, or "".
        description: StudyDescription, or "".
        groups: in the order of the index.
    """

    uid: str
    date: str
    description: str
    groups: tuple[Group, ...]

    @property
    def title(self) -> str:
        """Date and description, to show."""
        return "  ".join(filter(None, (self.date or "no date", self.description)))


@dataclass(frozen=True, eq=False)
class PatientEntry:
    """One patient: `patient_id` is PatientID, or ""; a name is never kept."""

    patient_id: str
    studies: tuple[StudyEntry, ...]

    @property
    def title(self) -> str:
        """To show."""
        return f"Patient {self.patient_id}" if self.patient_id else "Patient without an identifier"


def outline(index: StudyIndex) -> tuple[PatientEntry, ...]:
    """Patients by their identifier, their studies by date."""
    patients: dict[str, dict[str, list[Group]]] = {}
    for group in index.groups:
        source = group.frames[0].source
        patients.setdefault(source.patient_id, {}).setdefault(source.study_uid, []).append(group)
    return tuple(
        PatientEntry(
            patient_id,
            tuple(
                sorted(
                    (_study(uid, tuple(groups)) for uid, groups in studies.items()),
                    key=lambda s: (s.date, s.uid),
                )
            ),
        )
        for patient_id, studies in sorted(patients.items())
    )


def phase_title(group: Group, number: int) -> str:
    """A phase, counted from 0 as the sliders do, with its time or b-value."""
    phase = group.phases[number]
    said = [f"Phase {number}"]
    if group.phase_key == "b-value":
        weights = {frame.b_value for frame in phase.frames}
        b = weights.pop() if len(weights) == 1 else None
        said = [f"b = {b or 0:g} s/mm²"]
    elif number == group.pre_contrast and group.n_phases > 1 and group.role == "dce":
        said.append("pre-contrast")
    return ", ".join(said)


def phase_time(phase: Phase) -> str:
    """When a phase began and which element says so, or that nothing tells."""
    return "time unknown" if phase.time_s is None else f"{phase.time_s:.1f} s ({phase.time_source})"


def _study(uid: str, groups: tuple[Group, ...]) -> StudyEntry:
    source = groups[0].frames[0].source
    date = source.study_date
    match = re.fullmatch(r"(\d{4})(\d{2})(\d{2})", date)
    return StudyEntry(uid, "-".join(match.groups()) if match else date, source.study_description, groups)
