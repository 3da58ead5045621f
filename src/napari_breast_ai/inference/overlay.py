"""Pictures of single slices with the heat map, the boxes and the scores on them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import cmap
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ..core import Box, DceVolume, Prediction
from ..core.colors import LABEL_COLORS
from ..core.orientation import sides, upright
from .fieldofview import find_field

_OTHER_COLOUR = "#f0e442"
_MAX_ALPHA = 0.6
_SHORTEST = 512


def rank_slices(prediction: Prediction, boxes: Collection[Box] = ()) -> tuple[int, ...]:
    """Positions in `prediction.slices`, the most telling first.

    By the gate's score (such as "lesion") where the model has one; else slices with a box first, then by the
    highest score of any label but a normal one.
    """
    gates = [group.gate for group in prediction.groups if group.gate is not None]
    if gates:
        scores = prediction.probabilities[gates[0]]
    else:
        labels = [label for label in prediction.labels if not label.startswith("normal")]
        scores = np.max([prediction.probabilities[label] for label in labels or prediction.labels], axis=0)
        boxed = {box.z for box in boxes}
        scores = scores + np.array([index in boxed for index in prediction.slices], dtype=np.float32)
    return tuple(int(i) for i in np.argsort(-scores, kind="stable"))


def draw_overlay(
    prediction: Prediction, position: int, volume: DceVolume, boxes: Collection[Box] = ()
) -> Image.Image:
    """The slice that the model saw, its heat map, boxes and scores, upright.

    Args:
        prediction: of the volume.
        position: in `prediction.slices`.
        volume: the study.
        boxes: of any slices; those of this one are drawn.

    Returns:
        An RGB picture with pixels that are square in millimetres, the shorter side at least 512 pixels.
    """
    index = prediction.slices[position]
    picture = draw_slice(seen(volume, prediction, index), volume, index, boxes, heat_of(prediction, position))
    scores = "   ".join(
        f"{label} {float(prediction.probabilities[label][position]):.2f}" for label in prediction.labels
    )
    return _with_caption(
        picture,
        (
            f"Slice {index}   {prediction.model.name}   {heat_name(prediction, position)}",
            scores,
            "Research use only. Not a medical device.",
        ),
    )


def draw_slice(
    grey: NDArray[np.float32],
    volume: DceVolume,
    index: int,
    boxes: Collection[Box] = (),
    heat: tuple[NDArray[np.float32], tuple[int, int, int, int]] | None = None,
) -> Image.Image:
    """A slice with boxes and a heat map, upright, the patient's sides at its edges.

    Args:
        grey: (rows, columns), 0..1.
        volume: the study.
        index: of the slice.
        boxes: of any slices; those of this one are drawn.
        heat: a map in 0..1, and the pixels (y0, x0, y1, x1) that it covers.

    Returns:
        An RGB picture with pixels that are square in millimetres, the shorter side at least 512 pixels.
    """
    rows, columns = grey.shape
    _, row_mm, column_mm = volume.geometry.spacing
    # Enlarge so that a millimetre is as long down as across.
    unit = _SHORTEST / min(rows * row_mm, columns * column_mm)
    unit = max(unit, 1 / min(row_mm, column_mm))
    width, height = round(columns * column_mm * unit), round(rows * row_mm * unit)
    down, across = upright(volume)
    flips = (slice(None, None, -1 if down == "up" else 1), slice(None, None, -1 if across == "left" else 1))
    whole = Image.fromarray((grey[flips] * 255).astype(np.uint8))
    base = (
        np.asarray(whole.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32)[..., None] / 255
    )
    if heat is None:
        picture = Image.fromarray((np.repeat(base, 3, axis=2) * 255).round().astype(np.uint8))
    else:
        strength = np.clip(_enlarged(*heat, (rows, columns), width, height), 0, 1)[flips]
        colour = np.asarray(cmap.Colormap("inferno")(strength), dtype=np.float32)[..., :3]
        alpha = (_MAX_ALPHA * strength)[..., None]
        picture = Image.fromarray(((base * (1 - alpha) + colour * alpha) * 255).round().astype(np.uint8))
    own = [box.clipped(rows, columns) for box in boxes if box.z == index]
    _draw_boxes(
        picture, [_turned(box, rows, columns, down == "up", across == "left") for box in own], (rows, columns)
    )
    _draw_sides(picture, sides(volume))
    return picture


def seen(volume: DceVolume, prediction: Prediction, index: int) -> NDArray[np.float32]:
    """A slice as the model saw it, (rows, columns), 0..1, black around the part that it saw.

    An ultrasound device writes names and settings beside its picture.
    """
    phase = prediction.phase if prediction.phase is not None else volume.n_phases - 1
    grey = shade(volume, index, phase, prediction.subtracted, prediction.window)
    y0, x0, y1, x1 = prediction.covered
    part = np.zeros_like(grey)
    part[max(y0, 0) : y1, max(x0, 0) : x1] = grey[max(y0, 0) : y1, max(x0, 0) : x1]
    if prediction.region is not None:
        # The square reaches above and below a field that is wider than tall.
        part[~find_field(volume.data[phase].max(axis=0)).inside] = 0
    return part


def shade(
    volume: DceVolume, index: int, phase: int, subtracted: bool, window: tuple[float, float] | None = None
) -> NDArray[np.float32]:
    """A slice of a phase or of its subtraction, (rows, columns), 0..1, in a window or in the slice's own."""
    values = volume.data[phase, index].astype(np.float32)
    if subtracted:
        values = values - volume.data[volume.pre_contrast, index].astype(np.float32)
    low, high = window if window is not None else (float(value) for value in np.percentile(values, (1, 99.5)))
    scaled: NDArray[np.float32] = np.clip(np.nan_to_num((values - low) / max(high - low, 1e-12)), 0, 1)
    return scaled


