"""Boxes of several slices as lesions."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_breast_ai.annotations import AnnotationError
from napari_breast_ai.annotations.lesions import between, lesion_of, lesions, partner
from napari_breast_ai.core import Box, Geometry


def box(z: int, name: str, lesion: str = "", label: str = "NME", at: float = 10.0) -> Box:
    return Box(z, at, at + 10, at + 10, at + 30, label, name, "anna", lesion)


def test_boxes_of_one_name_are_one_lesion_and_those_without_are_alone() -> None:
    boxes = [
        box(7, "a", "L"), box(3, "b"), box(5, "c", "L", "IGM"), box(6, "d", "L"), box(3, "e"), box(4, "f", "b"),
    ]  # fmt: skip
    found = lesions(boxes)
    assert [(one.key, [box.id for box in one.boxes]) for one in found] == [
        ("L", ["c", "d", "a"]), ("b", ["b", "f"]), ("e", ["e"]),
    ]  # fmt: skip
    assert found[0].label == "NME", "two of three"
    assert lesions([box(1, "a", "L", "IGM"), box(2, "b", "L")])[0].label == "IGM", (
        "the first one where they draw"
    )
    assert lesions([]) == ()


def test_sizes_in_millimetres() -> None:
    geometry = Geometry.from_dicom((20, 100, 100), (0.8, 0.7), 3.0, (0, 0, 0), (1, 0, 0, 0, 1, 0))
    (one,) = lesions([Box(4, 9.5, 19.5, 12.5, 30.5, "NME", "a")])
    # One slice is 3 mm thick; 3 rows of 0.8 mm; 11 columns of 0.7 mm.
    assert one.size_mm(geometry) == pytest.approx((3.0, 2.4, 7.7))
    (several,) = lesions(
        [Box(4, 9.5, 19.5, 12.5, 30.5, "NME", "a", lesion="L"), Box(7, 1.5, 22.5, 11.5, 40.5, "NME", "b", lesion="L")]
    )  # fmt: skip
    # Slices 4 to 7; rows 1.5 to 12.5; columns 19.5 to 40.5.
    assert several.size_mm(geometry) == pytest.approx((12.0, 8.8, 14.7))


def test_a_new_box_joins_the_neighbour_that_it_overlaps_most() -> None:
    new = box(5, "new")
    near, nearer = box(4, "near", "L", at=13.0), box(6, "nearer", at=11.0)
    assert lesion_of(new, [near, nearer]) == "nearer", "a lesion of one box is called by its id"
    assert lesion_of(new, [near]) == "L"
    assert lesion_of(new, [box(5, "same slice", "L"), box(7, "two away", "L")]) == ""
    assert lesion_of(new, [box(4, "other class", "L", "IGM")]) == ""
    assert lesion_of(new, [box(4, "elsewhere", "L", at=60.0)]) == ""
    # Of 10 × 20 pixels each, 10 × 3 are shared: 30 / 370 is below a tenth; 10 × 4 are 40 / 360.
    assert lesion_of(new, [replace(box(4, "sliver", "L"), x0=37, x1=57)]) == ""
    assert lesion_of(new, [replace(box(4, "more", "L"), x0=36, x1=56)]) == "L"


@pytest.mark.parametrize("order", [1, -1])
def test_between_is_linear(order: int) -> None:
    one = Box(2, 0.0, 10.0, 8.0, 30.0, "NME", "a", "anna", "L", edited=True)
    other = Box(6, 4.0, 2.0, 16.0, 22.0, "IGM", "b", "bert", "M")
    made = (
        between(one, other) if order == 1 else between(replace(other, label="NME"), replace(one, label="IGM"))
    )
    assert [(m.z, m.y0, m.x0, m.y1, m.x1) for m in made] == [
        (3, 1.0, 8.0, 10.0, 28.0), (4, 2.0, 6.0, 12.0, 26.0), (5, 3.0, 4.0, 14.0, 24.0),
    ]  # fmt: skip
    for m in made:
        assert (m.label, m.id, m.author, m.origin, m.edited) == ("NME", "", "", "interpolated", False)
        assert m.lesion == ("L" if order == 1 else "M"), "of the first that was given, wherever it lies"


@given(
    edges=st.lists(st.floats(-0.5, 500).map(lambda v: round(v, 3)), min_size=8, max_size=8),
    z=st.integers(0, 50),
    steps=st.integers(2, 40),
)
def test_between_is_exact(edges: list[float], z: int, steps: int) -> None:
    one, other = Box(z, *edges[:4], "NME", "a"), Box(z + steps, *edges[4:], "NME", "b")
    made = between(one, other)
    assert [m.z for m in made] == list(range(z + 1, z + steps))
    for m in made:
        part = Fraction(m.z - z, steps)
        for name in ("y0", "x0", "y1", "x1"):
            a, b = Fraction(getattr(one, name)), Fraction(getattr(other, name))
            assert abs(Fraction(getattr(m, name)) - (a + part * (b - a))) < Fraction(1, 10**9)
        assert m.lesion == "a", "boxes between are of the lesion of the first, which its id names"


@pytest.mark.parametrize("z", [4, 5, 6])
def test_nothing_lies_between_neighbours(z: int) -> None:
    with pytest.raises(AnnotationError, match="no slice between"):
        between(box(5, "a"), box(z, "b"))


def test_partner() -> None:
    key = box(5, "key", "L")
    same, nearer, other_class = box(12, "same", "L"), box(9, "nearer"), box(8, "other", label="IGM")
    assert partner(key, [key, same, nearer, other_class]) == same, (
        "of the same lesion before one of the same class"
    )
    assert partner(key, [key, nearer, other_class]) == nearer
    assert partner(key, [key, box(1, "far"), nearer]) in (box(1, "far"), nearer)
    assert partner(key, [key, other_class]) is None
    assert partner(key, [key, box(6, "neighbour", "L")]) is None
    assert partner(key, [key, box(7, "in between", "L"), same]) == box(7, "in between", "L")
    assert partner(key, [key, box(6, "in between", "L"), same]) is None, "the slices between are not empty"
    assert partner(key, [key, box(6, "of another lesion", "M"), same]) == same
    # The lesion of a box without a name is called by its id: the others carry it.
    alone, member = box(5, "x"), box(9, "y", "x")
    assert partner(alone, [alone, member, box(8, "z")]) == member
    assert partner(member, [alone, member, box(7, "z")]) == alone
