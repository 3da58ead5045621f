"""Specs out of JSON: every entry is there, known and of its type, or a sentence says which is not."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from ..core import LabelGroup
from .errors import ModelError
from .spec_parts import ImageSource, PreparationSpec


def preparation_from_json(data: object) -> PreparationSpec:
    """The preparation that a spec's `to_json` wrote.

    Raises:
        ModelError: an entry is missing, unknown or of the wrong type.
    """
    told = {"view": "whole"} | data if isinstance(data, dict) else data
    preparation = entries_of(told, PreparationSpec, "preparation")
    channels = preparation["channels"]
    if not (channels is None or isinstance(channels, list)):
        raise ModelError("The model's description is not usable: 'channels' must be a list or null.")
    return PreparationSpec(
        source=source_from_json(preparation["source"]),
        size=pair(preparation["size"], int, "size"),
        window=pair(preparation["window"], float, "window"),
        mode=typed(preparation["mode"], str, "mode"),
        channels=None if channels is None else tuple(source_from_json(channel) for channel in channels),
        view=typed(preparation["view"], str, "view"),
    )


def plain(value: Any) -> Any:
    """A value as JSON has it: lists for tuples."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def entries_of(
    data: object, kind: type, what: str, before: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The entries of a dataclass; those that an earlier version did not write have the values in `before`.

    Raises:
        ModelError: an entry is missing or unknown.
    """
    wanted = set(kind.__dataclass_fields__)  # type: ignore[attr-defined]
    if not isinstance(data, dict):
        raise ModelError(f"The model's description is not usable: {what!r} must have entries.")
    data = {**(before or {}), **data}
    for problem, keys in (("lacks", wanted - set(data)), ("has the unknown", set(data) - wanted)):
        if keys:
            names = ", ".join(sorted(map(repr, keys)))
            raise ModelError(f"The model's description is not usable: {what!r} {problem} {names}.")
    return data


def typed(value: object, kind: type, what: str) -> Any:
    """A value of that type; raises ModelError otherwise."""
    # JSON knows one kind of number, and Python's True is an int: neither may slip through or be refused by
    # it.
    fits = isinstance(value, int | float) if kind is float else isinstance(value, kind)
    if (
        not fits
        or (isinstance(value, bool) and kind is not bool)
        or (isinstance(value, float) and not isfinite(value))
    ):
        raise ModelError(f"The model's description is not usable: {what!r} must be a {kind.__name__}.")
    return kind(value)


def pair(value: object, kind: type, what: str) -> Any:
    """Two values of that type; raises ModelError otherwise."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ModelError(f"The model's description is not usable: {what!r} must be two numbers.")
    return typed(value[0], kind, what), typed(value[1], kind, what)


def make(cls: Any, data: object, what: str, before: Mapping[str, Any] | None = None, /, **kinds: type) -> Any:
    """A dataclass of single values, each of its type; `before` as in `entries_of`. Raises ModelError otherwise."""
    entries = entries_of(data, cls, what, before)
    return cls(**{key: typed(entries[key], kind, key) for key, kind in kinds.items()})


def source_from_json(data: object) -> ImageSource:
    """The image source that a spec's `to_json` wrote; raises ModelError otherwise."""
    source: ImageSource = make(ImageSource, data, "source", kind=str, rule=str, value=float)
    return source


def group_from_json(data: object) -> LabelGroup:
    """The label group that a spec's `to_json` wrote; raises ModelError otherwise."""
    entries = entries_of(data, LabelGroup, "group")
    if not isinstance(entries["labels"], list):
        raise ModelError("The model's description is not usable: 'labels' must be a list.")
    return LabelGroup(
        name=typed(entries["name"], str, "name"),
        labels=tuple(typed(label, str, "labels") for label in entries["labels"]),
        activation=typed(entries["activation"], str, "activation"),
        gate=None if entries["gate"] is None else typed(entries["gate"], str, "gate"),
    )
