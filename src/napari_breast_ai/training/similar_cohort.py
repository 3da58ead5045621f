"""Make an index of similar cases from a cohort table."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..core import BreastAIError, Progress, silent
from ..inference import KeptFeatures, predict
from ..inference.in_range import slice_vectors
from ..inference.similar import (
    Entry,
    content_of,
    lesion_slices,
    new_salt,
    patient_hash,
    thumbnail,
    write_index,
)
from ..models.bundle import Bundle
from ..study import read_study
from ..study.patient import patient_id_of
from .errors import TrainingError
from .gather import read_boxes_of
from .table import Cohort


def index_cohort(
    cohort: Cohort,
    column: str,
    bundle: Bundle,
    folder: Path,
    *,
    reader: str | None = None,
    progress: Progress = silent,
) -> tuple[int, list[str]]:
    """Write an index of the cases of a table that have a label.

    Args:
        cohort: the table.
        column: of the labels.
        bundle: the model whose features are compared.
        folder: of the index; one that is there is written over.
        reader: whose boxes tell the lesion's slices.
        progress: told after every case.

    Returns:
        How many cases it holds, and what was left out, in sentences.

    Raises:
        TrainingError: the table has no such column, or no case can be used.
        SimilarError: the folder cannot be written.
        Cancelled: by `progress`; nothing is written.
    """
    names = {name.lower(): name for name in cohort.columns}
    if column.lower() not in names:
        raise TrainingError(
            f"The table has no column “{column}”. Its columns are {', '.join(cohort.columns) or 'none'}."
        )
    column = names[column.lower()]
    salt = new_salt()
    entries, vectors, notes = [], [], []
    pictures: dict[str, bytes] = {}
    for done, row in enumerate(cohort.rows, 1):
        label = row.columns.get(column, "").strip()
        try:
            if not label:
                raise TrainingError(f"Case “{row.case_id}” has no {column} and is left out.")
            volume = read_study(row.path)
            boxes = read_boxes_of(row, volume, reader)
            boxed = sorted({box.z for box in boxes if 0 <= box.z < volume.n_slices})
            kept = KeptFeatures(volume, bundle)
            prediction = predict(volume, bundle, slices=boxed or None, boxes=boxes or None, kept=kept)
            slices = lesion_slices(prediction, boxes)
            maps = kept.get(slices)
            if maps is None:
                raise TrainingError(f"Case “{row.case_id}” is too large to be kept and is left out.")
            vectors.append(slice_vectors(maps).mean(axis=0))
            content = content_of(volume)
            picture = f"{content[:24]}.png"
            pictures[picture] = thumbnail(volume, bundle, slices[len(slices) // 2], boxes)
            whose = {patient_hash(salt, row.patient_id), patient_hash(salt, patient_id_of(row.path))} - {""}
            path = str(row.path.resolve())
            entries.append(Entry(label, path, content, tuple(sorted(whose)), slices, picture))
        except BreastAIError as error:
            notes.append(str(error))
        progress(done, len(cohort.rows), "Indexing cases")
    if not entries:
        raise TrainingError(f"No case of {cohort.source.name} can be indexed. {' '.join(notes[:3])}".rstrip())
    write_index(folder, bundle.ref, salt, entries, np.stack(vectors), pictures)
    return len(entries), notes
