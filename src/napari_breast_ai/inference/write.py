"""A prediction as files: prediction.json, probabilities.csv, heatmaps.npz and pictures of the top slices."""

from __future__ import annotations

import csv
import io
import json
import re
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..core import Box, DceVolume, Prediction
from .errors import InferenceError
from .overlay import draw_overlay, rank_slices

if TYPE_CHECKING:
    from .in_range import RangeReport

SCHEMA = "napari-breast-ai/prediction"
VERSION = 1
JSON_FILE, CSV_FILE, MAPS_FILE = "prediction.json", "probabilities.csv", "heatmaps.npz"


class _Index(Protocol):
    def to_json(self) -> Mapping[str, Any]: ...


def write_prediction(
    prediction: Prediction,
    volume: DceVolume,
    out: str | Path,
    *,
    top: int = 3,
    boxes: Collection[Box] = (),
    index: _Index | None = None,
    ranged: RangeReport | None = None,
) -> tuple[Path, ...]:
    """Write a prediction into a folder. Everything is written beside it first and moved there when it is
    complete.

    Args:
        prediction: of `volume`.
        volume: the study.
        out: the folder; it is made if need be. Files of an earlier prediction in it are replaced.
        top: how many slices get a picture.
        boxes: to draw.
        index: of the study's files; their numbers go into prediction.json (no file names: they can hold a
            name).
        ranged: whether the study is like those that the model was trained on; it goes into probabilities.csv.

    Returns:
        The files, prediction.json first.

    Raises:
        InferenceError: the folder can't be written.
    """
    out = Path(out)
    chosen = rank_slices(prediction, boxes)[: max(top, 0)]
    pictures = {
        f"overlay-{rank:02d}-slice-{prediction.slices[i]:03d}.png": i for rank, i in enumerate(chosen, 1)
    }
    names = (JSON_FILE, CSV_FILE, MAPS_FILE, *pictures)
    if out.exists() and not out.is_dir():
        raise InferenceError(f"The result can't be written into {out}: it is a file. Choose a folder.")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as room:
            new = Path(room) / "new"
            new.mkdir()
            like, doubts = (None, ()) if ranged is None else (ranged.like, ranged.doubts)
            (new / CSV_FILE).write_bytes(prediction_csv(prediction, like=like, doubts=doubts).encode())
            _write_maps(new / MAPS_FILE, prediction, volume)
            for name, position in pictures.items():
                draw_overlay(prediction, position, volume, boxes).save(new / name)
            content = prediction_json(prediction, volume, index, names)
            text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
            (new / JSON_FILE).write_text(text + "\n", encoding="utf-8")
            _move(new, out, names)
    except OSError as error:
        raise InferenceError(
            f"The result can't be written into {out} ({error}). Choose another folder."
        ) from error
    return tuple(out / name for name in names)


def _move(new: Path, out: Path, names: tuple[str, ...]) -> None:
    """Put the files in place; prediction.json goes last, so that whoever finds it finds all of them."""
    if not out.exists():
        new.rename(out)
        return
    old = _earlier_pictures(out)
    (out / JSON_FILE).unlink(missing_ok=True)
    for name in old - set(names):
        (out / name).unlink(missing_ok=True)
    for name in (*names[1:], JSON_FILE):
        (new / name).replace(out / name)


def _earlier_pictures(out: Path) -> set[str]:
    """The pictures of an earlier prediction in the folder, which would be taken for this one's."""
    try:
        content = json.loads((out / JSON_FILE).read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            return set()
        return {name for name in content["files"] if re.fullmatch(r"overlay-\d+-slice-\d+\.png", name)}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def prediction_json(
    prediction: Prediction, volume: DceVolume, index: _Index | None = None, files: Collection[str] = ()
) -> dict[str, Any]:
    """The prediction as JSON values; nothing in it names the patient."""
    identity = volume.identity
    height, width = prediction.map_shape
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "research_use_only": True,
        "software": {"name": "napari-breast-ai", "version": __version__},
        "model": {"name": prediction.model.name, "sha256": prediction.model.sha256},
        "input": {
            "identity": {
                "study_uid": identity.study_uid,
                "series_uids": list(identity.series_uids),
                "frame_of_reference_uid": identity.frame_of_reference_uid,
                "synthetic": identity.synthetic,
            },
            "phases": volume.n_phases,
            "phase_times_s": list(volume.times.start_s),
            "pre_contrast": volume.pre_contrast,
            "slices": volume.n_slices,
            "rows": prediction.image_shape[0],
            "columns": prediction.image_shape[1],
            "region": None if prediction.region is None else list(prediction.region),
            "spacing_mm": list(volume.geometry.spacing),
            "phase": prediction.phase,
            "subtracted": prediction.subtracted,
            "image": prediction.input,
            **({} if index is None else {"files": _file_numbers(index.to_json())}),
        },
        "groups": [
            {"name": g.name, "labels": list(g.labels), "activation": g.activation, "gate": g.gate}
            for g in prediction.groups
        ],
        "case": {
            "probabilities": dict(prediction.case.probabilities),
            "voting_slices": {name: list(voters) for name, voters in prediction.case.voting_slices.items()},
            "rule": prediction.case.rule,
            "intervals": {label: list(ends) for label, ends in prediction.case.intervals.items()},
            "interval_rule": prediction.case.interval_rule,
        },
        "slices": [
            {"slice": z, "probabilities": {k: float(p[i]) for k, p in prediction.probabilities.items()}}
            for i, z in enumerate(prediction.slices)
        ],
        "heatmaps": {
            "file": MAPS_FILE,
            "shape": [height, width],
            "attention": prediction.attention is not None,
            "cell_to_patient": cell_to_patient(prediction, volume).tolist(),
        },
        "warnings": list(prediction.warnings),
        "files": list(files),
    }


