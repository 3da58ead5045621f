"""A project to label: pictures and DICOM cases in a worklist, some done before, with boxes in their journals."""

from __future__ import annotations

import csv
import hashlib
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from napari_breast_ai.annotations import Journal, Placing, journal_path
from napari_breast_ai.annotations.log import ReadingLog, Standing, Turn
from napari_breast_ai.annotations.worklist import read_worklist
from napari_breast_ai.core import BOX_LABELS, Box, DceVolume
from napari_breast_ai.phantom import PhantomSpec, make_phantom, write_dicom
from napari_breast_ai.study import open_study

READER = "bench"
SHAPE, PHASES, LABELLED = (24, 256, 256), 5, 12
"""Of the DICOM cases: slices, rows, columns; phases; slices that are labelled, from the one that is shown first on."""

WARM_UP = 5
DENSE, BEFOREHAND, ON_A_PICTURE = 100, 1000, 7
"""Boxes on every second DICOM case, and in all journals, before the reader begins; boxes on a case that is done."""


@dataclass
class Project:
    """A folder with a worklist.

    Attributes:
        todo: case ids in their order, and how many slices of each are to be labelled.
        dicom: those of them that are DICOM studies.
        before: boxes in its journals before the reader begins.
    """

    table: Path
    todo: dict[str, int] = field(default_factory=dict)
    dicom: set[str] = field(default_factory=set)
    before: int = 0


def make(folder: Path, data: Path, count: int) -> Project:
    """Copy the pictures, make the DICOM cases, write the journals that are there beforehand."""
    cases = max(2, 2 * round(count / 112))
    pictures = [*sorted(data.glob("breastdm_png/images/*.png")), *sorted(data.glob("busi_odd/images/*.png"))]
    # The same picture under two names is one study, and done with its twin.
    pictures = list({hashlib.sha256(one.read_bytes()).digest(): one for one in pictures}.values())
    np.random.default_rng(0).shuffle(pictures)
    wanted = WARM_UP + max(1, count - cases * LABELLED)
    todo, done = (
        pictures[:wanted],
        pictures[wanted : wanted - ((cases // 2 * DENSE - BEFOREHAND) // ON_A_PICTURE)],
    )
    if len(todo) < wanted or not done:
        raise SystemExit(f"There are not enough pictures in {data}. Set NBAI_DATA to the folder of the data.")
    project = Project(folder / "list.csv")
    (folder / "pictures").mkdir()
    names = {one: f"{one.parents[1].name}-{one.stem}" for one in (*todo, *done)}  # some are called alike
    for one, name in names.items():
        shutil.copy(one, folder / "pictures" / f"{name}.png")
    rows: list[tuple[str, str]] = []
    every = 2 * len(todo) // cases
    for place, one in enumerate(todo):
        if place % every == every // 2 and len(project.dicom) < cases:
            for _ in range(2):  # one after a picture, one after another DICOM case
                name = _phantom(folder, len(project.dicom))
                rows.append((name, name))
                project.dicom.add(name)
                project.todo[name] = LABELLED
        rows.append((names[one], f"pictures/{names[one]}.png"))
        project.todo[names[one]] = 1
        if place < len(done):  # cases that are done lie between those that are not
            rows.append((names[done[place]], f"pictures/{names[done[place]]}.png"))
    rows += [(names[one], f"pictures/{names[one]}.png") for one in done[len(todo) :]]
    with project.table.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("case_id", "path"), *rows])
    log = ReadingLog(read_worklist(project.table), READER)
    dense = sorted(project.dicom)[1::2]
    for name in (*dense, *(names[one] for one in done)):
        few = BEFOREHAND - project.before if name not in dense else DENSE
        number = min(few, DENSE if name in dense else ON_A_PICTURE)
        if number > 0:
            _write_before(folder / dict(rows)[name], name, number, name not in dense, log)
            project.before += number
    return project


def _phantom(folder: Path, number: int) -> str:
    kind = ("igm", "nme", "normal")[number % 3]
    made = make_phantom(PhantomSpec(kind=kind, seed=number, shape=SHAPE, n_phases=PHASES))
    write_dicom(made, folder / f"study-{number}", "ge")
    return f"study-{number}"


def _write_before(path: Path, name: str, number: int, done: bool, log: ReadingLog) -> None:
    found = open_study(path)
    volume = found if isinstance(found, DceVolume) else found.volume
    place = journal_path(path if path.is_dir() else path.parent, volume.identity, READER)
    journal = Journal(place, READER, study_uid=volume.identity.study_uid, placing=Placing.of(volume))
    n, rows, columns = volume.geometry.shape
    dice = np.random.default_rng(number)
    for i in range(number):
        y, x = dice.uniform(0.05, 0.8) * rows, dice.uniform(0.05, 0.8) * columns
        z = n // 2 + i % (n - n // 2)
        journal.add(Box(z, y, x, y + 0.1 * rows, x + 0.1 * columns, BOX_LABELS[i % len(BOX_LABELS)]))
    if done:
        journal.mark("done")
    log.record(Turn(name), Standing(journal.status, "", number, volume.identity.study_uid, journal.path))
