"""Proposals: where the map is hot, or the breast enhances, and nowhere else."""

from dataclasses import replace

import numpy as np
import pytest

from napari_breast_ai.annotations import AnnotationError
from napari_breast_ai.annotations.suggest import from_attention, from_enhancement, unlike
from napari_breast_ai.core import (
    Box,
    CaseScores,
    DceVolume,
    Geometry,
    Identity,
    LabelGroup,
    ModelRef,
    PhaseTimes,
    Prediction,
)


def geometry(shape: tuple[int, int, int], spacing: tuple[float, float] = (1.0, 1.0)) -> Geometry:
    return Geometry.from_dicom(shape, spacing, 3.0, (0, 0, 0), (1, 0, 0, 0, 1, 0))


def prediction(maps: np.ndarray | None, slices: tuple[int, ...], shape: tuple[int, int]) -> Prediction:
    scores = np.full(len(slices), 0.5, dtype=np.float32)
    return Prediction(
        ModelRef("by-hand", "0" * 64),
        (LabelGroup("lesion", ("lesion",), "sigmoid"),),
        slices,
        {"lesion": scores},
        CaseScores({"lesion": 0.5}, {}, "The rule."),
        maps,
        {"lesion": np.zeros((len(slices), 6, 5), dtype=np.float32)},
        shape,
        "phase 1",
        (),
        phase=1,
    )


def cells(box: Box, shape: tuple[int, int], h: int, w: int) -> tuple[float, float, float, float]:
    """The box in cells: first row, first column, and those behind the last."""
    dy, dx = shape[0] / h, shape[1] / w
    return (box.y0 + 0.5) / dy, (box.x0 + 0.5) / dx, (box.y1 + 0.5) / dy, (box.x1 + 0.5) / dx


@pytest.mark.parametrize("shape", [(96, 100), (96, 120), (144, 80), (97, 96)])
def test_boxes_cover_exactly_the_hot_cells(shape: tuple[int, int]) -> None:
    # Where a cell is no whole number of the map's quarters of pixels, half such a quarter is lost at most.
    even = shape[0] // 4 % 6 == 0 and shape[1] // 4 % 5 == 0 and shape[0] % 4 == 0
    near = 1e-6 if even else 0.5 * 5 / 24
    maps = np.zeros((3, 6, 5), dtype=np.float32)
    maps[0, 1:3, 2:4] = 1  # on slice 2
    maps[1, 1:4, 2] = 1  # on slice 3, touching it
    maps[2, 5, 0] = 1  # on slice 6, in the corner
    found = from_attention(prediction(maps, (2, 3, 6), shape), geometry((8, *shape)), "NME")
    at = {box.z: box for box in found}
    assert len(found) == 3 and set(at) == {2, 3, 6} and {box.label for box in found} == {"NME"}
    np.testing.assert_allclose(cells(at[2], shape, 6, 5), (1, 2, 3, 4), atol=near)
    np.testing.assert_allclose(cells(at[3], shape, 6, 5), (1, 2, 4, 3), atol=near)
    np.testing.assert_allclose(cells(at[6], shape, 6, 5), (5, 0, 6, 1), atol=near)
    assert at[2].lesion == at[3].lesion != at[6].lesion


def test_the_threshold_chooses() -> None:
    maps = np.zeros((1, 6, 5), dtype=np.float32)
    maps[0, 0:2, 0:2], maps[0, 4:6, 3:5] = 0.6, 1.0
    made, place = prediction(maps, (0,), (96, 120)), geometry((1, 96, 120))
    assert len(from_attention(made, place, "NME", threshold=0.5)) == 2
    (strong,) = from_attention(made, place, "NME", threshold=0.7)
    assert strong.y0 > 60 and strong.x0 > 60
    assert from_attention(replace(made, attention=maps * 0.2), place, "NME") == ()


def test_a_model_without_attention_says_so() -> None:
    with pytest.raises(AnnotationError, match="no attention"):
        from_attention(prediction(None, (0,), (96, 96)), geometry((1, 96, 96)), "NME")


def test_a_region_as_large_as_a_breast_is_none() -> None:
    maps = np.ones((1, 6, 5), dtype=np.float32)
    assert from_attention(prediction(maps, (0,), (96, 96)), geometry((1, 96, 96)), "NME") == ()


