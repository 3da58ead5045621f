"""Another series at the same place in the patient, in axial, sagittal and oblique stacks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from conftest import make_volume
from napari_breast_ai.core import BreastAIError, DceVolume, Geometry, Identity, PhaseTimes
from napari_breast_ai.viewer import layers as look
from napari_breast_ai.viewer.beside import CROSS, Beside, problem
from napari_breast_ai.viewer.session import Session, get_session

TURN = 0.3
OBLIQUE = (np.cos(TURN), np.sin(TURN), 0.0, -np.sin(TURN) * 0.8, np.cos(TURN) * 0.8, -0.6)
PLANES = {
    "axial": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    "sagittal": (0.0, 1.0, 0.0, 0.0, 0.0, -1.0),
    "oblique": OBLIQUE,
}


def study(plane: str, frame: str = "1.9") -> DceVolume:
    volume = make_volume()
    geometry = Geometry.from_dicom(volume.geometry.shape, (0.8, 0.7), 3.0, (-17.0, 4.0, 9.0), PLANES[plane])
    return replace(volume, geometry=geometry, identity=Identity("1.2.3", (), frame))


def series(plane: str, around: DceVolume, frame: str = "1.9") -> DceVolume:
    """A finer stack of one phase with its middle where the study's is, each voxel the number of its slice."""
    shape = (31, 64, 48)
    probe = Geometry.from_dicom(shape, (1.1, 1.1), 1.5, (0.0, 0.0, 0.0), PLANES[plane])
    middle = around.geometry.to_patient((np.array(around.geometry.shape) - 1) / 2)
    start = middle - probe.to_patient((np.array(shape) - 1) / 2)
    geometry = Geometry.from_dicom(shape, (1.1, 1.1), 1.5, tuple(start), PLANES[plane])
    data = np.broadcast_to(np.arange(31, dtype=np.uint16)[None, :, None, None], (1, *shape)).copy()
    return DceVolume(data, geometry, PhaseTimes((0.0,), ("unknown",)), Identity("1.2.3", (), frame), (), "T2")


@pytest.fixture
def link() -> Iterator[Any]:
    viewer = ViewerModel()
    session = get_session(viewer, "anna")
    made: list[Beside] = []

    def of(first: str, second: str) -> tuple[Session, Beside]:
        session.show_study(study(first))
        assert session.volume is not None
        made.append(Beside(session, series(second, session.volume)))
        return session, made[-1]

    yield of
    for one in made:
        one.close()
    session.shut_down()


@pytest.mark.parametrize("plane", PLANES)
def test_patient_coordinates_and_back(plane: str) -> None:
    for volume in (study(plane), series(plane, study("axial"))):
        index = np.random.default_rng(0).uniform(0, 30, (1000, 3))
        there = volume.geometry.to_patient(index)
        back = volume.geometry.to_patient(volume.geometry.to_index(there))
        assert np.abs(back - there).max() < 1e-3
        assert np.abs(volume.geometry.to_index(there) - index).max() < 1e-3


@pytest.mark.parametrize("first", PLANES)
@pytest.mark.parametrize("second", PLANES)
def test_the_second_view_is_at_the_nearest_slice(first: str, second: str, link: Any) -> None:
    session, beside = link(first, second)
    study_geometry, geometry = session.volume.geometry, beside.volume.geometry
    _, dy, dx = study_geometry.spacing
    for z, row, column in ((2, 10.0, 12.0), (5, 30.5, 40.0), (4, 20.0, 25.0)):
        session.go_to(z)
        session.viewer.cursor.position = (0, z * 3.0, row * dy, column * dx)
        wanted = geometry.to_index(study_geometry.to_patient((z, row, column)))
        assert np.abs(study_geometry.to_patient((z, row, column)) - beside.point).max() < 1e-3
        np.testing.assert_allclose(beside.index, wanted, atol=1e-6)
        cross = beside.model.layers[CROSS]
        if beside.outside:
            assert not cross.visible and "outside" in beside.text
            continue
        shown = round(beside.model.dims.point[-3] / geometry.spacing[0])
        assert abs(wanted[0] - shown) <= 0.5 + 1e-6
        np.testing.assert_allclose(cross.data[0], (shown, wanted[1], wanted[2]), atol=1e-4)
        picture = beside.volume.data[0, shown]
        assert picture[0, 0] == shown


def test_parallel_stacks_scroll_together(link: Any) -> None:
    session, beside = link("axial", "axial")
    session.go_to(0)
    low = beside.model.dims.point[-3]
    session.go_to(6)
    assert beside.model.dims.point[-3] - low == pytest.approx(6 * 3.0, abs=0.76)
    # And the other way round: the second view's slider takes the study along.
    before = session.slice_index
    beside.model.dims.set_point(1, beside.model.dims.point[-3] - 9.0)
    assert session.slice_index == before - 3
    at = beside.volume.geometry.to_patient(beside.index)
    here = session.volume.geometry.to_index(at)[0]
    assert abs(here - session.slice_index) <= 0.5 + 1e-6


def test_crossing_stacks_keep_the_studys_slice(link: Any) -> None:
    session, beside = link("axial", "sagittal")
    session.go_to(3)
    beside.model.dims.set_point(1, 1.5 * 20)
    assert session.slice_index == 3
    assert round(float(beside.index[0])) == 20


def test_after_closing_nothing_follows(link: Any) -> None:
    session, beside = link("axial", "axial")
    point = beside.point
    beside.close()
    session.go_to(0)
    np.testing.assert_array_equal(beside.point, point)


def test_other_frames_of_reference_are_refused_with_a_sentence(link: Any) -> None:
    session, _ = link("axial", "axial")
    with pytest.raises(BreastAIError, match="different frames of reference"):
        Beside(session, series("axial", session.volume, "1.10"))
    with pytest.raises(BreastAIError, match="do not name"):
        Beside(session, series("axial", session.volume, ""))
    assert "Open one first" in problem(None, "1.9")


def test_it_is_turned_as_the_study_is_and_the_cross_waits_for_the_pointer(session: Session) -> None:
    """Stored with the feet above and the patient's left on the left: shown the other way round, and said so."""
    across = Geometry.from_dicom((9, 40, 50), (0.8, 0.7), 3.0, (0, 0, 0), (-1, 0, 0, 0, 0, 1))
    made = make_volume(n_slices=9)
    identity = Identity("1.2.3", frame_of_reference_uid="9.9")
    volume = replace(made, geometry=across, identity=identity)
    session.show_study(volume)
    beside = Beside(session, volume)
    camera = beside.model.scene.camera
    assert camera.orientation2d == session.viewer.scene.camera.orientation2d == look.upright(volume)
    assert camera.orientation2d == ("up", "left")
    assert beside.sides == "top H   bottom F   left R   right L"
    middle = beside.index[1:]
    session.go_to(2)
    np.testing.assert_allclose(beside.index[1:], middle, err_msg="sliders move no pointer")
    beside.close()
