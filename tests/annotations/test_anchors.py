"""Boxes stay on their images and at their places in the patient, however files are sorted and whatever is shown."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_breast_ai.annotations import AnnotationError, Journal, Placing
from napari_breast_ai.annotations.anchors import Anchor
from napari_breast_ai.core import Box, DceVolume, FrameRef, Geometry
from napari_breast_ai.study import read_study

AXIAL = (1, 0, 0, 0, 1, 0)
TILTED = (0.9973, -0.0609, 0.0415, 0.0386, 0.9992, 0.0)
"""Of a real oblique study, as its files round it: not quite at right angles."""
SHAPE = (9, 40, 50)
PHASES = 3


def geometry(
    orientation: Sequence[float] = AXIAL,
    shape: tuple[int, int, int] = SHAPE,
    spacing: tuple[float, float, float] = (3.0, 0.8, 0.7),
    position: tuple[float, float, float] = (-10.0, 5.0, 7.0),
) -> Geometry:
    return Geometry.from_dicom(shape, spacing[1:], spacing[0], position, tuple(orientation))


def frames(prefix: str = "1.2", slices: int = SHAPE[0], phases: int = PHASES) -> list[list[FrameRef]]:
    """A file for each image."""
    return [[FrameRef(f"{prefix}.{phase}.{z}") for z in range(slices)] for phase in range(phases)]


def part(
    of: Geometry, z: slice = slice(None), y: slice = slice(None), x: slice = slice(None), step: int = 1
) -> Geometry:
    """Some slices, rows and columns of a stack, the slices also in reverse."""
    (z0, z1, _), (y0, y1, _), (x0, x1, _) = (
        cut.indices(n) for cut, n in zip((z, y, x), of.shape, strict=True)
    )
    affine = np.array(of.affine)
    first = z0 if step == 1 else z1 - 1
    affine[:3, 3] = of.to_patient([first, y0, x0])
    affine[:3, 0] *= step
    return Geometry((z1 - z0, y1 - y0, x1 - x0), of.spacing, affine)


def corners(box: Box, of: Geometry) -> np.ndarray:
    """All four corners in patient millimetres, shape (4, 3), in an order that does not depend on rows and columns."""
    index = [[box.z, y, x] for y in (box.y0, box.y1) for x in (box.x0, box.x1)]
    points = of.to_patient(index)
    return points[np.lexsort(np.round(points, 2).T)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "boxes.jsonl"


@pytest.fixture(params=[AXIAL, TILTED, (0, 1, 0, 0, 0, -1)], ids=["axial", "tilted", "sagittal"])
def stack(request: pytest.FixtureRequest) -> Geometry:
    return geometry(request.param)


def draw(path: Path, placing: Placing) -> tuple[Box, ...]:
    """Boxes on some slices, drawn in different phases, one moved to another slice."""
    journal = Journal(path, "anna", placing=placing)
    journal.add(Box(0, 9.5, 19.5, 12.5, 30.25, "NME"), 0)
    journal.add(Box(4, -0.5, -0.5, 0.125, 0.337, "IGM"), 2)
    moved = journal.add(Box(1, 3, 3, 9, 9, "NME"), 1)
    journal.move(moved.id, Box(8, 30.123, 40.321, 39.5, 49.5, "ignored"), 1)
    journal.say_empty(6, phase=1)
    return journal.boxes


def test_another_order_of_slices(path: Path, stack: Geometry) -> None:
    drawn = draw(path, Placing(stack, "1.9", frames()))
    turned = Placing(part(stack, step=-1), "1.9", [phase[::-1] for phase in frames()])
    journal = Journal(path, "anna", placing=turned)
    assert journal.boxes == tuple(Box(**{**vars(box), "z": SHAPE[0] - 1 - box.z}) for box in drawn)
    assert journal.empty_slices == (2,)
    for before, after in zip(drawn, journal.boxes, strict=True):
        np.testing.assert_allclose(corners(after, turned.geometry), corners(before, stack), atol=1e-3)


def test_another_order_of_phases_and_one_phase_missing(path: Path, stack: Geometry) -> None:
    drawn = draw(path, Placing(stack, "1.9", frames()))
    for phases in (frames()[::-1], [frames()[2], frames()[0], frames()[1]]):
        assert Journal(path, "anna", placing=Placing(stack, "1.9", phases)).boxes == drawn
    fewer = Journal(path, "anna", placing=Placing(stack, "1.9", frames()[:1]))
    assert fewer.boxes == drawn, "where the image is not there, its place in the patient is"
    assert not fewer.hidden and fewer.empty_slices == (6,)


@pytest.mark.parametrize("frame_of_reference", ["1.9", ""])
def test_one_slice_missing(path: Path, stack: Geometry, frame_of_reference: str) -> None:
    drawn = draw(path, Placing(stack, frame_of_reference, frames()))
    without_first = Placing(
        part(stack, slice(1, None)), frame_of_reference, [phase[1:] for phase in frames()]
    )
    journal = Journal(path, "anna", placing=without_first)
    assert [box.z for box in journal.boxes] == [3, 7] and journal.hidden == 1
    # A box that is hidden is kept, and so are its lines.
    assert journal.box(drawn[0].id).label == "NME"
    journal.add(Box(0, 1, 1, 2, 2, "NME"))
    back = Journal(path, "anna", placing=Placing(stack, frame_of_reference, frames()))
    assert back.boxes[:3] == drawn and not back.hidden and back.boxes[3].z == 1


def test_fewer_rows_and_columns(path: Path, stack: Geometry) -> None:
    drawn = draw(path, Placing(stack, "1.9", frames()))
    cut = part(stack, y=slice(5, None), x=slice(10, 35))
    journal = Journal(path, "anna", placing=Placing(cut, "1.9", frames("7.7")))
    # The first box lies inside, the corner one outside, the last one beyond the last column.
    assert [box.id for box in journal.boxes] == [drawn[0].id] and journal.hidden == 2
    (shown,) = journal.boxes
    assert (shown.y0, shown.x0) == pytest.approx((4.5, 9.5), abs=1e-3)
    np.testing.assert_allclose(corners(shown, cut), corners(drawn[0], stack), atol=1e-3)
    assert Journal(path, "anna", placing=Placing(stack, "1.9", frames())).boxes == drawn


@pytest.mark.parametrize("turned", [False, True], ids=["same rows", "rows and columns exchanged"])
def test_a_series_of_other_spacing_in_the_same_patient(path: Path, stack: Geometry, turned: bool) -> None:
    drawn = draw(path, Placing(stack, "1.9", frames()))
    along_column, along_row = stack.affine[:3, 1] / 0.8, stack.affine[:3, 2] / 0.7
    orientation = (*along_column, *along_row) if turned else (*along_row, *along_column)
    other = geometry(
        orientation,
        (14, 120, 140),
        (-2.5 if turned else 2.5, 0.43, 0.51),
        tuple(stack.to_patient([-0.4, -20, -20])),
    )
    journal = Journal(path, "anna", placing=Placing(other, "1.9", frames("8.8", 14, 1)))
    assert len(journal.boxes) + journal.hidden == len(drawn) and journal.boxes
    normal = np.cross(along_row, along_column)
    for after in journal.boxes:
        before = next(box for box in drawn if box.id == after.id)
        apart = corners(after, other) - corners(before, stack)
        through = apart @ normal
        assert np.abs(through).max() <= 1.25 + 1e-3, "the nearest slice"
        np.testing.assert_allclose(apart - np.outer(through, normal), 0, atol=1e-3)
    for box in drawn:
        if box not in journal.boxes and box.id not in {one.id for one in journal.boxes}:
            z = other.to_index(corners(box, stack))[:, 0].mean()
            assert not -0.5 <= z <= 13.5, "hidden only where no slice is"
    # What is drawn there appears here, and going back and forth moves nothing.
    made = journal.add(Box(3, 70, 70, 90, 95, "IGM"))
    here = Journal(path, "anna", placing=Placing(stack, "1.9", frames()))
    assert here.boxes[:3] == drawn
    shown = {box.id: box for box in here.boxes}
    if made.id in shown:
        apart = corners(shown[made.id], stack) - corners(made, other)
        np.testing.assert_allclose(apart - np.outer(apart @ normal, normal), 0, atol=1e-3)
    there = Journal(path, "anna", placing=Placing(other, "1.9", frames("8.8", 14, 1)))
    assert there.boxes == journal.boxes


def test_another_plane_hides(path: Path) -> None:
    drawn = draw(path, Placing(geometry(AXIAL), "1.9", frames()))
    sagittal = Placing(geometry((0, 1, 0, 0, 0, -1), (60, 60, 60)), "1.9", frames("8.8", 60))
    journal = Journal(path, "anna", placing=sagittal)
    assert not journal.boxes and journal.hidden == 3 and journal.empty_slices == ()
    slightly = geometry((np.cos(0.1), np.sin(0.1), 0, -np.sin(0.1), np.cos(0.1), 0))
    turned = Journal(path, "anna", placing=Placing(slightly, "1.9", frames("8.8")))
    assert not turned.boxes and turned.hidden == 3, "a box with other sides would be another box"
    assert Journal(path, "anna", placing=Placing(geometry(AXIAL), "1.9", frames())).boxes == drawn


def test_another_frame_of_reference_hides_even_where_no_image_is_known(path: Path) -> None:
    draw(path, Placing(geometry(), "1.9", frames()))
    for known in (frames("8.8"), []):
        journal = Journal(path, "anna", placing=Placing(geometry(), "1.10", known))
        assert not journal.boxes and journal.hidden == 3


def test_a_study_without_a_frame_of_reference(path: Path) -> None:
    """NIfTI and pictures: numbers count, nothing else is known."""
    bare = Placing(geometry(), "")
    drawn = draw(path, bare)
    assert all(Journal(path, "anna").anchor(box.id) == Anchor() for box in drawn)
    again = Journal(path, "anna", placing=Placing(geometry(), ""))
    assert again.boxes == drawn and again.empty_slices == (6,)


def test_images_decide_where_places_say_otherwise(path: Path) -> None:
    """The stored image is surer than millimetres: those may be read in another way one day."""
    drawn = draw(path, Placing(geometry(), "1.9", frames()))
    elsewhere = geometry(position=(-10.0, 5.0, 10.0))
    assert Journal(path, "anna", placing=Placing(elsewhere, "1.9", frames())).boxes == drawn


def test_frames_of_one_object_and_single_files(path: Path, stack: Geometry) -> None:
    """The same study as one enhanced object, whose frames have numbers, and as files with names of their own."""
    enhanced = [[FrameRef("5.5", phase * SHAPE[0] + z) for z in range(SHAPE[0])] for phase in range(PHASES)]
    drawn = draw(path, Placing(stack, "1.9", enhanced))
    journal = Journal(path, "anna")
    assert journal.image(drawn[1].id) == FrameRef("5.5", 2 * SHAPE[0] + 4)
    classic = Journal(path, "anna", placing=Placing(stack, "1.9", frames()))
    assert classic.boxes == drawn and classic.empty_slices == (6,)
    # Without a common frame of reference they are two studies.
    strangers = Journal(path, "anna", placing=Placing(stack, "", frames()))
    assert not strangers.boxes and strangers.hidden == 3


def test_slices_without_a_lesion_in_two_series(path: Path) -> None:
    """Slice 3 of one series is not slice 3 of another one."""
    here, there = Placing(geometry(), "1.9"), Placing(geometry(position=(-10, 5, 500.0)), "1.9")
    Journal(path, "anna", placing=here).say_empty(3)
    other = Journal(path, "anna", placing=there)
    assert other.empty_slices == ()
    with pytest.raises(AnnotationError, match="not said"):
        other.say_empty(3, said=False)
    other.add(Box(3, 1, 1, 5, 5, "NME"))
    back = Journal(path, "anna", placing=here)
    assert back.empty_slices == (3,), "a box over there says nothing about this slice"
    assert back.hidden == 1


@settings(max_examples=300, deadline=None)
@given(
    angles=st.tuples(*[st.floats(-3.2, 3.2)] * 3),
    spacing=st.tuples(*[st.floats(0.1, 8)] * 3),
    z=st.integers(0, 8),
    edges=st.tuples(st.floats(-0.5, 30), st.floats(-0.5, 40), st.floats(0.5, 9), st.floats(0.5, 9)),
)
def test_any_plane_any_box(
    angles: tuple[float, float, float],
    spacing: tuple[float, float, float],
    z: int,
    edges: tuple[float, float, float, float],
) -> None:
    """The place in the patient alone, as it is written to the file, gives the box back."""
    a, b, c = angles
    rotation = (
        np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
        @ np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
        @ np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    )
    stack = geometry((*rotation[:, 0], *rotation[:, 1]), spacing=spacing)
    y, x, height, width = edges
    box = Box(z, round(y, 3), round(x, 3), round(y + height, 3), round(x + width, 3), "NME")
    written = Anchor.from_json(Placing(stack, "1.9", frames()).anchor(box).to_json())
    assert Placing(stack, "1.9", frames("8.8")).place(box, written) == box, "the very same numbers"
    # Two slices and three rows more before the first: all numbers are others, and the place is the same.
    more = geometry(
        (*rotation[:, 0], *rotation[:, 1]), (15, 50, 60), spacing, tuple(stack.to_patient([-2, -3, 0]))
    )
    placed = Placing(more, "1.9", frames("8.8", 15)).place(box, written)
    assert placed is not None and placed.z == z + 2
    np.testing.assert_allclose(
        more.to_patient([[placed.z, placed.y0, placed.x0], [placed.z, placed.y1, placed.x1]]),
        stack.to_patient([[z, box.y0, box.x0], [z, box.y1, box.x1]]),
        atol=1e-3,
    )


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"image": "x", "patient": 3},
        {"image": {"sop_instance_uid": ""}, "patient": {"corners": [[1, 2], [3]]}},
        {"patient": {"corners": [[1, 2, 3], [1, 2, float("nan")], [0, 0, 0]], "frame_of_reference": "1"}},
        {"patient": {"corners": "none"}},
    ],
)
def test_what_cannot_be_read_counts_as_not_known(record: dict[str, object]) -> None:
    assert Anchor.from_json(record) == Anchor()


# ---------------------------------------------------------------------- real studies


def draw_some(path: Path, volume: DceVolume) -> tuple[Box, ...]:
    journal = Journal(path, "anna", placing=Placing.of(volume))
    slices, rows, columns = volume.geometry.shape
    for number in range(6):
        z = number * (slices - 1) // 5
        journal.add(
            Box(z, rows / 3 + number / 7, columns / 4, rows / 2, columns / 2 + number / 9, "NME"),
            number % volume.n_phases,
        )
    return journal.boxes


@pytest.mark.parametrize("drawn_on", ["classic", "enhanced"])
def test_philips_classic_and_enhanced(data_dir: Path, path: Path, drawn_on: str) -> None:
    """The same oblique scan as 240 files and as one: other names, the same patient."""
    classic = read_study(data_dir / "dicom" / "philips_classic_1903")
    enhanced = read_study(data_dir / "dicom" / "philips_enhanced_1903")
    one, other = (classic, enhanced) if drawn_on == "classic" else (enhanced, classic)
    drawn = draw_some(path, one)
    images = {image for phase in other.frames for image in phase}
    assert all(Journal(path, "anna").image(box.id) not in images for box in drawn)
    journal = Journal(path, "anna", placing=Placing.of(other))
    assert journal.boxes == drawn and not journal.hidden
    for box in drawn:
        np.testing.assert_array_equal(
            one.data[:, box.z, 30:50, 30:50], other.data[:, box.z, 30:50, 30:50], "the same image"
        )


def test_ge_with_its_slices_in_reverse_and_one_missing(data_dir: Path, path: Path) -> None:
    volume = read_study(data_dir / "dicom" / "ge_multiphase")
    drawn = draw_some(path, volume)
    placing = Placing(
        part(volume.geometry, slice(1, None), step=-1),
        volume.identity.frame_of_reference_uid,
        [phase[:0:-1] for phase in volume.frames],
    )
    journal = Journal(path, "anna", placing=placing)
    assert journal.hidden == sum(box.z == 0 for box in drawn) == 1
    for after in journal.boxes:
        before = next(box for box in drawn if box.id == after.id)
        assert placing._frames[0][after.z] == volume.frames[0][before.z]
        np.testing.assert_allclose(
            corners(after, placing.geometry), corners(before, volume.geometry), atol=1e-3
        )


def test_ge_read_from_files_of_a_few_slices(data_dir: Path, path: Path, tmp_path: Path) -> None:
    """Read anew by the reader itself, from a folder where slices are missing at both ends."""
    folder = data_dir / "dicom" / "ge_multiphase"
    volume = read_study(folder)
    drawn = draw_some(path, volume)
    import pydicom

    wanted = {image.sop_instance_uid for phase in volume.frames for image in phase[2:8]}
    some = tmp_path / "some"
    some.mkdir()
    for number, one in enumerate(sorted(folder.iterdir(), reverse=True)):
        if pydicom.dcmread(one, stop_before_pixels=True).SOPInstanceUID in wanted:
            (some / f"{number:04}.dcm").write_bytes(one.read_bytes())
    fewer = read_study(some)
    assert fewer.n_slices == 6 and fewer.n_phases == volume.n_phases
    journal = Journal(path, "anna", placing=Placing.of(fewer))
    kept = [box for box in drawn if 2 <= box.z < 8]
    assert [(box.id, box.z) for box in journal.boxes] == [(box.id, box.z - 2) for box in kept]
    assert journal.hidden == len(drawn) - len(kept) > 0
