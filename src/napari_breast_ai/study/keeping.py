"""Decisions about a study in a file: beside the case, in the user's data folder, or written by hand."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ..files import write_whole
from ..places import FOLDER, data_folder, place, study_name
from .errors import StudyError
from .index import StudyIndex
from .overrules import Decision, Overrules, Wanted, apply, combined

SCHEMA, VERSION = "napari-breast-ai/overrules", 1
_MOST_BYTES = 16 * 2**20


def overruled(index: StudyIndex) -> StudyIndex:
    """The index with the decisions that are kept for its studies applied."""
    overrules, notes = load(index)
    index = replace(index, warnings=(*index.warnings, *notes)) if notes else index
    return apply(index, overrules) if overrules else index


def load(index: StudyIndex) -> tuple[Overrules, tuple[str, ...]]:
    """The decisions kept for the studies of an index, and a sentence for each file that cannot be read."""
    found, notes = [], []
    for study in _studies(index):
        path = _kept(index, study)
        if path is None:
            continue
        try:
            kept = read_overrules(path).decisions
            # The file is this study's: decisions written by hand need not say so, and are kept in it by `save`.
            found.append(Overrules(tuple(replace(one, study_uid=study) for one in kept)))
        except StudyError as error:
            notes.append(f"{error} Its decisions are not applied.")
    return combined(*found), tuple(notes)


def save(index: StudyIndex, overrules: Overrules) -> tuple[Path, ...]:
    """Keep the decisions, one file for each study, beside its files if that folder can be written.

    Returns:
        The files written.

    Raises:
        StudyError: a file cannot be written, or what stands there already cannot be read.
    """
    written = []
    for study in _studies(index):
        mine = Overrules(tuple(one for one in overrules.decisions if one.study_uid == study))
        path = _kept(index, study)
        if path is None and not mine:
            continue
        if path is not None:
            read_overrules(path)  # what a person could still mend is not written over
        path = path or place(_case_folder(index, study), _name(study))
        _write(path, mine)
        written.append(path)
    return tuple(written)


def read_overrules(path: Path) -> Overrules:
    """Read a file of decisions, made by this program or by hand.

    Raises:
        StudyError: it cannot be read; the sentence says why.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError("it is too large")
        told = json.loads(path.read_text(encoding="utf-8"))
        return _parsed(told)
    except OSError as error:
        raise StudyError(f"The decisions in “{path}” cannot be read ({error.strerror or error}).") from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        said = str(error) if type(error) is ValueError else "it is no list of decisions in JSON"
        raise StudyError(
            f"The decisions in “{path}” cannot be read: {said.rstrip('.')}. Mend the file or move it away."
        ) from error


def _parsed(told: Any) -> Overrules:
    if not isinstance(told, dict) or told.get("schema", SCHEMA) != SCHEMA:
        raise ValueError(f"its schema is not {SCHEMA}")
    if told.get("version", VERSION) != VERSION:
        raise ValueError(
            f"it is of version {told.get('version')!r}, and this program knows version {VERSION}"
        )
    decisions = []
    for number, one in enumerate(told["decisions"]):
        groups = tuple(
            Wanted(
                phases=_texts(group["phases"]),
                role=_maybe(group, "role", str),
                pre_contrast=_maybe(group, "pre_contrast", int),
                ignored=bool(group.get("ignored", False)),
            )
            for group in one["groups"]
        )
        said = str(one.get("said") or f"decision {number + 1} of the file")
        made = Decision(said, groups, *(str(one.get(name, "")) for name in ("study_uid", "by", "at")))
        if problems := made.problems():
            raise ValueError(f"decision {number + 1}: {problems[0]}")
        decisions.append(made)
    return Overrules(tuple(decisions))


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ValueError("“phases” must be a list of keys")
    return tuple(value)


def _maybe(group: dict[str, Any], name: str, kind: type) -> Any:
    value = group.get(name)
    if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
        raise ValueError(f"“{name}” must be {'a number' if kind is int else 'a text'}")
    return value


def _write(path: Path, overrules: Overrules) -> None:
    """Write all or nothing: into a file beside, which then takes the place of the old one."""
    told = {"schema": SCHEMA, "version": VERSION, "decisions": [asdict(one) for one in overrules.decisions]}
    text = json.dumps(told, indent=1, ensure_ascii=False) + "\n"
    try:
        write_whole(path, text)
    except OSError as error:
        raise StudyError(
            f"The decision cannot be kept in “{path}” ({error.strerror or error}). Make room or give leave to "
            "write there, and try again."
        ) from error


def _name(study: str) -> str:
    return f"overrules-{study_name(study)}.json"


def _studies(index: StudyIndex) -> list[str]:
    return sorted({group.frames[0].source.study_uid for group in index.groups})


def _kept(index: StudyIndex, study: str) -> Path | None:
    """The file that keeps the decisions, or None where there is none yet."""
    name = _name(study)
    places = [*(folder / FOLDER / name for folder in _folders(index, study)), data_folder() / "cases" / name]
    return next((path for path in places if path.is_file()), None)


def _folders(index: StudyIndex, study: str) -> Iterator[Path]:
    """Where decisions may lie: the folders of the study's files, up to the one that was opened."""
    root = index.root
    if root is None:
        return
    if not root.is_dir():
        yield root.parent
        return
    seen = {root}
    yield root
    for group in index.groups:
        if group.frames[0].source.study_uid != study:
            continue
        for folder in {path.parent for path in group.paths}:
            for one in (folder, *folder.parents):
                if one in seen or not one.is_relative_to(root):
                    break
                seen.add(one)
                yield one


def _case_folder(index: StudyIndex, study: str) -> Path | None:
    """The innermost folder that holds all of the study, or None for a list of files."""
    root = index.root
    if root is None:
        return None
    if not root.is_dir():
        return root.parent
    paths = {
        str(path.parent)
        for group in index.groups
        if group.frames[0].source.study_uid == study
        for path in group.paths
    }
    try:
        common = Path(os.path.commonpath(paths))
    except ValueError:  # on several drives
        return root
    return common if common.is_relative_to(root) else root
