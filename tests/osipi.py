"""OSIPI's reference data as parameters of tests: a case per row, or one case that is skipped where they are absent."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

_DATA = Path(os.environ.get("NBAI_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
FOLDER = _DATA / "pharmacokinetics"


def table(name: str) -> list[dict[str, Any]]:
    """Rows of a CSV file; cells of several numbers are arrays."""
    with (FOLDER / name).open(newline="", encoding="utf-8-sig") as stream:
        return [
            {k.strip(): _value(v) for k, v in row.items() if k is not None} for row in csv.DictReader(stream)
        ]


def cases(*names: str, ending: tuple[str, ...] = ("",)) -> Any:
    """`pytest.mark.parametrize` over the rows of tables, each with its table's name under "table".

    `ending` chooses rows by the end of their label.
    """
    if not FOLDER.is_dir():
        absent = pytest.param({}, marks=pytest.mark.skip(reason=f"no OSIPI data at {FOLDER}"), id="absent")
        return pytest.mark.parametrize("case", [absent])
    found = [{**row, "table": name} for name in names for row in table(name) if row["label"].endswith(ending)]
    ids = [f"{Path(row['table']).stem}-{row['label']}" for row in found]
    return pytest.mark.parametrize("case", found, ids=ids)


def curves(*names: str) -> Any:
    """As `cases`, for tables with a row per point: rows of one label are a curve of `time`, `Cb` and `delay`."""
    if not FOLDER.is_dir():
        return cases(*names)
    found = []
    for name in names:
        rows = table(name)
        for label in dict.fromkeys(row["label"] for row in rows):
            own = [row for row in rows if row["label"] == label]
            columns = {k: np.array([row[k] for row in own]) for k in own[0] if k != "label"}
            found.append(pytest.param({**columns, "label": label}, id=f"{Path(name).stem}-{label}"))
    return pytest.mark.parametrize("case", found)


def _value(text: str) -> Any:
    try:
        numbers = np.array([float(part) for part in text.split()])
    except ValueError:
        return text
    return float(numbers[0]) if numbers.size == 1 else numbers
