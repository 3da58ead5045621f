"""Pictures of a run's worst failures: the slice as the model saw it, the lesion's box, and where the model looked."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cmap
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ..core import Box
from ..core.colors import OKABE_ITO
from ..inference import engine_for, to_input
from ..models import Composition
from .appraisal import Question, answers, questions
from .errors import TrainingError
from .examples import Examples
from .failures import worst
from .protocol import Round
from .records import Record, make_run

FOLDER = "pictures"
MOST = 60
"""Pictures of a run at most; each has about 15 kB."""

_WIDE = 384
_STRONGEST = 0.55


def failure_pictures(
    evaluation: Mapping[str, Any],
    examples: Examples,
    rounds: Sequence[Round],
    maps: Sequence[NDArray[np.float32] | None],
    model: Composition,
    final: Sequence[int],
) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """Draw the failures that the report will show.

    With attention the map is that of the round's own model, which had not seen the patient. Without, it is the final
    model's Grad-CAM of what was wrongly said; where the final model has learnt from the patient, the entry says so.

    Args:
        evaluation: with predictions.
        examples: all slices.
        rounds, maps: of the run, and each round's attention on the slices that it judged.
        model: the final one.
        final: the slices that it was fitted on.

    Returns:
        Entries for evaluation.json (`case_id`, `slice`, `file`, `shows`), and file names to JPEG files.
    """
    run = make_run(dict(evaluation))
    part = run.parts[0]
    records = [record for record in run.records if record.part == part]
    place = {(case, z): i for i, (case, z) in enumerate(zip(examples.cases, examples.slices, strict=True))}
    attention: dict[int, NDArray[np.float32]] = {}
    for one, own in zip(rounds, maps, strict=True):
        if own is not None and one.part == part:
            for row, map_ in zip(one.judged, own, strict=True):
                attention.setdefault(row, map_)
    wanted = _wanted(run.groups, run, records, place)
    attends = bool(attention)
    if not attends:
        attention = _grad_cam(model, examples, wanted)
    learnt = set(final)
    entries, files = [], {}
    for number, (row, (label, _)) in enumerate(list(wanted.items())[:MOST], 1):
        name = f"{FOLDER}/{number:03d}.jpg"
        shown = "attention"
        if not attends:
            shown = f"Grad-CAM of {label}, by the final model"
            shown += ", which has learnt from this slice" if row in learnt else ""
        files[name] = draw(examples.images[row], attention.get(row), examples.lesion_boxes[row])
        entries.append(
            {"case_id": examples.cases[row], "slice": examples.slices[row], "file": name, "shows": shown}
        )
    return entries, files


def _wanted(
    groups: Any, run: Any, records: Sequence[Record], place: Mapping[tuple[str, int], int]
) -> dict[int, tuple[str, int]]:
    """Rows of the examples to the label that was wrongly said or denied, and its number among the model's labels."""
    labels = [label for group in groups for label in group.labels]
    found: dict[int, tuple[str, int]] = {}
    for question in questions(groups):
        said = answers(run, question, records, "slice")
        for one in worst(said):
            z = said.slices[one.at]
            row = None if z is None else place.get((said.cases[one.at], z))
            if row is not None:
                label = _said(question, bool(said.positive[one.at]))
                found.setdefault(row, (label, labels.index(label)))
    return found


def _said(question: Question, positive: bool) -> str:
    """The label whose map explains the mistake: what was said, or for a yes-or-no the label in question."""
    if question.group.activation == "softmax" and len(question.group.labels) == 2:
        return question.negative if positive else question.positive
    return question.positive


def _grad_cam(
    model: Composition, examples: Examples, wanted: Mapping[int, tuple[str, int]]
) -> dict[int, NDArray[np.float32]]:
    found: dict[int, NDArray[np.float32]] = {}
    engine = engine_for(model, torch.device("cpu"))
    for row, (_, number) in list(wanted.items())[:MOST]:
        grey = torch.from_numpy(examples.images[[row]]).float() / 255
        explained = engine.explain(engine.features(to_input(grey, model.spec.preparation)))
        map_ = explained.gradcam[0, number].cpu().numpy()
        found[row] = (map_ / max(float(map_.max()), 1e-12)).astype(np.float32)
    return found


def draw(image: NDArray[np.uint8], heat: NDArray[np.float32] | None, boxes: Sequence[Box]) -> bytes:
    """A JPEG of a prepared slice with heat map and boxes.

    Args:
        image: uint8 (1 or 3, rows, columns); of three channels the first is shown.
        heat: (h, w) in 0..1, covering the image; None for none.
        boxes: in the image's pixels.
    """
    rows, columns = image.shape[1:]
    scale = max(_WIDE / max(rows, columns), 1.0)
    width, height = round(columns * scale), round(rows * scale)
    grey = Image.fromarray(image[0]).resize((width, height), Image.Resampling.BICUBIC)
    picture = np.repeat(np.asarray(grey, np.float32)[..., None] / 255, 3, axis=2)
    if heat is not None:
        large = Image.fromarray(np.clip(heat, 0, 1).astype(np.float32)).resize(
            (width, height), Image.Resampling.BILINEAR
        )
        strength = np.clip(np.asarray(large, np.float32), 0, 1)
        colour = np.asarray(cmap.Colormap("inferno")(strength), np.float32)[..., :3]
        alpha = (_STRONGEST * strength)[..., None]
        picture = picture * (1 - alpha) + colour * alpha
    drawn = Image.fromarray((picture * 255).round().astype(np.uint8))
    pen = ImageDraw.Draw(drawn)
    for box in boxes:
        box = box.clipped(rows, columns)
        if box.problems():
            continue
        # Index coordinates have their integers at pixel centres, a picture's at edges.
        x0, x1 = ((x + 0.5) * scale for x in (box.x0, box.x1))
        y0, y1 = ((y + 0.5) * scale for y in (box.y0, box.y1))
        pen.rectangle((x0, y0, x1 - 1, y1 - 1), outline=OKABE_ITO["sky blue"], width=2)
    buffer = io.BytesIO()
    drawn.save(buffer, "JPEG", quality=88, subsampling=0)
    return buffer.getvalue()


def write_pictures(out: Path, files: Mapping[str, bytes]) -> None:
    """Write pictures below a run's folder; those of an earlier run are taken away.

    Raises:
        TrainingError: they cannot be written.
    """
    try:
        for old in (out / FOLDER).glob("[0-9][0-9][0-9].jpg"):
            old.unlink()
        for name, content in files.items():
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (out / name).write_bytes(content)
    except OSError as error:
        raise TrainingError(f"{out} cannot be written ({error.strerror}). Choose another folder.") from error