def body(n_phases: int = 4) -> tuple[DceVolume, np.ndarray]:
    """A body 120 × 140 mm, front at the top, with a bright blob in its front and a brighter heart behind."""
    shape = (8, 140, 160)
    z, y, x = np.mgrid[: shape[0], : shape[1], : shape[2]]
    inside = np.hypot((y - 70) / 60, (x - 80) / 70) < 1
    blob = np.sqrt((y - 35) ** 2 + (x - 55) ** 2 + (3 * (z - 3)) ** 2) < 8
    heart = np.hypot(y - 105, x - 85) < 15
    noise = np.random.default_rng(0).normal(0, 2, shape)
    data = []
    for phase in range(n_phases):
        image = inside * (200 + noise)
        data.append(image + min(phase, 1) * (220 * blob + 500 * heart))
    times = tuple(90.0 * phase for phase in range(n_phases))
    volume = DceVolume(
        np.clip(np.stack(data), 0, None).astype(np.uint16),
        geometry(shape),
        PhaseTimes(times, ("AcquisitionTime",) * n_phases),
        Identity("1.2.3"),
        (),
        "made by hand",
    )
    return volume, blob


def test_what_enhances_in_the_breast_and_not_the_heart() -> None:
    volume, blob = body()
    found = from_enhancement(volume, "IGM")
    assert found and {box.label for box in found} == {"IGM"}
    assert len({box.lesion for box in found}) == 1, "the blob alone"
    middle = next(box for box in found if box.z == 3)
    rows, columns = np.nonzero(blob[3])
    expected = (rows.min() - 0.5, columns.min() - 0.5, rows.max() + 0.5, columns.max() + 0.5)
    np.testing.assert_allclose((middle.y0, middle.x0, middle.y1, middle.x1), expected, atol=1.5)
    assert all(abs(box.z - 3) <= 3 for box in found)


def test_the_breasts_end_at_the_breastbone_also_in_noisy_air() -> None:
    """The heart lies in the front half of the body here, behind the skin between the breasts."""
    shape = (8, 170, 160)
    z, y, x = np.mgrid[: shape[0], : shape[1], : shape[2]]
    breasts = (np.hypot(y - 50, x - 40) < 30) | (np.hypot(y - 50, x - 120) < 30)
    inside = breasts | (np.hypot((y - 100) / 50, (x - 80) / 75) < 1)
    blob = np.sqrt((y - 38) ** 2 + (x - 42) ** 2 + (3 * (z - 3)) ** 2) < 7
    heart = np.hypot(y - 76, x - 85) < 10
    air = np.abs(np.random.default_rng(1).normal(0, 12, shape))
    before = np.where(inside, 200, air)
    data = [before + phase * (300 * blob + 600 * heart) for phase in (0, 1, 1)]
    volume = DceVolume(
        np.stack(data).astype(np.uint16),
        geometry(shape),
        PhaseTimes((0.0, 90.0, 180.0), ("AcquisitionTime",) * 3),
        Identity("1.2.3"),
        (),
        "made by hand",
    )
    found = from_enhancement(volume, "IGM")
    assert found and all(box.y1 < 60 and box.x1 < 60 for box in found)


def test_the_early_phase_counts_and_a_slow_rise_does_not() -> None:
    volume, _ = body()
    flat = volume.data.copy()
    flat[1:] = volume.data[0]
    assert from_enhancement(replace(volume, data=flat), "IGM") == ()
    # The rise comes after the early phase (150 s), in the last one.
    late = flat.copy()
    late[3] = volume.data[3]
    assert from_enhancement(replace(volume, data=late), "IGM") == ()


def test_one_phase_says_so() -> None:
    with pytest.raises(AnnotationError, match="one phase"):
        from_enhancement(body(1)[0], "IGM")


def test_unlike() -> None:
    one = Box(3, 0, 0, 10, 10, "IGM")
    assert unlike([one], [replace(one, z=4)]) == (one,), "another slice"
    assert unlike([one], [replace(one, y1=20.0)]) == (), "half of it"
    assert unlike([one], [replace(one, label="NME")]) == (), "whatever its class"
    assert unlike([one], [replace(one, y0=8.0, y1=18.0)]) == (one,)
    assert unlike([one], [replace(one, y0=8.0, y1=18.0)], iou=0.1) == ()
