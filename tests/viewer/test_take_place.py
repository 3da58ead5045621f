"""A study in the place of another: the same layers, and nothing of the one before."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer

from conftest import make_boxes, make_prediction, make_volume
from napari_breast_ai.annotations.worklist import Worklist
from napari_breast_ai.core import Box, DceVolume
from napari_breast_ai.viewer import layers as look
from napari_breast_ai.viewer.session import Session

OTHERS: dict[str, dict[str, Any]] = {
    "the same form": {},
    "fewer phases": {"n_phases": 2},
    "one phase": {"n_phases": 1},
    "more phases": {"n_phases": 6},
    "another size": {"rows": 64, "columns": 30},
    "one slice": {"n_slices": 1},
    "one slice, one phase": {"n_slices": 1, "n_phases": 1},
    "more slices": {"n_slices": 20},
}


def check(session: Session, volume: DceVolume) -> None:
    """The viewer shows this study as if it had been opened in an empty window."""
    layers = session.viewer.layers
    assert session.volume is volume
    assert all(look.info(layer)["volume"] is volume for layer in layers), "no layer of the study before"
    names = ["Dynamic", "Subtraction", "Boxes"] if volume.n_phases > 1 else ["Dynamic", "Boxes"]
    assert [layer.name for layer in layers] == names
    wanted = {settings["name"]: (data, settings) for data, settings, _ in look.volume_layers(volume)}
    for name, (data, settings) in wanted.items():
        layer = layers[name]
        np.testing.assert_array_equal(np.asarray(layer.data), np.asarray(data))
        assert tuple(layer.scale) == tuple(settings["scale"])
        assert tuple(layer.contrast_limits) == settings["contrast_limits"]
        assert tuple(layer.contrast_limits_range) == settings["contrast_limits"]
        assert look.info(layer)["contrast"] == settings["metadata"][look.KEY]["contrast"]
    dims, fresh = session.viewer.dims, ViewerModel()
    for data, settings, kind in look.volume_layers(volume):
        fresh.add_layer(Layer.create(data, settings, kind))
    assert dims.range == fresh.dims.range, "the sliders end where the study ends"
    assert (session.phase_index, session.slice_index) == look.first_look(volume)
    shown = layers["Dynamic"]._slice.image.raw
    if dims.ndisplay == 2:
        np.testing.assert_array_equal(shown, volume.data[session.phase_index, session.slice_index])


@pytest.mark.parametrize("name", OTHERS)
def test_another_study_and_back(session: Session, name: str) -> None:
    first, other = make_volume(), make_volume(uid="9.9", **OTHERS[name])
    other.data[...] = other.data * 3 + 7
    session.show_study(first)
    dynamic = session.viewer.layers["Dynamic"]
    look.set_contrast(dynamic, 1, 2)
    assert session.journal is not None
    session.journal.add(Box(7, 5, 5, 35, 45, "NME"))
    session.go_to(7, 3)
    session.show_study(other)
    assert session.viewer.layers["Dynamic"] is dynamic, "the layer is used again"
    check(session, other)
    session.show_study(first)
    check(session, first)


def test_what_belongs_to_a_study_goes_with_it(session: Session) -> None:
    first = make_volume()
    session.show_study(first, None, make_boxes())
    session.set_prediction(make_prediction(first))
    assert session.journal is not None
    session.journal.add(Box(3, 5, 5, 20, 20, "NME"))
    session.journal.offer([Box(4, 5, 5, 20, 20, "NME")], "enhancement")
    assert {"True boxes", "Attention", "Suggestions"} <= {layer.name for layer in session.viewer.layers}
    other = make_volume(uid="9.9", rows=64, n_slices=3)
    session.show_study(other)
    assert session.prediction is None and session.offers.shown == () == session.journal.boxes
    assert session.boxes.layer is not None and len(session.boxes.layer.data) == 0
    assert session.offers.layer is None or not len(session.offers.layer.data)
    assert session.viewer.dims.nsteps == (4, 3, 64, 50)
    left = {layer.name for layer in session.viewer.layers}
    assert left <= {"Dynamic", "Subtraction", "Boxes", "Suggestions"}
    assert all(look.info(layer)["volume"] is other for layer in session.viewer.layers)
    session.show_study(first)
    assert len(session.journal.boxes) == 1 == len(session.offers.shown)
    assert session.boxes.layer is not None and len(session.boxes.layer.data) == 1


def test_what_the_person_chose_stays(session: Session) -> None:
    session.show_study(make_volume())
    session.viewer.layers["Subtraction"].visible = True
    session.viewer.layers["Dynamic"].gamma = 0.7
    session.boxes.draw()
    session.show_study(make_volume(uid="9.9"))
    assert session.viewer.layers["Subtraction"].visible and session.viewer.layers["Dynamic"].gamma == 0.7
    assert session.boxes.drawing


def test_in_3d_and_back(session: Session) -> None:
    session.show_study(make_volume())
    session.viewer.dims.ndisplay = 3
    other = make_volume(uid="9.9", rows=64, n_slices=5)
    session.show_study(other)
    session.viewer.dims.ndisplay = 2
    session.go_to(*reversed(look.first_look(other)))
    check(session, other)


def test_layers_in_between_are_left_alone(session: Session) -> None:
    session.show_study(make_volume())
    session.viewer.add_image(np.zeros((5, 5)), name="mine")
    session.show_study(make_volume(uid="9.9", n_phases=1))
    assert "mine" in session.viewer.layers and "Subtraction" not in session.viewer.layers


def test_pictures_of_a_list_keep_the_subtraction_for_the_next_study(session: Session) -> None:
    """Making the layer anew takes napari the better part of a second."""
    session.reading.worklist = cast(Worklist, object())
    picture, study = make_volume(n_phases=1, n_slices=1), make_volume(uid="9.9")
    session.show_study(picture)
    spare = session.viewer.layers["Subtraction"]
    assert not spare.visible
    session.editing.flip_subtraction()
    assert not spare.visible, "there is nothing but black to show over the picture"
    session.show_study(study)
    assert session.viewer.layers["Subtraction"] is spare
    check(session, study)
    session.editing.flip_subtraction()
    assert spare.visible
    session.show_study(make_volume(uid="8.8", n_phases=1))
    assert session.viewer.layers["Subtraction"] is spare and not spare.visible
    session.reading.worklist = None
    session.show_study(picture)
    assert "Subtraction" not in session.viewer.layers
