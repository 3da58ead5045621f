import numpy as np
import pytest

from napari_breast_ai.core import Geometry

SQRT = float(np.sqrt(0.5))
ORIENTATIONS = {
    "axial": (1, 0, 0, 0, 1, 0),
    "sagittal": (0, 1, 0, 0, 0, -1),
    "coronal": (1, 0, 0, 0, 0, -1),
    "oblique": (SQRT, SQRT, 0, 0, 0, -1),
}


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_patient_coordinates_follow_the_dicom_equation(name):
    orientation = ORIENTATIONS[name]
    geometry = Geometry.from_dicom((5, 40, 30), (0.7, 0.9), 2.5, (-100.0, -50.0, 20.0), orientation)
    # PS3.3 C.7.6.2.1.1, written out for one pixel: row 7, column 11 of slice 0
    expected = (
        np.array([-100.0, -50.0, 20.0])
        + np.array(orientation[:3]) * 0.9 * 11
        + np.array(orientation[3:]) * 0.7 * 7
    )
    np.testing.assert_allclose(geometry.to_patient((0, 7, 11)), expected, atol=1e-12)
    step = geometry.to_patient((1, 0, 0)) - geometry.to_patient((0, 0, 0))
    assert np.linalg.norm(step) == pytest.approx(2.5)
    assert abs(step @ np.array(orientation[:3])) < 1e-12


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_index_and_patient_coordinates_invert_each_other(name):
    geometry = Geometry.from_dicom((5, 40, 30), (0.7, 0.9), -2.5, (3.0, -5.0, 7.0), ORIENTATIONS[name])
    points = np.random.default_rng(0).uniform(-3, 40, (100, 3))
    np.testing.assert_allclose(geometry.to_index(geometry.to_patient(points)), points, atol=1e-9)
    assert geometry.spacing == (2.5, 0.7, 0.9)


@pytest.mark.parametrize("name", ["axial", "sagittal", "coronal"])
def test_the_plane_is_named(name):
    assert Geometry.from_dicom((1, 2, 2), (1, 1), 1, (0, 0, 0), ORIENTATIONS[name]).orientation == name


def test_a_shifted_stack_is_not_the_same():
    def make(x, n=3):
        return Geometry.from_dicom((n, 4, 4), (1, 1), 1, (x, 0, 0), ORIENTATIONS["axial"])

    assert make(0).same_as(make(0.0005))
    assert not make(0).same_as(make(0.01))
    assert not make(0).same_as(make(0, n=4))


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="positive"):
        Geometry((1, 2, 2), (0.0, 1.0, 1.0), np.eye(4))
    with pytest.raises(ValueError, match="finite"):
        Geometry((1, 2, 2), (1.0, 1.0, 1.0), np.full((4, 4), np.nan))


def test_the_affine_cannot_be_changed_afterwards():
    geometry = Geometry((1, 2, 2), (1.0, 1.0, 1.0), np.eye(4))
    with pytest.raises(ValueError, match="read-only"):
        geometry.affine[0, 0] = 2


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_the_affine_for_nifti_names_the_same_places_with_right_and_front_positive(name):
    geometry = Geometry.from_dicom((5, 40, 30), (0.7, 0.9), -2.5, (3.0, -5.0, 7.0), ORIENTATIONS[name])
    z, y, x = 3, 7, 11
    left, back, head = geometry.to_patient((z, y, x))
    np.testing.assert_allclose(geometry.ras_affine @ (x, y, z, 1), (-left, -back, head, 1), atol=1e-12)
