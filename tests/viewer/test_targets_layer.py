"""The targets that are shown are those that the attention is taught, and lie where the boxes are."""

import numpy as np

from conftest import make_prediction, make_volume
from napari_breast_ai.core import Box
from napari_breast_ai.inference.box_cells import boxes_to_map
from napari_breast_ai.viewer.session import Session
from napari_breast_ai.viewer.targets_layer import RESNET_GRID, TargetsView


def test_targets_follow_boxes_grid_and_study(session: Session, tmp_path) -> None:
    volume = make_volume()
    session.show_study(volume, str(tmp_path))
    assert session.journal is not None and session.targets.layer is None
    box = session.journal.add(Box(3, 9.5, 14.5, 19.5, 24.5, "NME"))
    session.journal.add(Box(3, 29.5, 29.5, 39.5, 39.5, "normal tissue"))
    session.targets.show(TargetsView(True, RESNET_GRID))
    layer = session.targets.layer
    assert layer is not None and layer.visible and layer.data.shape == (8, 8, 11)
    np.testing.assert_array_equal(layer.data[3], boxes_to_map([box], (40, 50), RESNET_GRID))
    assert layer.data.sum() == layer.data[3].sum() > 0, "normal tissue teaches nothing"
    # Each cell covers its part of the image: the sum of the areas is the box's.
    cell = layer.scale[1] * layer.scale[2]
    np.testing.assert_allclose(layer.data[3].sum() * cell, 10 * 0.8 * 10 * 0.7, rtol=1e-5)
    edge = layer.data_to_world((3, -0.5, -0.5))
    np.testing.assert_allclose(edge, (9.0, -0.4, -0.35), atol=1e-6)
    session.journal.delete(box.id)
    assert not layer.data.any()
    session.journal.undo()
    session.targets.show(TargetsView(True, RESNET_GRID, "max"))
    assert set(np.unique(layer.data)) == {0, 1}
    session.targets.show(TargetsView(True))
    session.set_prediction(make_prediction(volume))
    assert session.targets.layer is not None and session.targets.layer.data.shape == (8, 5, 6)
    session.targets.show(TargetsView(False))
    assert not session.targets.layer.visible
    session.targets.show(TargetsView(True))
    session.show_study(make_volume(n_slices=4, uid="1.2.9"), str(tmp_path))
    assert session.targets.layer.data.shape == (4, 14, 14) and not session.targets.layer.data.any()
    assert [layer.name for layer in session.viewer.layers].count("Targets") == 1
