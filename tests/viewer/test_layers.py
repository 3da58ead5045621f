"""Layers lie where the pixels lie, in millimetres, with a contrast that one hot voxel cannot spoil."""

from dataclasses import replace

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Layer, Shapes

from conftest import make_boxes, make_prediction, make_volume
from napari_breast_ai.core import Box, DceVolume
from napari_breast_ai.viewer import layers as look


def open_in(viewer: ViewerModel, volume: DceVolume, boxes: tuple[Box, ...] = ()) -> list[Layer]:
    return [viewer.add_layer(Layer.create(*data)) for data in look.volume_layers(volume, None, boxes)]


def test_dynamic_subtraction_and_given_boxes(volume: DceVolume) -> None:
    viewer = ViewerModel()
    dynamic, subtraction, boxes = open_in(viewer, volume, make_boxes())
    assert [layer.name for layer in viewer.layers] == ["Dynamic", "Subtraction", "True boxes"]
    assert isinstance(dynamic, Image) and isinstance(boxes, Shapes)
    assert dynamic.data is volume.data, "the pixels are not copied"
    assert viewer.dims.axis_labels == ("phase", "z", "y", "x")
    assert viewer.dims.nsteps == (4, 8, 40, 50)
    np.testing.assert_allclose(dynamic.scale, (1, 3.0, 0.8, 0.7))
    np.testing.assert_allclose(boxes.scale, (3.0, 0.8, 0.7))
    assert [str(unit) for unit in viewer.layers.extent.units] == [
        "pixel",
        "millimeter",
        "millimeter",
        "millimeter",
    ]
    assert (dynamic.visible, subtraction.visible) == (True, False)
    assert look.info(dynamic)["volume"] is volume
    for number, box in enumerate(make_boxes()):
        corners = boxes.data[number]
        assert set(corners[:, 0]) == {box.z}
        assert corners.min(axis=0).tolist()[1:] == [box.y0, box.x0]
        assert corners.max(axis=0).tolist()[1:] == [box.y1, box.x1]


def test_subtraction_is_computed_where_it_is_looked_at(volume: DceVolume) -> None:
    lazy = look.LazySubtraction(volume)
    whole = volume.data.astype(np.float32) - volume.data[:1].astype(np.float32)
    assert lazy.shape == whole.shape and lazy.dtype == np.float32 and len(lazy) == 4
    np.testing.assert_array_equal(np.asarray(lazy), whole)
    for key in (
        np.s_[2],
        np.s_[2, 3],
        np.s_[1:3],
        np.s_[1:3, 4],
        np.s_[:, 4, 10:20, ::2],
        np.s_[..., 5],
        np.s_[-1, ..., 5],
        np.s_[3, 4, 5, 6],
        np.s_[2, [1, 3]],
    ):
        got = lazy[key]
        np.testing.assert_array_equal(got, whole[key])
        assert np.asarray(got).shape == whole[key].shape
    late = make_volume(pre_contrast=1)
    np.testing.assert_array_equal(look.LazySubtraction(late)[3], late.subtraction(3))


def test_subtraction_layer_shows_the_slice(volume: DceVolume) -> None:
    viewer = ViewerModel()
    _, layer = open_in(viewer, volume)
    layer.visible = True
    viewer.dims.set_current_step((0, 1), (2, 4))
    np.testing.assert_array_equal(layer._data_view, volume.subtraction(2)[4])


def test_one_phase_has_no_subtraction() -> None:
    assert [settings["name"] for _, settings, _ in look.volume_layers(make_volume(n_phases=1))] == ["Dynamic"]


def test_hot_voxels_do_not_spoil_the_contrast(volume: DceVolume) -> None:
    data = volume.data.copy()
    calm = look.contrast(data)
    data[1, 2, 3, 4] = 60000
    hot = look.contrast(data)
    assert hot[1] < 400 and abs(hot[1] - calm[1]) < 20
    low, high = look.contrast(np.full((2, 2, 4, 4), 7))
    assert low < high
    spiked = DceVolume(data, volume.geometry, volume.times, volume.identity)
    assert look.subtraction_contrast(spiked)[0] == 0 and 50 < look.subtraction_contrast(spiked)[1] < 400


@pytest.mark.parametrize("cells", [(1, 1), (5, 6), (7, 9), (14, 14), (40, 50)])
def test_heat_maps_cover_exactly_the_image(volume: DceVolume, cells: tuple[int, int]) -> None:
    maps = np.zeros((8, *cells), dtype=np.float32)
    layer = Layer.create(*look.heat_layer(volume, maps, look.ATTENTION, "Attention"))
    image = Layer.create(*look.volume_layers(volume)[0])
    # The outer edges of the first and last cells, in mm, are those of the first and last pixels.
    first = layer.data_to_world((0, -0.5, -0.5))
    last = layer.data_to_world((7, cells[0] - 0.5, cells[1] - 0.5))
    np.testing.assert_allclose(first, image.data_to_world((0, 0, -0.5, -0.5))[1:], atol=1e-9)
    np.testing.assert_allclose(last, image.data_to_world((0, 7, 39.5, 49.5))[1:], atol=1e-9)
    assert str(layer.interpolation2d) == "linear" and layer.blending == "translucent"
    assert layer.units == image.units[1:] and layer.axis_labels == image.axis_labels[1:]


def test_heat_maps_agree_with_the_predictions_own_mapping(volume: DceVolume) -> None:
    prediction = make_prediction(volume)
    layer = Layer.create(*look.heat_layer(volume, prediction.gradcam["IGM"], look.GRADCAM, "Grad-CAM"))
    image = Layer.create(*look.volume_layers(volume)[0])
    for cell in ((0, 0), (2, 1), (4, 5)):
        pixel = prediction.cell_to_pixel(*cell)
        np.testing.assert_allclose(layer.data_to_world((3, *cell)), image.data_to_world((0, 3, *pixel))[1:])


def test_heat_maps_of_a_region_cover_that_region(volume: DceVolume) -> None:
    prediction = replace(make_prediction(volume), region=(-5, 10, 25, 40))
    maps = prediction.gradcam["IGM"]
    layer = Layer.create(*look.heat_layer(volume, maps, look.GRADCAM, "Grad-CAM", covered=prediction.covered))
    image = Layer.create(*look.volume_layers(volume)[0])
    for cell in ((0, 0), (4, 5), (-0.5, -0.5)):
        pixel = prediction.cell_to_pixel(*cell)
        np.testing.assert_allclose(layer.data_to_world((3, *cell)), image.data_to_world((0, 3, *pixel))[1:])
    np.testing.assert_allclose(
        layer.data_to_world((0, -0.5, -0.5)), image.data_to_world((0, 0, -5.5, 9.5))[1:]
    )


def test_full_stack_keeps_slices_in_their_places(volume: DceVolume) -> None:
    prediction = make_prediction(volume, slices=(2, 5))
    stack = look.full_stack(prediction, prediction.gradcam["lesion"], 8)
    assert stack.shape == (8, 5, 6)
    assert [int(z) for z in np.flatnonzero(stack.any(axis=(1, 2)))] == [2, 5]
    np.testing.assert_array_equal(stack[5], prediction.gradcam["lesion"][1])
