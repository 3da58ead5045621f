"""The audit of a study: every file in a phase, in another group, or unused with the reason."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ..core import Geometry, Identity
from .errors import StudyError
from .headers import Frame
from .roles import Role

SCHEMA, VERSION = "napari-breast-ai/index", 2

_MOST_LISTED = 20

BY_PERSON = "a person said so"
"""The reason of a role that a person gave."""


@dataclass(frozen=True)
class Unused:
    """A file that is in no group, and why: `reason` stands after "unused, because"."""

    file: Path
    reason: str


@dataclass(frozen=True)
class OtherCase:
    """A case of another format than DICOM, as far as headers tell.

    Attributes:
        name: what the names of its files have in common.
        format: NIfTI, NRRD or MetaImage, or picture.
        paths: its files in phase order; behind them files of pixels that headers name.
        n_phases: a file each, or along the fourth axis.
        shape: voxels along the stored axes of one phase, in the file's own order.
    """

    name: str
    format: str
    paths: tuple[Path, ...]
    n_phases: int
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Phase:
    """One volume of a group.

    Attributes:
        frames: in slice order.
        time_s: start in seconds after the first phase's; None where no element tells.
        time_source: the DICOM keyword of the time, or "unknown".
        mid_s: the middle of the acquisition in seconds after the first phase's start; None where no element
            gives it (it is never guessed from the next phase).
        mid_source: the DICOM keyword behind the middle, or "unknown".
    """

    frames: tuple[Frame, ...]
    time_s: float | None
    time_source: str
    mid_s: float | None = None
    mid_source: str = "unknown"

    @cached_property
    def key(self) -> str:
        """What names this volume wherever its files lie and however they are called, see `content_key`."""
        return content_key(self.frames)


@dataclass(frozen=True, eq=False)
class Group:
    """Images that belong together.

    Attributes:
        judged: what they are and why.
        description: of the series, for people.
        phases: at least one.
        n_slices: slice positions of a phase.
        geometry: of every phase; None where the images are no regular stack and cannot be assembled.
        phase_key: the element that told the phases apart.
        warnings: sentences for a reader.
        pre_contrast: index of the last phase that ended before the contrast agent was given, where the files
            tell; else 0.
        contrast_s: when the contrast agent was given, in seconds after the start of the first phase; None
            where no element tells.
        laterality: "left", "right", "both" or "".
        laterality_source: a DICOM keyword, "description", "position" or "".
        overruled: what a person decided about this group, in sentences.
    """

    judged: Role
    description: str
    phases: tuple[Phase, ...]
    n_slices: int
    geometry: Geometry | None
    phase_key: str
    warnings: tuple[str, ...] = ()
    pre_contrast: int = 0
    contrast_s: float | None = None
    laterality: str = ""
    laterality_source: str = ""
    overruled: tuple[str, ...] = ()

    @cached_property
    def key(self) -> str:
        """What names this group wherever its files lie and however they are called, see `content_key`."""
        return content_key(self.frames)

    @property
    def role(self) -> str:
        """One of `ROLES`."""
        return self.judged.name

    @property
    def title(self) -> str:
        """The description in quotes, or the series' number, to begin a sentence with."""
        number = self.phases[0].frames[0].source.series_number
        return f"“{self.description}”" if self.description else f"Series {'?' if number is None else number}"

    @property
    def n_phases(self) -> int:
        """The number of phases."""
        return len(self.phases)

    @property
    def frames(self) -> tuple[Frame, ...]:
        """All frames, phase after phase."""
        return tuple(frame for phase in self.phases for frame in phase.frames)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that hold the frames, each once, sorted."""
        return tuple(sorted({frame.source.path for frame in self.frames}))

    @property
    def identity(self) -> Identity:
        """What study this is, without a name."""
        frames = self.frames
        return Identity(
            study_uid=frames[0].source.study_uid,
            series_uids=tuple(dict.fromkeys(frame.source.series_uid for frame in frames)),
            frame_of_reference_uid=frames[0].source.frame_of_reference_uid,
            synthetic=all(frame.source.synthetic for frame in frames),
        )

    def __repr__(self) -> str:
        return f"Group({self.role}, {self.description!r}, {self.n_phases} phases × {self.n_slices} slices)"


@dataclass(frozen=True, eq=False)
class StudyIndex:
    """What a scan found.

    Attributes:
        files: the number of files looked at. Each is in a group, in one of `cases`, or unused.
        groups: dynamic series first, then by series number.
        unused: files without an image for this project, by name.
        root: what was scanned, for messages and relative names; None for a list of files.
        warnings: sentences about the files as a whole, and about a person's decisions that do not fit them.
        cases: of other formats than DICOM, by format and name.
    """

    files: int
    groups: tuple[Group, ...]
    unused: tuple[Unused, ...]
    root: Path | None = None
    warnings: tuple[str, ...] = ()
    cases: tuple[OtherCase, ...] = ()

    def dce(self) -> Group:
        """The dynamic series that a reader most likely means.

        What a person called dynamic goes before all else; T1-weighted dynamics go before other dynamic series,
        large before small; series that are marked as derived without saying how (as some exports mark
        everything) count only where there is no other. Where there was a choice, the group's warnings say so.

        Raises:
            StudyError: there is none; the sentence says what is there instead and what to do.
        """
        dynamic = [
            g
            for g in self.groups
            if g.n_phases > 1 and g.geometry is not None and g.frames[0].source.modality == "MR"
        ]
        plain = [g for g in dynamic if g.role == "dce"]
        marked = [g for g in dynamic if g.role == "derived" and not g.judged.detail]
        if plain or marked:
            said = [g for g in plain if g.judged.reason == BY_PERSON]
            best = max(said or plain or marked, key=_likeliness)
            choice = [] if len(said) == 1 else self._choice(best, plain or marked)
            return replace(best, warnings=(*best.warnings, *self.warnings, *choice))
        raise StudyError(self._why_none())

    @property
    def _where(self) -> str:
        return f"“{self.root}”" if self.root is not None else "the chosen files"

    def _choice(self, best: Group, dynamic: Sequence[Group]) -> list[str]:
        """What else could have been meant, in a sentence."""
        studies = len({group.identity.study_uid for group in self.groups})
        if studies > 1:
            said = (
                f"Images of {studies} different studies, perhaps of different patients, are in {self._where}"
            )
        elif len(dynamic) > 1:
            said = f"{len(dynamic)} dynamic series are in {self._where}"
        else:
            return []
        number = best.frames[0].source.series_number
        which = best.title if number is None or not best.description else f"{best.title} (series {number})"
        return [f"{said}; this is {which}. Open another one by choosing its files or folder alone."]

    def _why_none(self) -> str:
        where = self._where
        if not self.files:
            return f"There are no files in {where}; choose the folder that holds the study's DICOM files."
        if not self.groups and self.cases:
            names = listed([case.name for case in self.cases])
            return (
                f"There is no DICOM image in {where}, but {len(self.cases)} cases of other formats ({names}); open a "
                "file of one of them."
            )
        if not self.groups:
            first = self.unused[0]
            return (
                f"There is no DICOM image in {where}: {self.files} files looked at, none usable (for example "
                f"“{first.file.name}”: {first.reason}). Choose the folder that holds the study's DICOM files."
            )
        export = (
            "A dynamic series with a pre-contrast and at least one post-contrast phase is needed: export the "
            "whole dynamic series, and choose the folder that holds all of it."
        )
        single = [g for g in self.groups if g.role in ("dce", "t1") and g.n_phases == 1]
        if single:
            best = max(single, key=lambda g: g.n_slices)
            said = f"{best.title} in {where} has one phase only ({best.n_slices} slices)."
            said = " ".join((said, *best.warnings))
        elif len(self.groups) == 1 and self.groups[0].geometry is None:
            said = f"{self.groups[0].title} in {where} makes no regular stack of slices."
            said = " ".join((said, *self.groups[0].warnings))
        elif len(self.groups) == 1 and self.groups[0].n_phases == 1:
            said = f"{self.groups[0].title} in {where} has one phase only."
        elif len(self.groups) == 1:
            group = self.groups[0]
            said = f"{group.title} in {where} is no dynamic MR series ({group.role}: {group.judged.reason})."
        else:
            roles = ", ".join(sorted({g.role for g in self.groups}))
            said = f"No dynamic series is in {where}; the images there are: {roles}."
        return f"{said} {export}"

    def to_json(self) -> dict[str, Any]:
        """The audit as JSON-ready values.

        A group's `files` counts the files that no earlier group has counted (a multi-frame file can serve two
        groups), so that `files` of the index is always the sum over groups and cases plus the number of unused
        files;
        `paths` lists all files of the group.
        """
        counted: set[Path] = set()
        groups = []
        for group in self.groups:
            new = set(group.paths) - counted
            counted |= new
            groups.append(self._group_json(group, len(new)))
        return {
            "schema": SCHEMA,
            "version": VERSION,
            "files": self.files,
            "groups": groups,
            "cases": [
                {
                    "name": case.name,
                    "format": case.format,
                    "n_phases": case.n_phases,
                    "shape": list(case.shape),
                    "files": len(case.paths),
                    "paths": [self._name(path) for path in case.paths],
                }
                for case in self.cases
            ],
            "unused": [{"file": self._name(u.file), "reason": u.reason} for u in self.unused],
            "warnings": list(self.warnings),
        }

    def _group_json(self, group: Group, files: int) -> dict[str, Any]:
        first = group.frames[0]
        return {
            "key": group.key,
            "study_uid": first.source.study_uid,
            "role": group.role,
            "detail": group.judged.detail,
            "reason": group.judged.reason,
            "confidence": group.judged.confidence,
            "description": group.description,
            "series_number": first.source.series_number,
            "modality": first.source.modality,
            "n_phases": group.n_phases,
            "n_slices": group.n_slices,
            "rows": first.source.rows,
            "columns": first.source.columns,
            "spacing_mm": None if group.geometry is None else list(group.geometry.spacing),
            "orientation": None if group.geometry is None else group.geometry.orientation,
            "directions": None if group.geometry is None else group.geometry.directions,
            "laterality": group.laterality,
            "laterality_source": group.laterality_source,
            "phase_key": group.phase_key,
            "pre_contrast": group.pre_contrast,
            "contrast_s": group.contrast_s,
            "files": files,
            "phases": [_phase_json(phase, group.contrast_s) for phase in group.phases],
            "warnings": list(group.warnings),
            "overruled": list(group.overruled),
            "paths": sorted({self._name(frame.source.shown) for frame in group.frames}),
        }

    def _name(self, path: Path) -> str:
        if self.root is not None and path.is_relative_to(self.root) and path != self.root:
            return path.relative_to(self.root).as_posix()
        return path.as_posix()


def _phase_json(phase: Phase, contrast_s: float | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "key": phase.key,
        "time_s": phase.time_s,
        "time_source": phase.time_source,
        "mid_s": phase.mid_s,
        "mid_source": phase.mid_source,
        "images": len(phase.frames),
    }
    if contrast_s is not None and phase.time_s is not None:
        found["after_contrast_s"] = round(phase.time_s - contrast_s, 6)
    weights = {frame.b_value for frame in phase.frames}
    if len(weights) == 1 and (b := weights.pop()) is not None:
        found["b_value"] = b
    return found


def content_key(frames: Iterable[Frame]) -> str:
    """SHA-256 of the sorted SOPInstanceUIDs and frame numbers, in hexadecimal.

    Equal for equal images, whatever their files are called, wherever they lie and in whatever order they come.
    """
    names = sorted(f"{f.source.sop_instance_uid} {'' if f.number is None else f.number}" for f in frames)
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


def listed(names: Sequence[str]) -> str:
    """Names for a message, in quotes, the first twenty of them."""
    more = ", ..." if len(names) > _MOST_LISTED else ""
    return ", ".join(f"“{name}”" for name in names[:_MOST_LISTED]) + more


def _likeliness(group: Group) -> tuple[bool, int, float]:
    return group.judged.confidence >= 0.5, group.n_phases * group.n_slices, group.judged.confidence


def sorted_groups(groups: Sequence[Group]) -> tuple[Group, ...]:
    """Dynamic series first, then by series number: an order that file names have no part in."""
    return tuple(sorted(groups, key=lambda g: (g.role != "dce", g.frames[0].order, g.judged.name)))
