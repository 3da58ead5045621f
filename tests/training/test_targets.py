import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_breast_ai.core import Box
from napari_breast_ai.inference.box_cells import boxes_to_map, covered_fraction, mask_to_map

edges = st.integers(-8, 60)
box_lists = st.lists(st.tuples(edges, edges, st.integers(1, 30), st.integers(1, 30)), max_size=4)


def make(corners, unit=1.0):
    return [
        Box(0, y * unit - 0.5, x * unit - 0.5, (y + h) * unit - 0.5, (x + w) * unit - 0.5, "IGM")
        for y, x, h, w in corners
    ]


def by_sampling(boxes, image_shape, map_shape, fine=4):
    """Brute force: paint every box on a raster `fine` times finer than the pixels, then average blocks."""
    rows, columns = image_shape
    painted = np.zeros((rows * fine, columns * fine))
    y = (np.arange(rows * fine) + 0.5) / fine - 0.5
    x = (np.arange(columns * fine) + 0.5) / fine - 0.5
    for b in boxes:
        painted[np.ix_((y > b.y0) & (y < b.y1), (x > b.x0) & (x < b.x1))] = 1
    h, w = map_shape
    blocks = painted.reshape(h, rows * fine // h, w, columns * fine // w)
    return blocks.mean((1, 3)), blocks.max((1, 3))


@settings(max_examples=100, deadline=None)
@given(box_lists)
def test_equals_brute_force_on_a_fine_raster(corners):
    # Edges on quarter pixels, cells of 48/14 pixels: cells and pixels do not line up, the raster resolves
    # both.
    boxes = make(corners, unit=0.75)
    mean, most = by_sampling(boxes, (42, 56), (14, 14))
    np.testing.assert_allclose(boxes_to_map(boxes, (42, 56), (14, 14)), mean, atol=1e-6)
    np.testing.assert_array_equal(boxes_to_map(boxes, (42, 56), (14, 14), "max"), most)


@settings(max_examples=50, deadline=None)
@given(box_lists)
def test_pixel_masks_of_boxes_give_the_same_map(corners):
    boxes = make(corners)
    mask = np.zeros((45, 50), bool)
    for b in boxes:
        c = b.clipped(45, 50)
        mask[max(0, round(c.y0 + 0.5)) : round(c.y1 + 0.5), max(0, round(c.x0 + 0.5)) : round(c.x1 + 0.5)] = (
            True
        )
    for rule in ("area", "max"):
        np.testing.assert_allclose(
            mask_to_map(mask, (8, 11), rule), boxes_to_map(boxes, (45, 50), (8, 11), rule), atol=1e-6
        )


def test_area_is_kept_and_overlap_counts_once():
    boxes = [Box(0, -0.5, -0.5, 9.5, 9.5, "IGM"), Box(0, 4.5, 4.5, 14.5, 14.5, "NME")]
    assert covered_fraction(boxes, (20, 20)) == pytest.approx((100 + 100 - 25) / 400)
    assert boxes_to_map(boxes, (20, 20), (7, 3)).mean() == pytest.approx(175 / 400, abs=1e-6)


def test_one_cell_and_none():
    cell = Box(0, 9.5, 19.5, 19.5, 29.5, "IGM")
    expected = np.zeros((4, 4), np.float32)
    expected[1, 2] = 1
    for rule in ("area", "max"):
        np.testing.assert_array_equal(boxes_to_map([cell], (40, 40), (4, 4), rule), expected)
    assert not boxes_to_map([], (40, 40), (4, 4)).any()
    assert not boxes_to_map([Box(0, 50, 50, 60, 60, "IGM")], (40, 40), (4, 4)).any()
