"""A scan of a series per phase that was run twice, and scans that only look so."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_breast_ai.study import Group, assemble, scan

START = 36900.0


def clock(seconds: float) -> str:
    whole = int(seconds % 86400)
    return f"{whole // 3600:02d}{whole // 60 % 60:02d}{whole % 60:02d}"


def groups(folder: Path) -> tuple[Group, ...]:
    index = scan(folder)
    files = {path for path in folder.rglob("*") if path.is_file()}
    assert {path for group in index.groups for path in group.paths} == files
    return tuple(sorted(index.groups, key=lambda g: g.phases[0].frames[0].acquisition_s or 0.0))


def write(
    study: Any,
    names: Sequence[str],
    starts: Sequence[float],
    contrast: Sequence[float | None] = (),
    **more: Any,
) -> None:
    """A series for each name, of phases of the study in turn."""
    for i, (name, start) in enumerate(zip(names, starts, strict=True)):
        given = contrast[i] if contrast else None
        says = {
            "SeriesInstanceUID": f"1.2.9.{i}",
            "SeriesNumber": 5 + i,
            "SeriesDescription": name,
            "AcquisitionTime": clock(START + start),
            **({} if given is None else {"ContrastBolusStartTime": clock(START + given)}),
            **more,
        }
        study.write(lambda p, z, says=says: says, skip=lambda p, z, i=i: p != i % 4, subfolder=f"s{i}")


def said(group: Group) -> str:
    return " ".join(group.warnings)


FOUR = ["dyn_pre", "dyn_ph1", "dyn_ph2", "dyn_ph3"]


def test_names_start_over(study: Any) -> None:
    write(study, FOUR * 2, [60 * i for i in range(8)])
    first, second = groups(study.folder)
    for group in (first, second):
        assert (group.role, group.n_phases) == ("dce", 4)
        assert "run 2 times on the same slices (the series' names start over)" in said(group)
        np.testing.assert_array_equal(assemble(group).data, study.data)
    assert second.phases[1].time_s == 60
    assert "2 dynamic series are in" in assemble(scan(study.folder).dce()).warnings[-1]


@pytest.mark.parametrize("stopped_after", [1, 2, 3])
def test_a_first_run_that_was_stopped(study: Any, stopped_after: int) -> None:
    names = [*FOUR[:stopped_after], *FOUR]
    write(study, names, [60 * i for i in range(len(names))])
    first, second = groups(study.folder)
    assert (first.n_phases, second.n_phases) == (stopped_after, 4)
    assert second.pre_contrast == 0
    assert scan(study.folder).dce().key == second.key
    assert not any("kept apart because" in w for w in second.warnings)


def test_over_midnight(study: Any) -> None:
    late = 86400 - START - 150
    write(study, FOUR * 2, [late + 60 * i for i in range(8)], AcquisitionDate=None)
    assert [g.n_phases for g in groups(study.folder)] == [4, 4]


def test_without_times_the_numbers_order_the_series(study: Any) -> None:
    write(study, FOUR * 2, [0] * 8, AcquisitionTime=None)
    assert [g.n_phases for g in groups(study.folder)] == [4, 4]


def test_a_second_injection(study: Any) -> None:
    """The series have one name; the second run has its own phase before the second injection."""
    write(study, ["t1_fl3d_dyn"] * 8, [60 * i for i in range(8)], [None, 50, 50, 50, 290, 290, 290, 290])
    first, second = groups(study.folder)
    assert (first.n_phases, second.n_phases) == (4, 4)
    assert "the contrast agent was given again 4 minutes later" in said(second)
    assert (second.pre_contrast, second.contrast_s) == (0, 50)


def test_the_same_rhythm_after_a_long_pause(study: Any) -> None:
    write(study, ["t1_fl3d_dyn"] * 8, [60 * i + 1500 * (i > 3) for i in range(8)])
    first, second = groups(study.folder)
    assert (first.n_phases, second.n_phases) == (4, 4)
    assert "after a pause of 26 minutes as many phases follow at the same intervals" in said(first)


NORMAL: dict[str, tuple[Sequence[str], Sequence[float], Sequence[float | None]]] = {
    "names that count": (["dyn_pre", *(f"dyn_ph{i}" for i in range(1, 6))], [60 * i for i in range(6)], ()),
    "one name": (["dyn"] * 6, [60 * i for i in range(6)], ()),
    "one name, then a late one": (["dyn", "dyn", "dyn", "dyn late"], [0, 60, 120, 700], ()),
    "pre and post": (["dyn pre", "dyn post", "dyn post", "dyn post"], [0, 90, 150, 210], ()),
    "two late phases": (["dyn"] * 6, [0, 60, 120, 180, 1200, 1260], ()),
    "a long wait for the agent": (["dyn"] * 8, [0, *(1500 + 60 * i for i in range(7))], ()),
    "a contrast time from the protocol before": (
        ["dyn"] * 6,
        [60 * i for i in range(6)],
        [-300, 55, 55, 55, 55, 55],
    ),
    "a contrast time of each series": (["dyn"] * 6, [60 * i for i in range(6)], [60 * i for i in range(6)]),
    "a second injection without a phase before it": (
        ["dyn"] * 6,
        [60 * i for i in range(6)],
        [50, 50, 50, 170, 170, 170],
    ),
    "no contrast time before the agent": (["dyn"] * 4, [60 * i for i in range(4)], [None, 50, 50, 50]),
    "the first name once more at the end": (["dyn1", "dyn2", "dyn3", "dyn1"], [60 * i for i in range(4)], ()),
}


@pytest.mark.parametrize("case", NORMAL)
def test_a_normal_study_stays_whole(study: Any, case: str) -> None:
    names, starts, contrast = NORMAL[case]
    write(study, names, starts, contrast)
    (group,) = groups(study.folder)
    assert group.n_phases == len(names)
    assert "was run" not in said(group)


def test_what_may_be_a_second_run_is_said(study: Any) -> None:
    """The phase before contrast comes twice, and what follows it differs."""
    write(study, ["dyn pre", "dyn ph1", "dyn ph2", "dyn pre", "dyn ph4"], [60 * i for i in range(5)])
    (group,) = groups(study.folder)
    assert group.n_phases == 5
    assert "start over, but not as a second run would" in said(group)
