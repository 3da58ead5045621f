"""Pictures of single slices with the heat map, the boxes and the scores on them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import cmap
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ..core import Box, DceVolume, Prediction

_COLOURS = {"IGM": "#35b7ff", "NME": "#ff5c8a"}
_OTHER_COLOUR = "#ffd23f"
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
    """The slice that the model saw, its heat map, boxes and scores.

    Args:
        prediction: of the volume.
        position: in `prediction.slices`.
        volume: the study.
        boxes: of any slices; those of this one are drawn.

    Returns:
        An RGB picture with pixels that are square in millimetres, the shorter side at least 512 pixels.
    """
    index = prediction.slices[position]
    rows, columns = prediction.image_shape
    _, row_mm, column_mm = volume.geometry.spacing
    # Enlarge so that a millimetre is as long down as across.
    unit = _SHORTEST / min(rows * row_mm, columns * column_mm)
    unit = max(unit, 1 / min(row_mm, column_mm))
    width, height = round(columns * column_mm * unit), round(rows * row_mm * unit)
    grey = Image.fromarray((_grey(prediction, volume, index) * 255).astype(np.uint8))
    base = (
        np.asarray(grey.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32)[..., None] / 255
    )
    heat, what = _heat(prediction, position)
    large = Image.fromarray(heat).resize((width, height), Image.Resampling.BILINEAR)
    strength = np.clip(np.asarray(large, dtype=np.float32), 0, 1)
    colour = np.asarray(cmap.Colormap("inferno")(strength), dtype=np.float32)[..., :3]
    alpha = (_MAX_ALPHA * strength)[..., None]
    picture = Image.fromarray(((base * (1 - alpha) + colour * alpha) * 255).round().astype(np.uint8))
    _draw_boxes(picture, [box for box in boxes if box.z == index], prediction.image_shape)
    scores = "   ".join(
        f"{label} {float(prediction.probabilities[label][position]):.2f}" for label in prediction.labels
    )
    return _with_caption(
        picture,
        (
            f"Slice {index}   {prediction.model.name}   {what}",
            scores,
            "Research use only. Not a medical device.",
        ),
    )


def _grey(prediction: Prediction, volume: DceVolume, index: int) -> NDArray[np.float32]:
    phase = prediction.phase if prediction.phase is not None else volume.n_phases - 1
    values = volume.data[phase, index].astype(np.float32)
    if prediction.subtracted:
        values = values - volume.data[volume.pre_contrast, index].astype(np.float32)
    if prediction.window is not None:
        low, high = prediction.window
    else:
        low, high = (float(value) for value in np.percentile(values, (1, 99.5)))
    scaled: NDArray[np.float32] = np.clip(np.nan_to_num((values - low) / max(high - low, 1e-12)), 0, 1)
    return scaled


def _heat(prediction: Prediction, position: int) -> tuple[NDArray[np.float32], str]:
    """Attention as it is, or Grad-CAM of the slice's highest label against its maximum over all slices."""
    if prediction.attention is not None:
        return prediction.attention[position], "Attention"
    label = max(prediction.labels, key=lambda name: float(prediction.probabilities[name][position]))
    maps = prediction.gradcam[label]
    return maps[position] / max(float(maps.max()), 1e-12), f"Grad-CAM of {label}"


def _draw_boxes(picture: Image.Image, boxes: Sequence[Box], shape: tuple[int, int]) -> None:
    draw = ImageDraw.Draw(picture)
    line = max(2, picture.width // 250)
    size = max(12, picture.width // 36)
    font = ImageFont.load_default(size=size)
    for box in boxes:
        box = box.clipped(*shape)
        if box.problems():
            continue
        # Index coordinates have their integers at pixel centres, a picture's at edges.
        x0, x1 = ((x + 0.5) * picture.width / shape[1] for x in (box.x0, box.x1))
        y0, y1 = ((y + 0.5) * picture.height / shape[0] for y in (box.y0, box.y1))
        colour = _COLOURS.get(box.label, _OTHER_COLOUR)
        draw.rectangle((x0, y0, x1, y1), outline=colour, width=line)
        draw.text((x0 + line, max(y0 - size - 2 * line, 0)), box.label, fill=colour, font=font)


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
