"""napari's Save writes the study that a layer shows: whole, in place, with its times."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.layers import Image
from npe2 import PluginManager, PluginManifest

from conftest import make_prediction, make_volume
from napari_breast_ai.core import BreastAIError
from napari_breast_ai.phantom import write_dicom as write_phantom
from napari_breast_ai.study import read_study
from napari_breast_ai.viewer import layers as look
from napari_breast_ai.viewer.reader import read
from napari_breast_ai.viewer.session import Session, get_session
from napari_breast_ai.viewer.writer import write_nifti

MANIFEST = Path(__file__).resolve().parents[2] / "src" / "napari_breast_ai" / "napari.yaml"


@pytest.fixture
def plugins() -> PluginManager:
    manager = PluginManager(disable=["napari"])
    manager.register(PluginManifest.from_file(MANIFEST))
    manager.activate("napari-breast-ai")
    return manager


def saved(plugins: PluginManager, path: Path, layers: Any) -> list[str]:
    """By npe2, as napari saves."""
    data = [layer.as_layer_data_tuple() for layer in layers]
    writer, place = plugins.get_writer(str(path), [kind for *_, kind in data])
    assert writer is not None
    return [str(one) for one in writer.exec(args=(place, data), _registry=plugins.commands)]


def alike(one: Any, other: Any) -> None:
    np.testing.assert_array_equal(one.data, other.data)
    np.testing.assert_allclose(one.geometry.affine, other.geometry.affine, atol=1e-4)
    np.testing.assert_allclose(one.times.start_s, other.times.start_s, atol=1e-3)
    assert one.pre_contrast == other.pre_contrast


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii", "a.dcm"])
def test_written_and_read_again(plugins: PluginManager, session: Session, tmp_path: Path, name: str) -> None:
    volume = make_volume()
    session.show_study(volume)
    written = saved(plugins, tmp_path / name, [session.showing.dynamic])
    assert all(Path(one).is_file() for one in written)
    alike(read_study(written[0] if "nii" in name else tmp_path / "a"), volume)
    # All images of the study, its subtraction and heat maps among them, are one study too.
    session.set_prediction(make_prediction(volume))
    images = [layer for layer in session.viewer.layers if isinstance(layer, Image)]
    assert len(images) > 2
    saved(plugins, tmp_path / "again" / name, images)
    with pytest.raises(BreastAIError, match=r"exists already|not an empty folder"):
        saved(plugins, tmp_path / "again" / name, images)


def test_what_has_not_been_read_is_read_first(tmp_path: Path, phantom_factory: Callable[..., Any]) -> None:
    write_phantom(phantom_factory("igm", shape=(8, 64, 64)), tmp_path / "study", "ge")
    layers = read(str(tmp_path / "study"))
    assert not layers[0][1]["metadata"][look.KEY]["loader"].complete
    image, _ = write_nifti(str(tmp_path / "a.nii.gz"), layers)
    alike(read_study(image), read_study(tmp_path / "study"))


def test_a_hole_is_not_written(tmp_path: Path, phantom_factory: Callable[..., Any]) -> None:
    write_phantom(phantom_factory("igm", shape=(8, 64, 64)), tmp_path / "study", "ge")
    layers = read(str(tmp_path / "study"))
    loader = layers[0][1]["metadata"][look.KEY]["loader"]
    victim = loader._frames[3][2].source.path
    victim.write_bytes(victim.read_bytes()[:-100])
    with pytest.raises(BreastAIError, match=victim.name):
        write_nifti(str(tmp_path / "a.nii.gz"), layers)
    assert [one.name for one in tmp_path.iterdir()] == ["study"]


def test_what_is_no_study_is_said(plugins: PluginManager, session: Session, tmp_path: Path) -> None:
    session.show_study(make_volume())
    subtraction = next(one for one in session.viewer.layers if look.info(one)["role"] == look.SUBTRACTION)
    with pytest.raises(BreastAIError, match="Choose the layer “Dynamic”"):
        saved(plugins, tmp_path / "a.nii.gz", [subtraction])
    other = Image(np.zeros((4, 5)), name="A photograph")
    with pytest.raises(BreastAIError, match="“A photograph” is no study"):
        saved(plugins, tmp_path / "a.nii.gz", [session.showing.dynamic, other])
    second = Image(*look.volume_layers(make_volume(uid="9.9"))[0][:1])
    second.metadata = look.entry(look.DYNAMIC, make_volume(uid="9.9"))
    with pytest.raises(BreastAIError, match="more than one study"):
        saved(plugins, tmp_path / "a.nii.gz", [session.showing.dynamic, second])
    assert not list(tmp_path.glob("a*"))


@pytest.mark.gui
@pytest.mark.filterwarnings("ignore::DeprecationWarning:vispy")
def test_by_napari_itself(tmp_path: Path, make_napari_viewer: Any) -> None:
    from napari.plugins._npe2 import file_extensions_string_for_layers

    viewer = make_napari_viewer()
    session = get_session(viewer, "anna")
    volume = make_volume()
    session.show_study(volume)
    viewer.layers.selection = {session.showing.dynamic}
    offered, _ = file_extensions_string_for_layers([session.showing.dynamic])
    assert "Study as NIfTI" in offered and "Study as DICOM" in offered
    written = viewer.layers.save(str(tmp_path / "a.nii.gz"), selected=True)
    assert [Path(one).name for one in written] == ["a.nii.gz", "a.json"]
    alike(read_study(tmp_path / "a.nii.gz"), volume)
    assert viewer.layers.save(str(tmp_path / "a.dcm"), selected=True, plugin="napari-breast-ai")
    alike(read_study(tmp_path / "a"), volume)
    session.shut_down()
