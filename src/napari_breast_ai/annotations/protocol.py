"""How a project is read: the classes that boxes can have, and who may see suggestions."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from ..core import BOX_LABELS
from ..files import write_whole
from .errors import AnnotationError

NAME = "breast-ai.json"
"""The file beside a worklist, or in the folder of studies."""

OpinionWhen = Literal["before", "after"]

MOST = 9
"""Classes have the keys 1 to 9."""

_COLOR = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True)
class BoxClass:
    """A class of boxes.

    Attributes:
        name: as it is written into journals and exports.
        color: "#rrggbb", or "" for the program's own choice.
    """

    name: str
    color: str = ""


@dataclass(frozen=True)
class Protocol:
    """What holds for all cases of a worklist.

    Attributes:
        classes: in the order of their keys, 1 to 9.
        no_suggestions_for: readers who see no suggestions, as a study of bias wants it; "*" for everybody.
        opinion: "before": a model's answer is hidden until the reader has said what they think themselves; "after": it
            is shown at once.
    """

    classes: tuple[BoxClass, ...] = tuple(BoxClass(name) for name in BOX_LABELS)
    no_suggestions_for: tuple[str, ...] = ()
    opinion: OpinionWhen = "after"

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes' names."""
        return tuple(one.name for one in self.classes)

    def suggests_to(self, reader: str) -> bool:
        """Whether this reader may see suggestions."""
        return not {"*", reader} & set(self.no_suggestions_for)

    def problems(self) -> list[str]:
        """What is wrong, in words."""
        found = []
        if not self.classes:
            found.append("There must be at least one class.")
        if len(self.classes) > MOST:
            found.append(f"There can be {MOST} classes, one for each key from 1 to {MOST}.")
        if any(not name.strip() for name in self.labels):
            found.append("A class has no name.")
        if len(set(self.labels)) < len(self.labels):
            found.append("Two classes have the same name.")
        found.extend(
            f"The colour “{one.color}” of {one.name} is not of the form #rrggbb."
            for one in self.classes
            if one.color and not _COLOR.fullmatch(one.color)
        )
        if self.opinion not in get_args(OpinionWhen):
            found.append(f"“opinion” must be “before” or “after”, not “{self.opinion}”.")
        return found

    def to_json(self) -> dict[str, Any]:
        """The file's content."""
        return {
            "classes": [
                {"name": one.name, **({"color": one.color} if one.color else {})} for one in self.classes
            ],
            "no_suggestions_for": list(self.no_suggestions_for),
            **({"opinion": self.opinion} if self.opinion != "after" else {}),
        }

    @classmethod
    def from_json(cls, content: object) -> Protocol:
        """From the file's content.

        Raises:
            AnnotationError: a part of it is not as it should be.
        """
        if not isinstance(content, Mapping):
            raise AnnotationError("It is not a JSON object.")
        listed = content.get("classes", [{"name": name} for name in BOX_LABELS])
        readers = content.get("no_suggestions_for", [])
        if not isinstance(listed, list) or not isinstance(readers, list):
            raise AnnotationError("“classes” and “no_suggestions_for” must be lists.")
        classes = []
        for one in listed:
            one = {"name": one} if isinstance(one, str) else one
            if not isinstance(one, Mapping) or not isinstance(one.get("name"), str):
                raise AnnotationError("A class must be a name, or an object with “name” and “color”.")
            classes.append(BoxClass(one["name"], str(one.get("color") or "")))
        made = cls(tuple(classes), tuple(str(one) for one in readers), content.get("opinion", "after"))
        if found := made.problems():
            raise AnnotationError(" ".join(found))
        return made


def read_protocol(folder: Path) -> Protocol:
    """The protocol that lies in a folder, or the default.

    Raises:
        AnnotationError: there is one that cannot be used.
    """
    path = folder / NAME
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return Protocol()
    except (OSError, ValueError, RecursionError) as error:
        raise AnnotationError(
            f"The classes in {path} cannot be read ({error}). Mend the file or take it away; the usual classes are "
            "offered meanwhile."
        ) from error
    try:
        return Protocol.from_json(content)
    except AnnotationError as error:
        raise AnnotationError(
            f"The classes in {path} cannot be used: {error} The usual classes are offered meanwhile."
        ) from error


def write_protocol(folder: Path, protocol: Protocol) -> Path:
    """Write a protocol beside a worklist. Raises AnnotationError where it is not valid or cannot be written."""
    if found := protocol.problems():
        raise AnnotationError(" ".join(found))
    path = folder / NAME
    if not folder.is_dir():  # a share that is away is not made anew as an empty folder
        raise AnnotationError(f"{path} cannot be written: the folder is not there.")
    text = json.dumps(protocol.to_json(), indent=2, ensure_ascii=False) + "\n"
    try:
        write_whole(path, text)
    except OSError as error:
        raise AnnotationError(f"{path} cannot be written ({error.strerror or error}).") from error
    return path