def heat_of(prediction: Prediction, position: int) -> tuple[NDArray[np.float32], tuple[int, int, int, int]]:
    """Attention as it is, or Grad-CAM of the slice's highest label against its maximum over all slices."""
    label = _top_label(prediction, position)
    attention = prediction.attention_for(label)
    if attention is not None:
        return attention[position], prediction.covered
    maps = prediction.gradcam[label]
    return maps[position] / max(float(maps.max()), 1e-12), prediction.covered


def heat_name(prediction: Prediction, position: int) -> str:
    """What `heat_of` shows."""
    label = _top_label(prediction, position)
    if prediction.attention_for(label) is None:
        return f"Grad-CAM of {label}"
    return f"Attention for {label}" if prediction.task_attention else "Attention"


def _top_label(prediction: Prediction, position: int) -> str:
    return max(prediction.labels, key=lambda name: float(prediction.probabilities[name][position]))


def _enlarged(
    heat: NDArray[np.float32],
    covered: tuple[int, int, int, int],
    shape: tuple[int, int],
    width: int,
    height: int,
) -> NDArray[np.float32]:
    """The map at the picture's size, float32 (height, width); 0 where the model saw nothing of the image."""
    y0, x0, y1, x1 = covered
    top, bottom = (round(y * height / shape[0]) for y in (y0, y1))
    left, right = (round(x * width / shape[1]) for x in (x0, x1))
    large = Image.fromarray(heat).resize((right - left, bottom - top), Image.Resampling.BILINEAR)
    whole = Image.new("F", (width, height))
    whole.paste(large, (left, top))
    return np.asarray(whole, dtype=np.float32)


def _turned(box: Box, rows: int, columns: int, up: bool, left: bool) -> Box:
    """The box in an image whose rows or columns run the other way."""
    y0, y1 = (rows - 1 - box.y1, rows - 1 - box.y0) if up else (box.y0, box.y1)
    x0, x1 = (columns - 1 - box.x1, columns - 1 - box.x0) if left else (box.x0, box.x1)
    return replace(box, y0=y0, y1=y1, x0=x0, x1=x1)


def _draw_boxes(picture: Image.Image, boxes: Sequence[Box], shape: tuple[int, int]) -> None:
    draw = ImageDraw.Draw(picture)
    line = max(2, picture.width // 250)
    size = max(12, picture.width // 36)
    font = ImageFont.load_default(size=size)
    for box in boxes:
        if box.problems():
            continue
        # Index coordinates have their integers at pixel centres, a picture's at edges.
        x0, x1 = ((x + 0.5) * picture.width / shape[1] for x in (box.x0, box.x1))
        y0, y1 = ((y + 0.5) * picture.height / shape[0] for y in (box.y0, box.y1))
        colour = LABEL_COLORS.get(box.label, _OTHER_COLOUR)
        draw.rectangle((x0, y0, x1, y1), outline=colour, width=line)
        draw.text((x0 + line, max(y0 - size - 2 * line, 0)), box.label, fill=colour, font=font)


def _draw_sides(picture: Image.Image, named: Mapping[str, str]) -> None:
    """The patient's sides, small, in the middle of each edge."""
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=max(12, picture.width // 36))
    width, height = picture.size
    places = {
        "top": ((width / 2, 4), "mt"),
        "bottom": ((width / 2, height - 4), "ms"),
        "left": ((4, height / 2), "lm"),
        "right": ((width - 4, height / 2), "rm"),
    }
    for edge, side in named.items():
        place, anchor = places[edge]
        draw.text(place, side, fill="#d0d0d0", font=font, anchor=anchor)


def _with_caption(picture: Image.Image, lines: Sequence[str]) -> Image.Image:
    size = max(12, picture.width // 36)
    font = ImageFont.load_default(size=size)
    step = round(size * 1.4)
    whole = Image.new("RGB", (picture.width, picture.height + step * len(lines) + step // 2), "black")
    whole.paste(picture, (0, 0))
    draw = ImageDraw.Draw(whole)
    for number, text in enumerate(lines):
        draw.text((step // 2, picture.height + step // 4 + number * step), text, fill="white", font=font)
    return whole