def cell_to_patient(prediction: Prediction, volume: DceVolume) -> NDArray[np.float64]:
    """4 × 4: (slice, cell row, cell column, 1), integers at the cells' centres, to patient mm (LPS)."""
    height, width = prediction.map_shape
    y0, x0, y1, x1 = prediction.covered
    cells = np.eye(4)
    cells[1, 1], cells[1, 3] = (y1 - y0) / height, prediction.cell_to_pixel(0, 0)[0]
    cells[2, 2], cells[2, 3] = (x1 - x0) / width, prediction.cell_to_pixel(0, 0)[1]
    found: NDArray[np.float64] = volume.geometry.affine @ cells
    return found


def _file_numbers(index: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "total": index.get("files"),
        "unused": len(index.get("unused", ())),
        "groups": [
            {"role": group.get("role"), "files": group.get("files"), "slices": group.get("n_slices")}
            for group in index.get("groups", ())
        ],
    }


REMARKS = ("model", "remark", "like the training", "doubts")
"""Columns behind those of the labels, the same in all rows."""

_LIKE = {True: "yes", False: "no", None: "not compared"}


def prediction_csv(
    prediction: Prediction, *, taught: bool = False, like: bool | None = None, doubts: Sequence[str] = ()
) -> str:
    """The scores as a table: a row for each slice, and one for the case with an empty cell where nothing was asked.

    Behind the labels stand the model, whether boxes have taught the scores, and whether they are certain (`REMARKS`).

    Args:
        prediction: whose scores.
        taught: they were taught live.
        like: the study is like those that the model was trained on; None: it was not compared.
        doubts: why the scores are not to be taken as certain, in sentences.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(["slice", *prediction.labels, *REMARKS])
    remark = "scores taught live, not calibrated" if taught else ""
    remarks = (prediction.model.name, remark, _LIKE[like], " ".join(doubts))
    for i, z in enumerate(prediction.slices):
        scores = (f"{float(prediction.probabilities[k][i]):.6f}" for k in prediction.labels)
        writer.writerow([z, *scores, *remarks])
    case = (prediction.case.probabilities[label] for label in prediction.labels)
    writer.writerow(["case", *("" if value is None else f"{value:.6f}" for value in case), *remarks])
    return out.getvalue()


def _write_maps(file: Path, prediction: Prediction, volume: DceVolume) -> None:
    """Arrays, none pickled: labels (L,), gradcam (L, n, h, w), attention (n, h, w) if there is one.

    Where questions have copies of the model of their own: attention_groups (G,), task_attention (G, n, h, w).
    """
    arrays: dict[str, Any] = {
        "slices": np.array(prediction.slices, dtype=np.int32),
        "labels": np.array(prediction.labels, dtype=np.str_),
        "gradcam": np.stack([prediction.gradcam[label] for label in prediction.labels]),
        "cell_to_patient": cell_to_patient(prediction, volume),
        "image_shape": np.array(prediction.image_shape, dtype=np.int32),
    }
    if prediction.attention is not None:
        arrays["attention"] = prediction.attention
    if prediction.task_attention:
        arrays["attention_groups"] = np.array(list(prediction.task_attention), dtype=np.str_)
        arrays["task_attention"] = np.stack(list(prediction.task_attention.values()))
    np.savez_compressed(file, **arrays)
