"""A cohort of phantoms on the disk: studies or pictures, a reader's boxes, and the table that `train` takes."""

from __future__ import annotations

import csv
import io
import json
import multiprocessing
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..annotations import Journal, Placing, journal_path
from ..core import Box, Progress, silent
from ..phantom import MANNERS, Manner, Phantom, make_phantom, write_dicom
from ..phantom.cohorts import CohortDesign, Member, annotated_slices
from ..phantom.view import one_breast
from ..study import read_study
from .errors import TrainingError
from .gather import BOX_COLUMNS

READER = "phantom-truth"
"""Who drew the boxes: they are the true ones."""

TABLE, ABOUT = "cohort.csv", "cohort.json"
SCHEMA, VERSION = "napari-breast-ai/phantom-cohort", 1


@dataclass(frozen=True)
class WrittenCohort:
    """A cohort on the disk.

    Attributes:
        table: the CSV.
        patients, slices: how many, and how many slices with a lesion were annotated.
        bytes_on_disk: of all files together.
    """

    table: Path
    patients: int
    slices: int
    bytes_on_disk: int


def write_cohort(
    design: CohortDesign,
    out: str | Path,
    *,
    manner: Manner | None = None,
    workers: int = 1,
    progress: Progress = silent,
) -> WrittenCohort:
    """Make all phantoms of a design and write them with boxes and table.

    The first design is written as DICOM, with each patient's boxes in a reader's journal beside her study; the second
    as pictures (PNG, 16 bit, grey values as a scanner stores them), with the one box in the table.

    Args:
        design: of the cohort.
        out: folder, new or empty.
        manner: of which vendor the DICOM is; None lets the patients have them in turns.
        workers: processes side by side.
        progress: told after every patient.

    Raises:
        TrainingError: the design has problems, or the folder is not empty, cannot be written, or has no room.
    """
    if problems := design.problems():
        raise TrainingError(" ".join(problems))
    out = Path(out)
    _make_room(out, design.bytes_on_disk)
    members = design.members()
    jobs = [
        (member, out, manner or MANNERS[i % len(MANNERS)], design.design) for i, member in enumerate(members)
    ]
    boxes = _run(jobs, workers, progress)
    rows = [_row(member, design, found) for member, found in zip(members, boxes, strict=True)]
    slices = sum(bool(found) for found in boxes)
    if design.design == "m1":
        slices = _annotate(design, members, boxes, out)
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    about = {
        "schema": SCHEMA,
        "version": VERSION,
        "data": f"{len(members)} synthetic phantoms, no patients: nothing that is measured on them says anything about "
        "people.",
        "design": asdict(design) | {"overlap": design.hard},
        "reader": READER if design.design == "m1" else "table",
        "labels": list(design.labels),
        "annotated slices": slices,
    }
    try:
        (out / TABLE).write_text(table.getvalue(), encoding="utf-8", newline="\n")
        (out / ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8", newline="\n")
        used = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    except OSError as error:
        raise _unwritable(out, error) from error
    return WrittenCohort(out / TABLE, len(members), slices, used)


def _make_room(out: Path, wanted: int) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise TrainingError(f"{out} is not empty. Choose a new folder for the cohort.")
        free = shutil.disk_usage(out).free
    except OSError as error:
        raise _unwritable(out, error) from error
    if free < wanted:
        raise TrainingError(
            f"The cohort takes about {wanted / 1e6:.0f} MB, and at {out} only {free / 1e6:.0f} MB are free. Choose "
            "another place, fewer patients or a smaller size."
        )


def _unwritable(out: Path, error: OSError) -> TrainingError:
    return TrainingError(f"{out} cannot be written ({error.strerror or error}). Choose another folder.")


Job = tuple[Member, Path, Manner, str]


def _run(jobs: Sequence[Job], workers: int, progress: Progress) -> list[tuple[Box, ...]]:
    """Write every case, in this process or in several, and give the true boxes in the jobs' order."""
    done: list[tuple[Box, ...]] = [()] * len(jobs)
    if workers <= 1:
        for i, job in enumerate(jobs):
            done[i] = _write_one(job)
            progress(i + 1, len(jobs), "making phantoms")
        return done
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    try:
        places = {pool.submit(_write_one, job): i for i, job in enumerate(jobs)}
        for n, future in enumerate(as_completed(places), 1):
            done[places[future]] = future.result()
            progress(n, len(jobs), "making phantoms")
    finally:
        pool.shutdown(cancel_futures=True)
    return done


def _write_one(job: Job) -> tuple[Box, ...]:
    member, out, manner, design = job
    phantom = one_breast(make_phantom(member.spec))
    if design == "m1":
        write_dicom(phantom, out / member.case_id, manner)
    else:
        write_picture(phantom, out / f"{member.case_id}.png")
    return phantom.truth.boxes


def write_picture(phantom: Phantom, path: Path) -> None:
    """Write the last phase of a phantom of one slice as a PNG of 16 bit.

    Raises:
        TrainingError: it cannot be written.
    """
    data: NDArray[np.uint16] = np.asarray(phantom.volume.data[-1, 0], np.uint16)
    try:
        Image.fromarray(data).save(path, "PNG")
    except OSError as error:
        raise _unwritable(path, error) from error


def _row(member: Member, design: CohortDesign, boxes: Sequence[Box]) -> dict[str, str]:
    """The patient's line in the table; the one box of a picture around all pieces of its lesion."""
    ending = "" if design.design == "m1" else ".png"
    row = {"case_id": member.case_id, "patient_id": member.patient_id, "path": member.case_id + ending}
    row |= member.columns
    if design.design == "m2":
        edges = ["", "", "", ""]
        if boxes:
            low = (min(box.y0 for box in boxes), min(box.x0 for box in boxes))
            high = (max(box.y1 for box in boxes), max(box.x1 for box in boxes))
            # The table names pixels, both inside.
            edges = [f"{edge:g}" for edge in (low[0] + 0.5, low[1] + 0.5, high[0] - 0.5, high[1] - 0.5)]
        row |= dict(zip(BOX_COLUMNS, edges, strict=True))
    return row


def _annotate(
    design: CohortDesign, members: Sequence[Member], boxes: Sequence[tuple[Box, ...]], out: Path
) -> int:
    """Write each patient's journal; how many slices have a box."""
    areas: list[Mapping[int, float]] = []
    for found in boxes:
        on: dict[int, float] = {}
        for box in found:
            on[box.z] = on.get(box.z, 0.0) + box.area
        areas.append(on)
    chosen = annotated_slices(design, areas)
    for member, found, slices in zip(members, boxes, chosen, strict=True):
        folder = out / member.case_id
        volume = read_study(folder)
        journal = Journal(
            journal_path(folder, volume.identity, READER),
            READER,
            study_uid=volume.identity.study_uid,
            placing=Placing.of(volume),
        )
        journal.add_many(
            Box(b.z, b.y0, b.x0, b.y1, b.x1, b.label, b.id, READER, "lesion") for b in found if b.z in slices
        )
        if journal.trouble:
            raise TrainingError(journal.trouble)
    return sum(len(slices) for slices in chosen)
