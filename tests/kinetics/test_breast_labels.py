"""Masks of the breasts as labels that a person can correct, and density where there is no enhancement."""

import numpy as np
import pytest

from napari_breast_ai.core import Geometry
from napari_breast_ai.kinetics import BreastMasks, KineticsError, density_figures, labels_of, masks_of
from napari_breast_ai.kinetics.breast_labels import BY_HAND, TISSUE, no_masks

GEOMETRY = Geometry.from_dicom((4, 20, 40), (1.0, 1.0), 2.5, (0, 0, 0), (1, 0, 0, 0, 1, 0))


@pytest.fixture
def found() -> BreastMasks:
    """The right breast in columns 2 to 13, the left one in 26 to 37, gland in the middle of both."""
    breast = np.zeros(GEOMETRY.shape, np.uint8)
    breast[:, 5:17, 2:14], breast[:, 5:17, 26:38] = 1, 2
    tissue = np.zeros(GEOMETRY.shape, bool)
    tissue[:, 9:13, 6:10] = tissue[1, 9:13, 30:34] = True
    return BreastMasks(breast, tissue, "by hand")


def test_labels_and_back(found: BreastMasks) -> None:
    labels = labels_of(found)
    assert set(np.unique(labels)) == {0, 1, 2, TISSUE} and (labels[found.tissue] == TISSUE).all()
    assert masks_of(labels, found, GEOMETRY) is found


def test_what_a_hand_changes(found: BreastMasks) -> None:
    labels = labels_of(found)
    labels[0, 9:13, 6:10] = 1  # no gland after all
    labels[2, 0:4, 12:14] = labels[2, 0:4, 24:28] = TISSUE  # outside of both breasts
    labels[3, 5:17, 2:14] = 0
    made = masks_of(labels, found, GEOMETRY)
    assert made.how == "by hand, edited by hand" and not made.warnings
    assert not made.tissue[0, :, :14].any() and not made.breast[3, :, :20].any()
    assert (made.breast[2, 0:4, 12:14] == 1).all() and (made.breast[2, 0:4, 24:28] == 2).all()
    assert made.tissue[2, 0:4, 24:28].all()
    assert (made.breast[1] == found.breast[1]).all()


def test_tissue_follows_a_side_that_is_painted_anew(found: BreastMasks) -> None:
    """One breast is the left one; right and left change places; a stroke changes what lies beside it alone."""
    one = BreastMasks(
        np.where(found.breast == 1, np.uint8(3), np.uint8(0)), found.tissue & (found.breast == 1), ""
    )
    labels = labels_of(one)
    labels[labels == 3] = 2
    (row,) = density_figures(masks_of(labels, one, GEOMETRY), GEOMETRY, "")
    assert row.side == "left" and row.density_percent == pytest.approx(100 * 16 / 144)
    labels = labels_of(found)
    right, left = labels == 1, labels == 2
    labels[right], labels[left] = 2, 1
    swapped = masks_of(labels, found, GEOMETRY)
    np.testing.assert_array_equal(swapped.breast, np.array([0, 2, 1], np.uint8)[found.breast])
    np.testing.assert_array_equal(swapped.tissue, found.tissue)
    labels = labels_of(found)
    labels[2, 5:9, 2:14][labels[2, 5:9, 2:14] == 1] = 3
    touched = masks_of(labels, found, GEOMETRY)
    assert (touched.breast[[0, 1, 3]] == found.breast[[0, 1, 3]]).all()
    # A left breast that is all gland has no voxel of its side left: that is no other side.
    labels = labels_of(found)
    labels[labels == 2] = TISSUE
    labels[labels == 1] = 3
    dense = masks_of(labels, found, GEOMETRY)
    np.testing.assert_array_equal(dense.breast, np.array([0, 3, 2], np.uint8)[found.breast])


def test_labels_that_stand_for_nothing_are_said(found: BreastMasks) -> None:
    labels = labels_of(found)
    labels[0, 0, 0:3] = 7, 9, 9
    made = masks_of(labels, found, GEOMETRY)
    assert "left out: 7, 9." in made.warnings[0] and not made.breast[0, 0].any()


def test_a_breast_painted_from_nothing() -> None:
    before = no_masks(GEOMETRY.shape)
    labels = labels_of(before)
    assert masks_of(labels, before, GEOMETRY) is before
    labels[1, 5:10, 5:10] = TISSUE
    alone = masks_of(labels, before, GEOMETRY)
    assert alone.how == BY_HAND and set(np.unique(alone.breast)) == {0, 3}
    labels[1, 5:15, 10:20] = 2
    assert set(np.unique(masks_of(labels, before, GEOMETRY).breast)) == {0, 2}


def test_density_without_enhancement(found: BreastMasks) -> None:
    right, left, both = density_figures(found, GEOMETRY, "No phase after contrast.")
    assert (right.side, left.side, both.side) == ("right", "left", "both")
    assert right.breast_ml == pytest.approx(4 * 144 * 2.5 / 1000)
    assert right.density_percent == pytest.approx(100 * 16 / 144)
    assert both.density_percent == pytest.approx(100 * (64 + 16) / (8 * 144))
    assert both.bpe_percent is None and both.remarks == ("No phase after contrast.",)
    one = Geometry.from_dicom((1, 20, 40), (1.0, 1.0), 2.5, (0, 0, 0), (1, 0, 0, 0, 1, 0))
    rows = density_figures(BreastMasks(found.breast[:1], found.tissue[:1], ""), one, "Why.")
    assert "one slice" in rows[0].remarks[0]
    with pytest.raises(KineticsError, match="hold no breast"):
        density_figures(no_masks(GEOMETRY.shape), GEOMETRY, "")
    with pytest.raises(KineticsError, match="do not belong"):
        density_figures(found, one, "")
